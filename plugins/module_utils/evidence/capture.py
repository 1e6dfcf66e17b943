# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A short capture at the outside device: what passed between two gateways, and what hops on the way said of it."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from .looking import Look
from .verdict import Expectation
from .wiretap import (
    ESP,
    ICMP,
    ICMPV6,
    IKE_PORT,
    NAT_PORT,
    UDP,
    Seen,
    host,
    open_tap,
    outside_device,
    passed,
    read_packet,
)

OUT, IN = "out", "in"
KINDS = ("udp 500", "udp 4500", "esp")

_QUOTE = 8  # bytes of ICMP's header before the packet that it's about
_CODES = {(ICMP, 3, 4): "fragmentation needed, MTU {}", (ICMPV6, 2, 0): "packet too big, MTU {}"}
_TYPES = {
    (ICMP, 3): "unreachable",
    (ICMP, 11): "time exceeded",
    (ICMPV6, 1): "unreachable",
    (ICMPV6, 3): "time exceeded",
}
_PROHIBITED = {(ICMP, 3): (9, 10, 13), (ICMPV6, 1): (1, 5)}  # RFC 1812 5.2.7.1, RFC 4443 3.1


@dataclass
class Capture:
    """Listens while the context lasts, for some tunnels; :meth:`as_data` says what has passed.

    What can't be listened to is noted. Under load the kernel may show less than what passes.
    """

    look: Look
    tunnels: Sequence[Expectation]
    _taps: dict[str, tuple[str, socket.socket]] = field(default_factory=dict, repr=False)
    _packets: dict[str, Counter] = field(default_factory=dict, repr=False)
    _errors: dict[str, Counter] = field(default_factory=dict, repr=False)

    def __enter__(self) -> Capture:
        for tunnel in self.tunnels if hasattr(socket, "AF_PACKET") else ():
            device, _reason = outside_device(self.look, tunnel.local, tunnel.peer)
            try:
                if device:
                    self._taps[tunnel.name] = device, open_tap(device, [host(tunnel.local), host(tunnel.peer)])
            except OSError as error:
                self.look.note("a capture on {}".format(device), str(error))
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for _device, tap in self._taps.values():
            tap.close()

    def as_data(self) -> list[dict[str, Any]]:
        """By tunnel: the device, how many packets of each kind went out and came in, and the errors of hops."""
        return [self._of(tunnel) for tunnel in self.tunnels if tunnel.name in self._taps]

    def _of(self, tunnel: Expectation) -> dict[str, Any]:
        device, tap = self._taps[tunnel.name]
        packets = self._packets.setdefault(tunnel.name, Counter())
        errors = self._errors.setdefault(tunnel.name, Counter())
        for leaves, packet in passed(tap):
            if tunnel.peer in (packet.source, packet.destination) and _kind(packet):
                packets[OUT if leaves else IN, _kind(packet)] += 1
            errors.update(() if leaves else _error(packet, tunnel))
        return {
            "tunnel": tunnel.name,
            "device": device,
            "packets": {kind: {way: packets[way, kind] for way in (OUT, IN)} for kind in KINDS},
            "errors": ["{} ({} times)".format(text, count) for text, count in errors.most_common()],
        }


def _kind(packet: Seen) -> str:
    """One of KINDS, or "" for another packet."""
    if packet.protocol == ESP:
        return "esp"
    ports = {packet.port, packet.source_port} & {IKE_PORT, NAT_PORT} if packet.protocol == UDP else ()
    return "udp {}".format(max(ports)) if ports else ""


def _error(packet: Seen, tunnel: Expectation) -> Iterator[str]:
    """What an ICMP error says about a packet to the peer."""
    message = packet.payload
    if packet.protocol not in (ICMP, ICMPV6) or len(message) < _QUOTE:
        return
    quoted = read_packet(message[_QUOTE:])
    text = _meaning(packet.protocol, message)
    if quoted is not None and text and quoted.destination == tunnel.peer:
        yield "{} says of {}: {}".format(packet.source, _kind(quoted) or quoted, text)


def _meaning(protocol: int, message: bytes) -> str:
    kind, code = message[0], message[1]
    if (protocol, kind, code) in _CODES:
        (mtu,) = struct.unpack_from("!I", message, 4)
        return _CODES[protocol, kind, code].format(mtu & 0xFFFF if protocol == ICMP else mtu)
    if code in _PROHIBITED.get((protocol, kind), ()):
        return "administratively prohibited"
    return _TYPES.get((protocol, kind), "")
