# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookies: who begins under load proves its address first, and costs us no memory until then (RFC 7296 2.6)."""

from __future__ import annotations

import hmac
from typing import Callable

from ...policy.sa import Address
from ...wire.v2 import Message, Nonce, Notification
from ...wire.v2_numbers import Notify, Payload

THRESHOLD = 30  # half-open IKE SAs from which on everybody has to prove its address
THRESHOLD_PER_PEER = 3  # the same for one address
_LIFETIME = 60.0  # seconds of a secret; the one before it is honoured too
_SECRET = 32  # bytes


class Cookies:
    """Cookies that only we could have made: version of the secret | HMAC(secret, Ni | address | SPIi)."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._secrets = {0: random(_SECRET)}
        self._version = 0
        self._since = 0.0

    def make(self, message: Message, peer: Address, now: float) -> bytes:
        """The cookie that this request has to come back with. WireError where its nonce is none."""
        self._rotate(now)
        return self._of(self._version, message, peer)

    def good(self, message: Message, peer: Address, now: float) -> bool:
        """Whether the request carries the cookie that we gave it, and not too long ago."""
        carried = _first_notification(message)
        self._rotate(now)
        if carried is None or carried.kind != Notify.COOKIE or not carried.data:
            return False
        if carried.data[0] not in self._secrets:
            return False
        return hmac.compare_digest(carried.data, self._of(carried.data[0], message, peer))

    def _of(self, version: int, message: Message, peer: Address) -> bytes:
        data = message.get(Nonce).data + peer.packed + message.header.spi_i
        return bytes([version]) + hmac.digest(self._secrets[version], data, "sha256")

    def _rotate(self, now: float) -> None:
        if now - self._since < _LIFETIME:
            return
        before = self._version
        self._version = (self._version + 1) % 256
        recent = {before: self._secrets[before]} if now - self._since < 2 * _LIFETIME else {}
        self._secrets = {**recent, self._version: self._random(_SECRET)}
        self._since = now


def _first_notification(message: Message) -> Notification | None:
    """A cookie comes first (RFC 7296 2.6): in a flood nothing behind it is worth decoding."""
    first = message.raw[0]
    return Notification.decode(first.body) if first.type == Payload.NOTIFY else None
