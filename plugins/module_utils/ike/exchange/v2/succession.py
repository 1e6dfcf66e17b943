# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which IKE SA follows another, also where both ends make one at once (RFC 7296 2.8.2, 2.25)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...crypto.v2_keys import IkeKeys
from ...policy.v2_proposals import IkeSuite
from . import informational, rekey_ike
from .rules import ESTABLISHED, REKEYED
from .runner import Task

if TYPE_CHECKING:
    from .session import Session

_OLD_IKE_SA = 60.0  # seconds until we drop a replaced IKE SA that the peer doesn't delete
_RETRY, _RETRY_JITTER = 5.0, 10.0  # seconds until a failed replacement is tried again
_REKEY_IKE = "IKE SA rekey"


class Succession:
    """What may replace one IKE SA. ``precedence`` is the smaller nonce of the exchange that made it itself."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rival: Session | None = None  # the successor that the peer made while we were making one
        self._predecessor: Session | None = None  # whose rival this session is
        self.precedence = b""

    @property
    def asking(self) -> bool:
        """Whether we are making a successor."""
        return self._session.runner.asking == _REKEY_IKE

    def begin(self) -> None:
        """Make a successor, if there is anything to live on for."""
        session = self._session
        if session.state == ESTABLISHED and session.children():
            session.runner.ask(
                Task(_REKEY_IKE, rekey_ike.initiator, lambda session, error: session.succession._failed(error))
            )

    def made(
        self, spi_i: bytes, spi_r: bytes, suite: IkeSuite, keys: IkeKeys, initiator: bool, precedence: bytes
    ) -> None:
        """A rekey has made an IKE SA to replace this one; of two that were made at once the higher nonce's stays."""
        successor = self._successor(spi_i, spi_r, suite, keys, initiator)
        successor.succession.precedence = precedence
        rival, self._rival = self._rival, None
        if self._session.state != ESTABLISHED:
            successor.close("lost a collision")
        elif rival is not None:
            ours_wins = precedence > rival.succession.precedence
            winner, loser = (successor, rival) if ours_wins else (rival, successor)
            if loser.initiator:
                loser.close("lost a collision")
            self._give_way(winner)
        elif not initiator and self.asking:
            self._rival = successor
            successor.succession._predecessor = self._session
        else:
            self._give_way(successor)

    def used(self) -> None:
        """The peer uses this session, which it made as a rival: what we ask for ours comes too late by now."""
        predecessor, self._predecessor = self._predecessor, None
        if predecessor is not None and predecessor.succession._rival is self._session:
            predecessor.succession.take_rival()

    def take_rival(self) -> None:
        """Let the peer's successor have it, if there is one: ours won't come."""
        rival, self._rival = self._rival, None
        if rival is not None:
            self._give_way(rival)

    def _failed(self, error: Exception) -> None:
        """The replacement failed: the peer's, if there is one, or ours again some time later."""
        session = self._session
        self.take_rival()
        if session.state == ESTABLISHED:
            session.host.warning("{}: IKE SA rekey failed: {}".format(session, error))
            session.after(_RETRY + _RETRY_JITTER * session.random(1)[0] / 256, lambda now: self.begin())

    def _successor(self, spi_i: bytes, spi_r: bytes, suite: IkeSuite, keys: IkeKeys, initiator: bool) -> Session:
        old = self._session
        session = type(old)(old.host, old.engine, old.remote, old.path, initiator, spi_i)
        session.spi_i, session.spi_r = spi_i, spi_r
        session.local_id, session.peer_id = old.local_id, old.peer_id
        session.local_nat, session.peer_nat = old.local_nat, old.peer_nat
        session.fragmentation, session.fragment_room = old.fragmentation, old.fragment_room
        session.reauthenticate_at = old.reauthenticate_at
        session.protect(replace(suite, ppk=old.suite.ppk), keys)
        session.start()
        old.engine.session_made(session)
        return session

    def _give_way(self, successor: Session) -> None:
        """Hand over children and what waits; the end that made the successor deletes this one."""
        session = self._session
        session.host.info("{}: IKE SA replaced, {}".format(session, successor.suite.describe()))
        session.hand_over(successor)
        session.state = REKEYED
        session.engine.session_replaced(session, successor)
        if successor.initiator:
            session.runner.ask(
                Task(
                    "delete of the IKE SA",
                    lambda session: informational.last_word(session, "replaced"),
                    lambda session, error: session.ended("replaced"),
                )
            )
        else:
            session.after(_OLD_IKE_SA, lambda now: session.ended("replaced"))
