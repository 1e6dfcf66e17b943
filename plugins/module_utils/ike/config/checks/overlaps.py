# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selectors that cover the same packets, found in nearly linear time.

Prefixes either nest or are apart. Two selectors overlap when their sources nest and their destinations nest, either
the same way round (one covers the other) or crosswise. For each selector the covering ones are looked up by their
prefixes, the crossing ones by a search among the destinations that share a source.
"""

from __future__ import annotations

import bisect
import enum
from collections.abc import Iterator

from ..settings import Network, Traffic, Tunnel

MAX_TRIED = 8  # candidates with the same networks, but other protocols and ports


class Overlap(enum.Enum):
    SAME = "same"
    COVERED = "covered"  # the other one covers it
    CROSSING = "crossing"


def overlaps(tunnels: tuple[Tunnel, ...]) -> Iterator[tuple[Tunnel, Tunnel, Overlap]]:
    """(selector, other, how they overlap), at most one of each kind for a selector. Names and macros are left out."""
    literal = [tunnel for tunnel in tunnels if not isinstance(tunnel.selector.source, str)]
    literal = [tunnel for tunnel in literal if not isinstance(tunnel.selector.destination, str)]
    literal = [tunnel for tunnel in literal if tunnel.selector.source.version == tunnel.selector.destination.version]
    table = _Table(literal)
    for tunnel in literal:
        yield from table.overlaps_of(tunnel)


class _Table:
    def __init__(self, tunnels: list[Tunnel]):
        self._exact: dict[tuple, list[Tunnel]] = {}
        self._by_source: dict[tuple, list[tuple[int, int, int]]] = {}
        self._tunnels = tunnels
        self._lengths: dict[int, tuple[list[int], list[int]]] = {}
        for place, tunnel in enumerate(tunnels):
            source, destination = tunnel.selector.source, tunnel.selector.destination
            self._exact.setdefault((_key(source), _key(destination)), []).append(tunnel)
            start = int(destination.network_address)
            self._by_source.setdefault(_key(source), []).append((start, destination.prefixlen, place))
        for ranges in self._by_source.values():
            ranges.sort()
        for version in (4, 6):
            self._lengths[version] = (
                sorted({t.selector.source.prefixlen for t in tunnels if t.selector.source.version == version}),
                sorted({t.selector.destination.prefixlen for t in tunnels if t.selector.source.version == version}),
            )

    def overlaps_of(self, tunnel: Tunnel) -> Iterator[tuple[Tunnel, Tunnel, Overlap]]:
        covering = self._covering(tunnel)
        if covering is not None:
            yield tunnel, covering, Overlap.SAME if covering.selector == tunnel.selector else Overlap.COVERED
        crossing = self._crossing(tunnel)
        if crossing is not None:
            yield tunnel, crossing, Overlap.CROSSING

    def _covering(self, tunnel: Tunnel) -> Tunnel | None:
        """The closest selector whose networks contain both of this one's."""
        source, destination = tunnel.selector.source, tunnel.selector.destination
        source_lengths, destination_lengths = self._lengths[source.version]
        for source_length in reversed(_upto(source_lengths, source.prefixlen)):
            for destination_length in reversed(_upto(destination_lengths, destination.prefixlen)):
                key = (_key(source, source_length), _key(destination, destination_length))
                for other in self._exact.get(key, ())[:MAX_TRIED]:
                    if _covers(other.selector, tunnel.selector) and _comes_first(other, tunnel):
                        return other
        return None

    def _crossing(self, tunnel: Tunnel) -> Tunnel | None:
        """A selector with a wider source and a narrower destination."""
        source, destination = tunnel.selector.source, tunnel.selector.destination
        first, last = int(destination.network_address), int(destination.broadcast_address)
        for length in _upto(self._lengths[source.version][0], source.prefixlen - 1):
            ranges = self._by_source.get(_key(source, length), [])
            start = bisect.bisect_left(ranges, (first, destination.prefixlen + 1))
            for range_start, range_length, place in ranges[start : start + MAX_TRIED]:
                other = self._tunnels[place]
                inside = range_start <= last and range_length > destination.prefixlen
                if inside and _compatible(other.selector, tunnel.selector):
                    return other
        return None


def _key(network: Network, length: int | None = None) -> tuple[int, int, int]:
    """A network, widened to a prefix length: IP version, prefix length, the prefix as a number."""
    length = network.prefixlen if length is None else length
    return network.version, length, int(network.network_address) >> (network.max_prefixlen - length)


def _upto(lengths: list[int], longest: int) -> list[int]:
    return lengths[: bisect.bisect_right(lengths, longest)]


def _comes_first(other: Tunnel, tunnel: Tunnel) -> bool:
    """Of two selectors that are the same only the later one is reported."""
    return other.selector != tunnel.selector or other.rank < tunnel.rank


def _covers(wide: Traffic, narrow: Traffic) -> bool:
    """Whether protocol and ports of one selector take in the other's."""
    return all(
        ours in (0, theirs)
        for ours, theirs in (
            (wide.protocol, narrow.protocol),
            (wide.source_port, narrow.source_port),
            (wide.destination_port, narrow.destination_port),
        )
    )


def _compatible(one: Traffic, other: Traffic) -> bool:
    """Whether one packet can match the protocols and ports of both."""
    return all(
        0 in pair or pair[0] == pair[1]
        for pair in (
            (one.protocol, other.protocol),
            (one.source_port, other.source_port),
            (one.destination_port, other.destination_port),
        )
    )
