# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the peer is still there: dead peer detection (RFC 3706) and NAT keepalives (RFC 3948 4)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from ...wire.numbers import Protocol
from ...wire.v1 import Notification
from ...wire.v1_numbers import Notify
from ..effects import PacketsReceived
from ..host import NAT_KEEPALIVE
from . import vendor

if TYPE_CHECKING:
    from .session import Session

_KEEPALIVE_INTERVAL = 20.0  # seconds, RFC 3948 4


class Liveness:
    """Asks R-U-THERE when a peer that announced DPD has been quiet for ``dpd_delay`` seconds; always answers one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._heard_at = 0.0
        self._packets = 0
        self._unanswered = 0
        self._sequence = 0
        self._timers: dict[str, Any] = {}

    def start(self) -> None:
        session = self._session
        self._heard_at = session.now
        self._sequence = int.from_bytes(session.random(4), "big") >> 1  # RFC 3706 7: the top bit clear
        settings = session.settings
        if settings.dpd and settings.dpd_delay and vendor.DEAD_PEER_DETECTION in session.vendors:
            self._at("dpd", settings.dpd_delay, self._check)
        if session.local_nat:
            self._at("keepalive", _KEEPALIVE_INTERVAL, self._keep_alive)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def heard(self) -> None:
        """The peer proved that it is there."""
        self._heard_at = self._session.now
        self._unanswered = 0

    def notified(self, notification: Notification) -> None:
        """R-U-THERE, its answer, or a notification that doesn't concern us."""
        session = self._session
        if notification.spi != session.spi_i + session.spi_r or len(notification.data) != 4:
            return
        if notification.kind == Notify.R_U_THERE:
            answer = Notification(Protocol.ISAKMP, Notify.R_U_THERE_ACK, notification.spi, notification.data)
            session.inform([answer])

    def _at(self, name: str, delay: float, action: Any) -> None:
        session = self._session
        self._timers[name] = session.timers.at(session.now + delay, action)

    def _check(self, now: float) -> None:
        settings = self._session.settings
        self._look_at_traffic()
        due = self._heard_at + settings.dpd_delay
        if now < due:
            self._timers["dpd"] = self._session.timers.at(due, self._check)
        elif self._unanswered >= settings.dpd_maxfail:
            self._session.engine.peer_dead(self._session, "no answer to {} R-U-THERE".format(self._unanswered))
        else:
            self._ask()

    def _look_at_traffic(self) -> None:
        """Packets that came through the tunnel prove as much as an answer."""
        ids = tuple(child.inbound for child in self._session.engine.children_of(self._session.remote))
        packets = self._session.host.perform(PacketsReceived(ids)) if ids else 0
        if packets > self._packets:
            self.heard()
        self._packets = packets

    def _ask(self) -> None:
        session = self._session
        self._unanswered += 1
        self._sequence += 1
        data = struct.pack(">I", self._sequence & 0xFFFFFFFF)
        session.inform([Notification(Protocol.ISAKMP, Notify.R_U_THERE, session.spi_i + session.spi_r, data)])
        self._at("dpd", session.settings.dpd_retry, self._check)

    def _keep_alive(self, now: float) -> None:
        self._session.host.send(self._session.path, NAT_KEEPALIVE)
        self._at("keepalive", _KEEPALIVE_INTERVAL, self._keep_alive)
