# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a packet filter does with a packet: chains of rules, whoever wrote them, and a walk through them.

nftables and iptables are read into the same values (:mod:`.nftables`, :mod:`.iptables`). A condition that isn't
understood neither holds nor fails; a fate that hangs on one says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_network

from ..ike.policy.sa import Network

ACCEPT, DROP, NAT, RETURN, JUMP, GOTO, CONTINUE = "accept", "drop", "nat", "return", "jump", "goto", "continue"
KEEP = "keep"  # translated to what it is, so that nobody else translates it

FILTER_TYPE, NAT_TYPE = "filter", "nat"
INPUT, FORWARD, OUTPUT, POSTROUTING = "input", "forward", "output", "postrouting"

# What a condition looks at; anything else is UNKNOWN
SOURCE, DESTINATION, PROTOCOL, PORT = "source", "destination", "protocol", "port"
IN_DEVICE, OUT_DEVICE, STATE, IPSEC, FAMILY, UNKNOWN = "in_device", "out_device", "state", "ipsec", "family", "unknown"

_MAXIMUM_DEPTH = 16  # of jumps; nftables' own limit


@dataclass(frozen=True)
class Packet:
    """Traffic as a hook sees it. Networks stand for any of their addresses; an empty device isn't known.

    ``protocol`` is a name (``esp``, ``udp``, ``icmp``), ``port`` the destination's, ``ipsec`` whether it goes to or
    comes from an SA.
    """

    source: Network
    destination: Network
    protocol: str
    port: int = 0
    in_device: str = ""
    out_device: str = ""
    ipsec: bool = False
    state: str = "new"

    def __str__(self) -> str:
        port = " port {}".format(self.port) if self.port else ""
        return "{}{} {} -> {}".format(self.protocol, port, self.source, self.destination)


@dataclass(frozen=True)
class Condition:
    """One test of a rule. ``values`` are texts; of a port, ranges (first, last)."""

    field: str
    values: tuple = ()
    negated: bool = False

    def test(self, packet: Packet) -> bool | None:
        """Whether the packet fits; None where that can't be said."""
        found = self._test(packet)
        return found if found is None else found != self.negated

    def _test(self, packet: Packet) -> bool | None:
        if self.field in (SOURCE, DESTINATION):
            return _covers(self.values, getattr(packet, self.field))
        if self.field in (IN_DEVICE, OUT_DEVICE):
            device = getattr(packet, self.field)
            return any(fnmatchcase(device, pattern) for pattern in self.values) if device else None
        if self.field == PORT:
            return any(first <= packet.port <= last for first, last in self.values)
        if self.field in (PROTOCOL, STATE):
            return getattr(packet, self.field) in self.values
        if self.field == IPSEC:
            return packet.ipsec
        if self.field == FAMILY:
            return packet.source.version in self.values
        return None


def _covers(texts: Iterable[str], network: Network) -> bool | None:
    """Whether some network holds all of this one; None where one holds a part, or isn't a network at all."""
    answer: bool | None = False
    for text in texts:
        try:
            other = ip_network(text, strict=False)
        except ValueError:
            answer = None
            continue
        if other.version != network.version:
            continue
        if network.subnet_of(other):
            return True
        if network.overlaps(other):
            answer = None
    return answer


@dataclass(frozen=True)
class Rule:
    """Conditions that must all hold, what then becomes of the packet, and the rule as people write it.

    ``clamps``: it reduces the segment size that a SYN announces.
    """

    conditions: tuple[Condition, ...]
    verdict: str
    target: str = ""  # of a jump
    text: str = ""
    clamps: bool = False

    def applies(self, packet: Packet) -> bool | None:
        answers = [condition.test(packet) for condition in self.conditions]
        if False in answers:
            return False
        return None if None in answers else True


@dataclass(frozen=True)
class Chain:
    """A chain; ``hook`` is empty where nothing but jumps leads into it. ``families`` are IP versions."""

    table: str
    name: str
    families: tuple[int, ...]
    rules: tuple[Rule, ...]
    kind: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = ACCEPT


@dataclass(frozen=True)
class Fate:
    """What becomes of a packet at a hook, by which rule; ``doubts`` are rules that may decide otherwise."""

    verdict: str
    rule: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        return not self.doubts


@dataclass(frozen=True)
class Filter:
    """All chains of a host."""

    chains: tuple[Chain, ...] = ()

    def fate(self, packet: Packet, hook: str, kind: str = FILTER_TYPE) -> Fate:
        """The packet meets the hook's chains in the order of their priorities until one drops or translates it."""
        doubts: tuple[str, ...] = ()
        rule = ""
        for chain in sorted(self._at(packet, hook, kind), key=lambda one: one.priority):
            walk = _Walk(packet, {(one.table, one.name): one for one in self.chains})
            verdict, rule = walk.run(chain)
            doubts += tuple(text for other, text in walk.doubts if other != verdict)
            if verdict != ACCEPT:
                return Fate(ACCEPT if verdict == KEEP else verdict, rule, doubts)
        return Fate(ACCEPT, rule, doubts)

    def clamps(self, packet: Packet) -> bool:
        """Whether some rule that meets the packet reduces TCP's segments, if it's a SYN."""
        return any(
            rule.clamps and rule.applies(packet) is not False
            for chain in self.chains
            if packet.source.version in chain.families
            for rule in chain.rules
        )

    def _at(self, packet: Packet, hook: str, kind: str) -> Iterator[Chain]:
        return (
            chain
            for chain in self.chains
            if (chain.hook, chain.kind) == (hook, kind) and packet.source.version in chain.families
        )


class _Walk:
    """One packet's way through a base chain and what it jumps to."""

    def __init__(self, packet: Packet, chains: Mapping[tuple[str, str], Chain]) -> None:
        self.packet = packet
        self.chains = chains
        self.doubts: list[tuple[str, str]] = []

    def run(self, base: Chain) -> tuple[str, str]:
        verdict, rule = self._chain(base, 0)
        if verdict in (RETURN, CONTINUE):
            return base.policy, "policy of {} {}".format(base.table, base.name)
        return verdict, rule

    def _chain(self, chain: Chain, depth: int) -> tuple[str, str]:
        for rule in chain.rules:
            applies = rule.applies(self.packet)
            if applies is False or rule.verdict == CONTINUE:
                continue
            verdict, text = self._verdict(chain, rule, depth)
            if applies is None:
                if verdict in (ACCEPT, DROP, NAT, KEEP):
                    self.doubts.append((verdict, text))
                continue
            if verdict != CONTINUE:
                return verdict, text
        return CONTINUE, ""

    def _verdict(self, chain: Chain, rule: Rule, depth: int) -> tuple[str, str]:
        if rule.verdict not in (JUMP, GOTO):
            return rule.verdict, "{} {}: {}".format(chain.table, chain.name, rule.text)
        target = self.chains.get((chain.table, rule.target))
        if target is None or depth >= _MAXIMUM_DEPTH:
            return CONTINUE, ""
        verdict, text = self._chain(target, depth + 1)
        if verdict in (RETURN, CONTINUE):
            return (CONTINUE if rule.verdict == JUMP else RETURN), ""
        return verdict, text


def merge(filters: Sequence[Filter]) -> Filter:
    return Filter(tuple(chain for one in filters for chain in one.chains))
