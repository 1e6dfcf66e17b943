# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE fragmentation by vendor id ([MS-IKEE] 3.1.5.2): long messages in pieces that no router has to fragment.

Nothing authenticates a fragment, so a session holds the pieces of one message only, and of a bounded one.
"""

from __future__ import annotations

from ...wire.cursor import WireError
from ...wire.header import HEADER_SIZE, VERSION_1, Header
from ...wire.v1 import Fragment, Message, encode_clear
from ...wire.v1_numbers import Exchange as Kind
from ...wire.v1_numbers import Payload

LIMIT = 1232  # bytes of UDP payload that fit IPv6's least MTU of 1280
_OVERHEAD = HEADER_SIZE + 8  # around a fragment's data
_MAX_MESSAGE = 32768


class Reassembly:
    """The pieces of the one message that is coming in."""

    def __init__(self) -> None:
        self._id = 0
        self._pieces: dict[int, bytes] = {}
        self._size = 0
        self._last = 0

    def add(self, header: Header, datagram: bytes) -> bytes | None:
        """Take a fragment; the whole datagram once nothing is missing. Raises WireError."""
        fragment = Message.clear(header, datagram).get(Fragment)
        known = self._pieces.get(fragment.number)
        if fragment.id != self._id or (known is not None and known != fragment.data):
            self._begin(fragment.id)  # many peers give every message the same id
        elif known is not None:
            return None
        self._pieces[fragment.number] = fragment.data
        self._size += len(fragment.data)
        if fragment.last:
            self._last = fragment.number
        if self._size > _MAX_MESSAGE:
            self._begin(0)
            raise WireError("the fragments of a message exceed {} bytes".format(_MAX_MESSAGE))
        if not self._last or len(self._pieces) < self._last:
            return None
        return self._join()

    def _begin(self, fragment_id: int) -> None:
        self._id, self._pieces, self._size, self._last = fragment_id, {}, 0, 0

    def _join(self) -> bytes:
        pieces, last = self._pieces, self._last
        self._begin(0)
        if sorted(pieces) != list(range(1, last + 1)):
            raise WireError("fragments behind the last one")
        return b"".join(pieces[number] for number in range(1, last + 1))


def is_fragment(header: Header) -> bool:
    return header.version == VERSION_1 and header.next_payload == Payload.FRAGMENT


def split(datagram: bytes, spi_i: bytes, spi_r: bytes, fragment_id: int) -> list[bytes]:
    """The datagrams that carry a long one, each with a header of its own: phase 1's, as all daemons write it."""
    size = LIMIT - _OVERHEAD
    pieces = [datagram[at : at + size] for at in range(0, len(datagram), size)]
    return [
        encode_clear(spi_i, spi_r, Kind.MAIN_MODE, 0, [Fragment(fragment_id, number, number == len(pieces), piece)])
        for number, piece in enumerate(pieces, 1)
    ]
