# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When we begin to send on a child while another one carries its tunnel's traffic (RFC 7296 2.8, RFC 2409 5.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..policy.sa import SaId, SecurityAssociation
from .child import ChildSa
from .effects import Install
from .errors import LocalError

if TYPE_CHECKING:
    from .engine import Session

CONFIRM = 10.0  # seconds until we send on the successor, unless something else says before that the peer has it
ANEW = 2.0  # the same where the peer doesn't say that it replaces a child: it may delete none
PROOF = 5.0  # the same after quick mode's last message: some receive only then, and most have asked again by now
_BACK_OFF = 3.0  # a request that comes again after so long comes once more before so many times that, if at all


@dataclass
class _Waiting:
    """A child whose outbound SA waits, and what for: ``seconds`` long, or until ``old`` is gone."""

    child: ChildSa
    sending: SecurityAssociation
    old: ChildSa
    seconds: float
    since: float
    timer: Any = None


def stands_in(old: ChildSa | None, child: ChildSa) -> bool:
    """Whether an old child can carry the traffic until the peer receives on this one.

    What goes elsewhere, as to the former address of the peer's NAT, arrives nowhere.
    """
    return old is not None and old.leads_as(child)


class Outbound:
    """Outbound SAs that wait until the peer surely receives on them: that it has our message that made the child.

    In IKEv2 its next request says so, for its window is one (2.3). In both versions its delete of the old child does,
    which may come on another IKE SA. Where nothing else is left to send on there is nothing to wait for.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: dict[SaId, _Waiting] = {}  # by the new child's inbound SA

    def send_later(self, child: ChildSa, sending: SecurityAssociation, old: ChildSa, seconds: float) -> None:
        """Send on a child once the old one is gone, or so many seconds from now."""
        child.sends = False
        self._wait(_Waiting(child, sending, old, seconds, self._session.now), seconds)

    def replaced_is_gone(self, old: ChildSa) -> None:
        """The peer deleted this child, under this IKE SA or another one: what waited for that may send now."""
        for one in [one for one in self._waiting.values() if one.old is old]:
            self._send(one)

    def send_now(self) -> None:
        """Wait no longer: the peer has our last message, or won't say any more whether it has."""
        for one in list(self._waiting.values()):
            self._send(one)

    def repeated(self) -> None:
        """The peer says the same again: our answer hasn't arrived."""
        for one in self._waiting.values():
            elapsed = self._session.now - one.since
            one.timer.cancel()
            self._wait(one, max(one.seconds, _BACK_OFF * elapsed))

    def nothing_else_sends(self, child: ChildSa) -> None:
        """No other child of its tunnel is left to send on; it may belong to another IKE SA."""
        waiting = self._waiting.get(child.inbound)
        if waiting is not None:
            self._send(waiting)

    def hand_over(self, successor: Outbound) -> None:
        """Let the IKE SA that replaces this one wait on."""
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            one.timer.cancel()
            successor._wait(one, max(0.0, one.since + one.seconds - self._session.now))

    def _wait(self, one: _Waiting, seconds: float) -> None:
        self._waiting[one.child.inbound] = one
        one.timer = self._session.timers.at(self._session.now + seconds, lambda now: self._due(one))

    def _due(self, one: _Waiting) -> None:
        """Nothing has said so. A peer that is there with the old child as well can wait as long as any other."""
        waited = self._session.now - one.since
        if waited < CONFIRM and self._has_old(one):
            one.seconds = CONFIRM
            self._wait(one, CONFIRM - waited)
        else:
            self._send(one)

    def _has_old(self, one: _Waiting) -> bool:
        """Whether the peer has answered on the old child's IKE SA meanwhile: it is asked when a new one is there."""
        sessions = self._session.engine.established_with(self._session.remote)
        others = [other for other in sessions if other is not self._session and other.version == 2]
        return any(other.owns(one.old) and other.liveness.heard_since(one.since) for other in others)

    def _send(self, one: _Waiting) -> None:
        """Begin to send, unless the child has gone while it waited."""
        session, child = self._session, one.child
        del self._waiting[child.inbound]
        one.timer.cancel()
        if not session.engine.has(child):
            return
        child.sends = True
        try:
            session.host.perform(Install(one.sending, inbound=False))
        except LocalError as error:
            session.host.warning("{}: {}".format(session, error))
            session.delete_children([child])
            session.engine.child_lost(child, str(error))
