# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway's packet filter does for the tunnels' traffic: rules for nftables and iptables, from the plan.

NAT exemption. nftables: an accept in one table doesn't stop another one's masquerade, so the first packet of a
connection is given its own source address, before anybody else's turn (priority srcnat - 10). A connection has its
source translated once: whatever masquerades afterwards, in nftables or in either iptables, is passed over. iptables
alone: accepted at the head of POSTROUTING.

MSS clamp. At postrouting, so that it meets what is forwarded both ways and what the gateway begins itself. The plan's
value goes both ways; outwards the kernel's own (its SA, the device's MTU, what it has learnt of the path) too. Neither
nftables nor iptables ever makes a segment size larger, so the smaller one holds.

Networks are named, not policies: a connection that began before its policy was there isn't translated either.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import collapse_addresses

from .overhead import maximum_segment
from .plan import TunnelEnd

AUTO, NFTABLES, IPTABLES = "auto", "nftables", "iptables"
PACKET_FILTERS = (AUTO, NFTABLES, IPTABLES)

TABLE = "tanuki_ipsec"
CHAIN = "TANUKI_IPSEC"
_NFT_FAMILIES = {4: "ip", 6: "ip6"}
_IPTABLES = {4: "iptables", 6: "ip6tables"}
_HOOKS = {"nat": "POSTROUTING", "mangle": "POSTROUTING", "raw": "PREROUTING"}  # where iptables' tables jump to ours
_MARK_DIGITS = 12


@dataclass(frozen=True)
class GatewayWork:
    """Which parts an operator wants, and by which packet filter."""

    nat_exemption: bool = True
    mss_clamp: bool = True
    ftp_helper: bool = False
    packet_filter: str = AUTO

    @property
    def wanted(self) -> bool:
        return self.nat_exemption or self.mss_clamp or self.ftp_helper

    @property
    def tools(self) -> tuple[str, ...]:
        """The packet filters that may do it, the better one first; none where there's nothing to do."""
        if not self.wanted:
            return ()
        return (NFTABLES, IPTABLES) if self.packet_filter == AUTO else (self.packet_filter,)


EVERYTHING = GatewayWork()  # that is on by default
NOTHING = GatewayWork(nat_exemption=False, mss_clamp=False)


