# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic selectors: from a tunnel to the wire, narrowed to what both ends have, named for people (RFC 7296 2.9)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from ..config.settings import Traffic
from ..wire.v2 import Selector
from ..wire.v2_numbers import TsType
from .sa import Address, Network, TrafficSelector

_LAST_PORT = 0xFFFF
_TYPED = (1, 58, 135)  # ICMP, ICMPv6, mobility header: type and code stand in the port, RFC 7296 3.13.1


def encode_end(network: Network, protocol: int, port: int) -> Selector:
    """One end of a tunnel's traffic. Port 0 means any."""
    kind = TsType.IPV4_ADDR_RANGE if network.version == 4 else TsType.IPV6_ADDR_RANGE
    ports = (port, port) if port else (0, _LAST_PORT)
    return Selector(kind, protocol, *ports, network[0].packed, network[-1].packed)


def ends(traffic: TrafficSelector) -> tuple[Selector, Selector]:
    """Our end and the peer's of an outbound selector."""
    ports = (traffic.source_port, traffic.destination_port)
    if traffic.protocol in _TYPED:
        ports = (traffic.source_port << 8 | traffic.destination_port,) * 2
    return (
        encode_end(traffic.source, traffic.protocol, ports[0]),
        encode_end(traffic.destination, traffic.protocol, ports[1]),
    )


def _both(one: Selector, other: Selector) -> Selector | None:
    """What two selectors have in common; None for nothing."""
    if one.kind != other.kind or (one.protocol and other.protocol and one.protocol != other.protocol):
        return None
    common = Selector(
        one.kind,
        one.protocol or other.protocol,
        max(one.first_port, other.first_port),
        min(one.last_port, other.last_port),
        max(one.first, other.first),
        min(one.last, other.last),
    )
    return common if common.first <= common.last and common.first_port <= common.last_port else None


def narrowed(wanted: Iterable[Selector], have: Iterable[Selector]) -> tuple[Selector, ...]:
    """What of a peer's selectors lies within ours, in the peer's order and without repetition."""
    have = list(have)
    common = (_both(one, other) for one in wanted for other in have)
    return tuple(dict.fromkeys(one for one in common if one is not None))


def within(answered: Iterable[Selector], offered: Iterable[Selector]) -> bool:
    """Whether an answer only narrows what was offered, and leaves something."""
    selectors, offered = list(answered), list(offered)
    return bool(selectors) and all(any(_both(one, other) == one for other in offered) for one in selectors)


@dataclass(frozen=True)
class Ends:
    """The selectors of a tunnel as pairs: our end and the peer's, in the order of the tunnel's members."""

    pairs: tuple[tuple[Selector, Selector], ...]

    @classmethod
    def of(cls, traffic: Iterable[TrafficSelector]) -> Ends:
        return cls(tuple(ends(one) for one in traffic))

    @property
    def local(self) -> tuple[Selector, ...]:
        return tuple(dict.fromkeys(local for local, _peer in self.pairs))

    @property
    def peer(self) -> tuple[Selector, ...]:
        return tuple(dict.fromkeys(peer for _local, peer in self.pairs))

    def unserved(self, local: Iterable[Selector], peer: Iterable[Selector]) -> list[int]:
        """The places of the pairs of which nothing lies within these selectors."""
        local, peer = list(local), list(peer)
        return [
            place
            for place, (mine, others) in enumerate(self.pairs)
            if not narrowed(local, [mine]) or not narrowed(peer, [others])
        ]

    def narrowed(
        self, local: Iterable[Selector], peer: Iterable[Selector]
    ) -> tuple[tuple[Selector, ...], tuple[Selector, ...]]:
        """What of a peer's selectors for either end we have: our end, the peer's end."""
        local, peer = list(local), list(peer)
        left_out = self.unserved(local, peer)
        served = Ends(tuple(pair for place, pair in enumerate(self.pairs) if place not in left_out))
        return narrowed(local, served.local), narrowed(peer, served.peer)


def outbound(traffic: Traffic, local: Address, peer: Address) -> TrafficSelector:
    """Configured traffic; a macro stands for the end itself."""
    source = ipaddress.ip_network(local) if isinstance(traffic.source, str) else traffic.source
    destination = ipaddress.ip_network(peer) if isinstance(traffic.destination, str) else traffic.destination
    return TrafficSelector(source, destination, traffic.protocol, traffic.source_port, traffic.destination_port)


def translated(selectors: Iterable[Selector], seen: Address) -> tuple[Selector, ...]:
    """Transport mode behind NAT: single addresses become the one that was seen (RFC 7296 2.23.1)."""
    return tuple(
        Selector(one.kind, one.protocol, one.first_port, one.last_port, seen.packed, seen.packed)
        if one.first == one.last and len(one.first) == len(seen.packed)
        else one
        for one in selectors
    )


def describe(selectors: Iterable[Selector]) -> str:
    """Selectors for people: ``192.168.10.0/24``, with protocol and ports where they are not any."""
    return ", ".join(map(_describe, selectors)) or "nothing"


def _describe(selector: Selector) -> str:
    first, last = ipaddress.ip_address(selector.first), ipaddress.ip_address(selector.last)
    networks = list(ipaddress.summarize_address_range(first, last)) if first <= last else []
    text = str(networks[0]) if len(networks) == 1 else "{}-{}".format(first, last)
    if selector.protocol:
        text += " protocol {}".format(selector.protocol)
    if selector.first_port == selector.last_port:
        text += " port {}".format(selector.first_port)
    elif (selector.first_port, selector.last_port) != (0, _LAST_PORT):
        text += " ports {}-{}".format(selector.first_port, selector.last_port)
    return text


def describe_traffic(traffic: Traffic) -> str:
    """A configured selector for people, seen from its source."""
    text = "{} - {}".format(traffic.source, traffic.destination)
    return text + (" protocol {}".format(traffic.protocol) if traffic.protocol else "")
