# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the peer is still there: an empty INFORMATIONAL (RFC 7296 2.4), and NAT keepalives (RFC 3948 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..effects import PacketsReceived
from ..host import NAT_KEEPALIVE

if TYPE_CHECKING:
    from .session import Session

_KEEPALIVE_INTERVAL = 20.0  # seconds, RFC 3948 4
_TRUST = 10.0  # seconds after an answer for which no hint makes us ask again


class Liveness:
    """Asks a peer that was quiet for ``dpd_delay`` seconds, and gives it up when it has been so for too long.

    Whatever request is under way asks as well as an empty one, but its back-off is no measure of a peer's life.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._heard_at = 0.0
        self._packets = 0
        self._doubted = False
        self._trusted_until = 0.0
        self._timers: dict[str, Any] = {}

    def start(self) -> None:
        session = self._session
        self._heard_at = session.now
        if session.settings.dpd_delay:
            self._at("dpd", session.now + session.settings.dpd_delay, self._check)
        if session.local_nat:
            self._at("keepalive", session.now + _KEEPALIVE_INTERVAL, self._keep_alive)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def heard(self) -> None:
        """The peer proved that it is there."""
        self._heard_at = self._session.now
        if self._doubted:
            self._doubted = False
            self._trusted_until = self._session.now + _TRUST

    def heard_since(self, when: float) -> bool:
        return not self._doubted and self._heard_at >= when

    def doubt(self) -> None:
        """Something that may be forged says that the peer has forgotten us: ask now, and give it up as ever."""
        session = self._session
        if self._doubted or session.now < self._trusted_until:
            return
        self._look_at_traffic()
        self._doubted = True
        self._heard_at = session.now - session.settings.dpd_delay
        if "dpd" in self._timers:
            self._timers["dpd"].cancel()
        self._check(session.now)

    def _at(self, name: str, when: float, action: Any) -> None:
        self._timers[name] = self._session.timers.at(when, action)

    def _check(self, now: float) -> None:
        session = self._session
        self._look_at_traffic()
        settings = session.settings
        if not settings.dpd_delay and not self._doubted:
            return
        due = self._heard_at + settings.dpd_delay
        if now >= due + settings.dpd_retry * (settings.dpd_maxfail + 1):
            session.engine.peer_dead(session, "no answer from {}".format(session.path.peer))
            return
        if now >= due:
            due = now + settings.dpd_retry
            if not session.runner.asking:
                session.probe()
        self._at("dpd", due, self._check)

    def _look_at_traffic(self) -> None:
        """Packets that came through the tunnel prove as much as an answer."""
        ids = tuple(child.inbound for child in self._session.children())
        packets = self._session.host.perform(PacketsReceived(ids)) if ids else 0
        if packets > self._packets:
            self.heard()
        self._packets = packets

    def _keep_alive(self, now: float) -> None:
        self._session.host.send(self._session.path, NAT_KEEPALIVE)
        self._at("keepalive", now + _KEEPALIVE_INTERVAL, self._keep_alive)
