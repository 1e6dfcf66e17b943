# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fragmentation of encrypted messages (RFC 7383): content split to size, and put together again with a bound."""

from __future__ import annotations

from ...wire.v2 import Envelope

IPV4_ROOM = 1280 - 20 - 8 - 4  # bytes of a datagram: what every path carries, less IP, UDP and non-ESP marker
IPV6_ROOM = 1280 - 40 - 8 - 4
_MAX_TOTAL = 64
_MAX_BYTES = 65535


def split(first: int, content: bytes, room: int) -> list[tuple[Envelope, bytes]]:
    """Envelopes with their share of the content, each of at most ``room`` bytes; ``first`` is a payload type."""
    parts = [content[at : at + room] for at in range(0, len(content), room)]
    total = len(parts)
    return [(Envelope(first if number == 1 else 0, 0, number, total), part) for number, part in enumerate(parts, 1)]


class Reassembly:
    """The fragments of one message, opened already. One message at a time: a window of one has no more."""

    __slots__ = ("_message_id", "_parts", "_total", "first", "opening")

    def __init__(self) -> None:
        self._message_id = -1
        self._total = 0
        self._parts: dict[int, bytes] = {}
        self.first = 0
        self.opening = b""

    def add(self, message_id: int, around: Envelope, content: bytes, datagram: bytes) -> bytes | None:
        """The whole content once its last fragment is there, else None.

        ``first`` then names its first payload, and ``opening`` is the datagram of its first fragment.
        """
        if around.total > _MAX_TOTAL:
            return None
        if message_id != self._message_id or around.total > self._total:
            # RFC 7383 2.6: a sender that found smaller fragments necessary begins anew
            self._message_id, self._total, self._parts = message_id, around.total, {}
        if around.total != self._total or around.number in self._parts:
            return None
        self._parts[around.number] = content
        if around.number == 1:
            self.first, self.opening = around.first, datagram
        if len(self._parts) < self._total or sum(map(len, self._parts.values())) > _MAX_BYTES:
            return None
        whole = b"".join(self._parts[number] for number in range(1, self._total + 1))
        self._message_id, self._parts = -1, {}
        return whole
