# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What begins an IKE SA at the responder, before there is any state for it: a sound IKE_SA_INIT, and its cookie."""

from __future__ import annotations

from ...config.settings import IKEV2, Remote
from ...policy.sa import Address
from ...wire.cursor import WireError
from ...wire.header import NO_SPI, Header
from ...wire.v2 import Message, Notification, encode_clear
from ...wire.v2_numbers import Exchange, Flag, Notify
from ..host import Host
from ..path import Path
from ..sessions import SessionTable
from .cookies import THRESHOLD, THRESHOLD_PER_PEER, Cookies
from .rules import ALLOWED, ESTABLISHED, INIT_REQUEST

_STRAYS_INTERVAL, _MOST_STRAYS = 5.0, 100  # seconds, and answers in them: one for each address
_WARY = 10.0  # seconds, of the last crowd: longer than a request is under way that was repeated in it


class Entrance:
    """Lets in whoever begins and, under load, proves its address (RFC 7296 2.6)."""

    protocol = IKEV2

    def __init__(self, host: Host, sessions: SessionTable) -> None:
        self._host = host
        self._sessions = sessions
        self._cookies = Cookies(host.random)
        self._wary_until = 0.0
        self._strays: set[Address] = set()
        self._strays_end = 0.0

    def begins(self, header: Header) -> bool:
        flags = header.flags & (Flag.INITIATOR | Flag.RESPONSE)
        return header.exchange == Exchange.IKE_SA_INIT and flags == Flag.INITIATOR and not header.message_id

    def admits(self, header: Header, datagram: bytes, path: Path, remote: Remote) -> bool:
        """Whether a session may be made for this request; what stands against it is answered without state."""
        try:
            message = Message.clear(header, datagram)
            complaint = INIT_REQUEST.complaint(message)
            critical = message.unknown_critical()
            if critical is not None:
                self._answer(header, path, Notification(Notify.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([critical])))
                return False
            if complaint:
                raise WireError(complaint)
            return self._proven(message, path, remote)
        except WireError as error:
            self._host.count("dropped")
            self._host.debug("dropped an IKE_SA_INIT from {}: {}".format(path.peer, error))
            return False

    def answer_stray(self, header: Header, path: Path) -> None:
        """Tell a peer that asks on a finished IKE SA that we don't have: INVALID_IKE_SPI, in clear (RFC 7296 2.21.4).

        Now and then only, and it has the size of what it answers, or nearly: we are no good for a flood.
        """
        living = header.exchange in ALLOWED[ESTABLISHED]
        if header.flags & Flag.RESPONSE or not living or not self._may_answer(path.peer):
            return
        self._host.count("invalid_ike_spi_sent")
        flags = Flag.RESPONSE | (~header.flags & Flag.INITIATOR)
        says = [Notification(Notify.INVALID_IKE_SPI)]
        self._host.send(path, encode_clear(header.spi_i, header.spi_r, header.exchange, flags, header.message_id, says))

    def _may_answer(self, peer: Address) -> bool:
        if self._host.now >= self._strays_end:
            self._strays.clear()
            self._strays_end = self._host.now + _STRAYS_INTERVAL
        allowed = peer not in self._strays and len(self._strays) < _MOST_STRAYS
        self._strays.add(peer)
        return allowed

    def _proven(self, message: Message, path: Path, remote: Remote) -> bool:
        if not self._demanding(path, remote) or self._cookies.good(message, path.peer, self._host.now):
            return True
        self._host.count("cookies")
        cookie = self._cookies.make(message, path.peer, self._host.now)
        self._answer(message.header, path, Notification(Notify.COOKIE, cookie))
        return False

    def _demanding(self, path: Path, remote: Remote) -> bool:
        """Whether this peer has to bring a cookie: under load, and for a while after.

        Who was asked for one may have sent its first request again before. To answer that would be in vain: AUTH covers
        the request that has the cookie.
        """
        sessions, now = self._sessions, self._host.now
        if sessions.half_open() >= THRESHOLD or sessions.half_open(path.peer) >= THRESHOLD_PER_PEER:
            self._wary_until = now + _WARY
        return now < self._wary_until or remote.settings(IKEV2).cookie_required

    def _answer(self, header: Header, path: Path, notification: Notification) -> None:
        datagram = encode_clear(header.spi_i, NO_SPI, Exchange.IKE_SA_INIT, Flag.RESPONSE, 0, [notification])
        self._host.send(path, datagram)
