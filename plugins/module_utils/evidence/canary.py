# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary for clear text: what leaves by the outside device for a network behind a peer, and isn't ESP.

What leaves is looked at right before the driver gets it, after IPsec. What arrives can't be told apart there, since the
kernel shows a packet once more when it's decrypted; the peer's own canary watches what leaves there, and this kernel
counts what its policies refuse because it came in clear.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import collapse_addresses
from types import TracebackType

from ..ike.policy.sa import Address, Network
from .verdict import Expectation
from .wiretap import AH, ESP, IKE_PORT, NAT_PORT, UDP, Seen, host, open_tap, passed

REFUSED_IN_CLEAR = "XfrmInTmplMismatch"  # the kernel's counter of what a policy wanted in ESP, and came otherwise

_SHOWN = 10  # kinds of leaks that are told of


@dataclass(frozen=True)
class Watched:
    """What the tunnels protect: the far networks, and the gateways between which ESP and IKE go."""

    networks: tuple[Network, ...]
    peers: frozenset[Address]

    @classmethod
    def of(cls, tunnels: Iterable[Expectation]) -> Watched:
        tunnels = list(tunnels)
        far = {network for one in tunnels for _near, network in one.networks}
        networks = [
            network
            for version in (4, 6)
            for network in collapse_addresses(one for one in far if one.version == version)
        ]
        return cls(tuple(networks), frozenset(one.peer for one in tunnels))

    def protected(self, packet: Seen) -> bool:
        """Whether it's one of the tunnels' own packets: ESP, AH, ESP in UDP, or IKE."""
        carrier = packet.protocol in (ESP, AH) or (packet.protocol == UDP and packet.port in (IKE_PORT, NAT_PORT))
        return carrier and packet.destination in self.peers

    def leak(self, packet: Seen) -> bool:
        """Whether it goes to a network behind a peer, whatever address NAT has given it, and isn't protected."""
        return not self.protected(packet) and any(
            packet.destination in network for network in self.networks if network.version == packet.destination.version
        )


@dataclass
class Canary:
    """Watches devices while the context lasts; :meth:`look` takes what has come since the last call.

    ``esp`` counts the tunnels' own packets, ``leaks`` those that aren't, by how they look. Raises OSError.
    """

    devices: Sequence[str]
    watched: Watched
    esp: int = 0
    leaks: Counter = field(default_factory=Counter)
    _taps: list[socket.socket] = field(default_factory=list, repr=False)

    def __enter__(self) -> Canary:
        peers = [host(peer) for peer in self.watched.peers]
        try:
            for device in self.devices:
                # Apart, since ESP under load may fill a socket's buffer, and a leak must not be lost for that.
                self._taps += [open_tap(device, self.watched.networks), open_tap(device, peers)]
        except OSError:
            self.close()
            raise
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for tap in self._taps:
            tap.close()
        self._taps.clear()

    def look(self) -> None:
        for leaks, esp in zip(self._taps[::2], self._taps[1::2]):
            for leaves, packet in passed(leaks):
                if leaves and self.watched.leak(packet):
                    self.leaks[str(packet)] += 1
            self.esp += sum(1 for leaves, packet in passed(esp) if leaves and self._carries(packet))

    def _carries(self, packet: Seen) -> bool:
        return self.watched.protected(packet) and packet.port != IKE_PORT

    def leaked(self) -> list[str]:
        """The leaks for people, the most frequent first."""
        found = self.leaks.most_common()
        lines = ["{} packets {}".format(count, text) for text, count in found[:_SHOWN]]
        return lines + (["and others"] if len(found) > _SHOWN else [])