@dataclass(frozen=True)
class Traffic:
    """What goes between near and far networks of one IP version, and the TCP segments that fit their tunnels."""

    version: int
    near: tuple[str, ...]
    far: tuple[str, ...]
    segment: int

    def ways(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Both directions, as (sources, destinations)."""
        yield self.near, self.far
        yield self.far, self.near

    def untranslated(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """The ways that keep their source. Where all the world is a site's network, what comes from its peers to
        there leaves by masquerade."""
        yield self.near, self.far
        near = tuple(network for network in self.near if not network.endswith("/0"))
        if near:
            yield self.far, near


def traffic_of(ends: Sequence[TunnelEnd]) -> list[Traffic]:
    """The traffic of a site's tunnels; those of the same IP version and segment size are one."""
    pairs: dict[tuple[int, int], list[tuple]] = {}
    for end in ends:
        for local, peer in end.networks:
            pairs.setdefault((local.version, maximum_segment(end, local.version)), []).append((local, peer))
    return [
        Traffic(version, _collapsed(near for near, _far in found), _collapsed(far for _near, far in found), segment)
        for (version, segment), found in sorted(pairs.items())
    ]


def _collapsed(networks) -> tuple[str, ...]:
    return tuple(str(network) for network in collapse_addresses(networks))


def mark_of(rules: str) -> str:
    """What loaded rules are known by: a digest that they carry themselves."""
    return hashlib.sha256(rules.encode("utf-8")).hexdigest()[:_MARK_DIGITS]


# ---- nftables -------------------------------------------------------------------------------------------------------


def nftables_rules(work: GatewayWork, traffic: Sequence[Traffic]) -> str:
    """The table's chains, as nft(8) reads them."""
    chains = [
        *([_exemption(traffic)] if work.nat_exemption else []),
        *([_clamp(traffic)] if work.mss_clamp else []),
        *([_helper(traffic)] if work.ftp_helper else []),
    ]
    return "\n".join(chains)


def _exemption(traffic: Sequence[Traffic]) -> str:
    lines = [
        "{} snat {family} to {family} saddr".format(_between(one, way), family=_NFT_FAMILIES[one.version])
        for one in traffic
        for way in one.untranslated()
    ]
    return _nft_chain("exempt", "nat hook postrouting priority 90", lines)


def _clamp(traffic: Sequence[Traffic]) -> str:
    lines = ["tcp flags & (syn | rst) != syn return"]
    for one in traffic:
        lines += ["{} tcp option maxseg size set {}".format(_between(one, way), one.segment) for way in one.ways()]
        lines.append("{} rt ipsec exists tcp option maxseg size set rt mtu".format(_between(one, (one.near, one.far))))
    return _nft_chain("clamp", "filter hook postrouting priority -150", lines)


def _helper(traffic: Sequence[Traffic]) -> str:
    lines = ['{} tcp dport 21 ct helper set "ftp"'.format(_between(one, way)) for one in traffic for way in one.ways()]
    return '\tct helper ftp {\n\t\ttype "ftp" protocol tcp;\n\t}\n' + _nft_chain(
        "helper", "filter hook prerouting priority 0", lines
    )


def _between(traffic: Traffic, way: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    family = _NFT_FAMILIES[traffic.version]
    return "{0} saddr {1} {0} daddr {2}".format(family, *("{{ {} }}".format(", ".join(side)) for side in way))


def _nft_chain(name: str, base: str, lines: Sequence[str]) -> str:
    return "\tchain {} {{\n\t\ttype {};\n{}\t}}\n".format(name, base, "".join("\t\t{}\n".format(one) for one in lines))


# ---- iptables -------------------------------------------------------------------------------------------------------


def iptables_rules(work: GatewayWork, traffic: Sequence[Traffic], version: int) -> dict[str, list[str]]:
    """By table, the rules of our chain, as iptables-restore(8) reads them; of one IP version."""
    ours = [one for one in traffic if one.version == version]
    tables = {
        "nat": list(_accepted(ours)) if work.nat_exemption else [],
        "mangle": list(_clamped(ours)) if work.mss_clamp else [],
        "raw": list(_helped(ours)) if work.ftp_helper else [],
    }
    return {table: ["-A {} {}".format(CHAIN, rule) for rule in rules] for table, rules in tables.items()}


def _accepted(traffic: Sequence[Traffic]) -> Iterator[str]:
    for one in traffic:
        for way in one.untranslated():
            yield from ("-s {} -d {} -j ACCEPT".format(*pair) for pair in itertools.product(*way))


def _clamped(traffic: Sequence[Traffic]) -> Iterator[str]:
    syn = "-s {} -d {} -p tcp --tcp-flags SYN,RST SYN"
    for one in traffic:
        for way in one.ways():
            rule = syn + " -j TCPMSS --set-mss {}"
            yield from (rule.format(*pair, one.segment) for pair in itertools.product(*way))
        rule = syn + " -m policy --dir out --pol ipsec -j TCPMSS --clamp-mss-to-pmtu"
        yield from (rule.format(*pair) for pair in itertools.product(one.near, one.far))


def _helped(traffic: Sequence[Traffic]) -> Iterator[str]:
    for one in traffic:
        for way in one.ways():
            rule = "-s {} -d {} -p tcp --dport 21 -j CT --helper ftp"
            yield from (rule.format(*pair) for pair in itertools.product(*way))


def iptables_tables(work: GatewayWork, traffic: Sequence[Traffic]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Every table that may hold our chain: the tool, the table, the chain that jumps to ours, our rules."""
    for version, tool in _IPTABLES.items():
        for table, rules in iptables_rules(work, traffic, version).items():
            yield tool, table, _HOOKS[table], rules
