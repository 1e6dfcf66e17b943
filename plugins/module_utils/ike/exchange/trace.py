# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last packets of each peer, for ``ctl trace``: kept as bytes, whatever became of the negotiation.

Where we had the keys, what a message held is kept in place of its ciphertext; keys never are. Probes of liveness are
left out: they would push the negotiation out. Nothing is decoded before somebody asks.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from ..policy.sa import Address
from ..wire.cursor import WireError
from ..wire.header import HEADER_SIZE, VERSION_2, Header, read_header
from ..wire.v1 import Message as V1Message
from ..wire.v1 import Notification
from ..wire.v1_numbers import Exchange as V1Exchange
from ..wire.v1_numbers import Notify
from ..wire.v2_numbers import Exchange as V2Exchange
from .path import Path

_PACKETS = 10  # of a peer
_ROOM = 4096  # bytes of a peer's packets
_LONGEST = 2048  # bytes of one packet
_STRANGERS = 64  # peers that the configuration doesn't name by address: the latest
_UNSENT = 16  # messages that were sealed and not sent yet

_HEAD = struct.Struct(">dqHHHBB")  # when, hash of the datagram, times, both ports, flags, size of our address
_SENT, _OPENED = 1, 2
_TIMES_LIMIT = 0xFFFF
_NEXT_PAYLOAD_AT = 16  # in the header


@dataclass(frozen=True)
class Packet:
    """One datagram and how often it crossed. ``when`` is the first time, in the engine's seconds.

    ``opened``: ``data`` is the header, naming the first payload inside, and the payloads in clear; else it is the
    datagram as it was on the wire, up to a limit.
    """

    when: float
    sent: bool
    times: int
    path: Path
    opened: bool
    data: bytes

    @property
    def header(self) -> Header | None:
        return read_header(self.data) if len(self.data) >= HEADER_SIZE else None


class Trace:
    """A bounded ring of packets for each peer's address."""

    def __init__(self) -> None:
        self._named: dict[Address, list[bytes]] = {}
        self._strangers: dict[Address, list[bytes]] = {}
        self._names: frozenset[Address] = frozenset()
        self._latest: tuple[Address | None, list[bytes]] = (None, [])
        self._handled: tuple[list[bytes], bytes] | None = None  # the packet that is being received, and its ring
        self._unsent: dict[int, bytes] = {}

    def configure(self, addresses: Iterable[Address]) -> None:
        """The peers that the configuration names: theirs stay, however many others write to us."""
        self._names = frozenset(addresses)
        self._latest = (None, [])
        self._named = {address: ring for address, ring in self._named.items() if address in self._names}

    def received(self, path: Path, datagram: bytes, now: float) -> None:
        ring = self._ring(path.peer)
        self._handled = (ring, self._keep(ring, path, datagram, datagram, now, 0))

    def opened(self, opening: bytes, first: int, chain: bytes) -> None:
        """What the message that is being received held; ``opening`` begins with its header."""
        if self._handled is None:
            return
        ring, kept = self._handled
        at = next((number for number, one in enumerate(ring) if one is kept), None)
        if at is None:
            return
        content = _in_clear(opening, first, chain)
        del ring[at]
        if not _only_asks_for_life(content):
            ring.insert(at, _marked(kept, _OPENED) + content)

    def sealed(self, datagram: bytes, first: int, chain: bytes) -> None:
        """What a message holds that is about to be sent."""
        self._unsent[hash(datagram)] = _in_clear(datagram, first, chain)
        if len(self._unsent) > _UNSENT:
            del self._unsent[next(iter(self._unsent))]

    def sent(self, path: Path, datagram: bytes, now: float) -> None:
        content = self._unsent.pop(hash(datagram), None)
        if content is None:
            self._keep(self._ring(path.peer), path, datagram, datagram, now, _SENT)
        elif not _only_asks_for_life(content):
            self._keep(self._ring(path.peer), path, datagram, content, now, _SENT | _OPENED)

    def of(self, peer: Address) -> list[Packet]:
        """A peer's packets, the oldest first."""
        ring = self._named.get(peer) or self._strangers.get(peer) or []
        return [_packet(kept, peer) for kept in ring]

    def _ring(self, peer: Address) -> list[bytes]:
        if peer is not self._latest[0]:  # an answer goes where its question came from
            self._latest = (peer, self._find_ring(peer))
        return self._latest[1]

    def _find_ring(self, peer: Address) -> list[bytes]:
        if peer in self._names:
            return self._named.setdefault(peer, [])
        ring = self._strangers.pop(peer, [])
        self._strangers[peer] = ring  # at the end: the youngest
        if len(self._strangers) > _STRANGERS:
            del self._strangers[next(iter(self._strangers))]
        return ring

    def _keep(self, ring: list[bytes], path: Path, datagram: bytes, data: bytes, now: float, flags: int) -> bytes:
        """Keep a packet, or count one that came or went before."""
        digest = hash(datagram)
        for at, kept in enumerate(ring):
            when, known, times, *rest = _HEAD.unpack_from(kept)
            if known == digest:
                ring[at] = _HEAD.pack(when, known, min(times + 1, _TIMES_LIMIT), *rest) + kept[_HEAD.size :]
                return ring[at]
        local = path.local.packed
        head = _HEAD.pack(now, digest, 1, path.local_port, path.peer_port, flags, len(local))
        ring.append(head + local + data[:_LONGEST])
        while len(ring) > _PACKETS or (len(ring) > 1 and sum(map(len, ring)) > _ROOM):
            del ring[0]
        return ring[-1]


def _in_clear(opening: bytes, first: int, chain: bytes) -> bytes:
    head = opening[:HEADER_SIZE]
    return head[:_NEXT_PAYLOAD_AT] + bytes([first]) + head[_NEXT_PAYLOAD_AT + 1 :] + chain


def _marked(kept: bytes, flag: int) -> bytes:
    """A kept packet's own head with one more flag, without its data."""
    *fields, flags, size = _HEAD.unpack_from(kept)
    return _HEAD.pack(*fields, flags | flag, size) + kept[_HEAD.size : _HEAD.size + size]


def _packet(kept: bytes, peer: Address) -> Packet:
    when, _digest, times, local_port, peer_port, flags, size = _HEAD.unpack_from(kept)
    local = ipaddress.ip_address(kept[_HEAD.size : _HEAD.size + size])
    path = Path(local, peer, local_port, peer_port)
    return Packet(when, bool(flags & _SENT), times, path, bool(flags & _OPENED), kept[_HEAD.size + size :])


def _only_asks_for_life(content: bytes) -> bool:
    """Whether a message is an empty INFORMATIONAL (RFC 7296 1.4) or R-U-THERE and its answer (RFC 3706)."""
    header = read_header(content)
    if header.version == VERSION_2:
        return header.exchange == V2Exchange.INFORMATIONAL and len(content) == HEADER_SIZE
    if header.exchange != V1Exchange.INFORMATIONAL:
        return False
    try:
        notes = V1Message(header, content[HEADER_SIZE:]).all(Notification)
    except WireError:
        return False
    return any(note.kind in (Notify.R_U_THERE, Notify.R_U_THERE_ACK) for note in notes)
