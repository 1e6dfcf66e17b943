# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: inventory in, tunnels out. A pure function; both ends of a tunnel are read from one entry."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..module_utils.ike.policy.sa import Address, Network
from ..module_utils.ike.policy.spd import UNKNOWN as UNKNOWN_ENDS
from .inventory import InventoryError, Problem, Site, read_sites
from .own_profiles import all_profiles
from .profiles import Profile
from .topology import DEFAULT_TOPOLOGY, Pair, read_pairs, read_profiles


@dataclass(frozen=True)
class TunnelEnd:
    """A tunnel as one of its two sites sees it."""

    local: Site
    peer: Site
    profile: Profile

    @property
    def name(self) -> str:
        """The index of the remote and of the policy at this end: the peer's."""
        return self.peer.index

    @property
    def networks(self) -> list[tuple[Network, Network]]:
        """Every local network with every network of the peer's that is of its family."""
        return _network_pairs(self.local, self.peer)

    @property
    def path_mtu(self) -> int:
        """The largest packet in bytes that crosses between the two gateways: the narrower line decides."""
        return min(self.local.path_mtu, self.peer.path_mtu)

    @property
    def encapsulated(self) -> bool:
        """Whether ESP travels in UDP, because NAT lies between the gateways or one of them forces it."""
        return self.local.needs_udp or self.peer.needs_udp

    @property
    def family(self) -> int:
        """The IP version of the outer packets."""
        return (self.local.address or self.peer.address).version

    @property
    def local_address(self) -> Address:
        """The address that this end has; the unspecified one where nobody knows it."""
        return self.local.own_address or UNKNOWN_ENDS[self.family]

    @property
    def peer_address(self) -> Address:
        """The address at which the peer is seen; the unspecified one where nobody knows it."""
        return self.peer.address or UNKNOWN_ENDS[self.family]

    @property
    def initiates(self) -> bool:
        """Whether this end is the one that brings the tunnel up, where somebody has to. The other one waits.

        That's the one whose address isn't known, whom nobody else can reach; whom we can ask to; the one behind NAT,
        who may be out of reach; else the first by name.
        """
        return _eagerness(self.local) < _eagerness(self.peer)


@dataclass(frozen=True)
class Tunnel:
    """One entry of the plan: two sites in the order of their names, and what they use between them."""

    first: Site
    second: Site
    profile: Profile

    def ends(self) -> tuple[TunnelEnd, TunnelEnd]:
        return TunnelEnd(self.first, self.second, self.profile), TunnelEnd(self.second, self.first, self.profile)


@dataclass(frozen=True)
class Plan:
    """All sites and tunnels; ``ends`` has each site's tunnels, by its inventory name, in the order of its peers."""

    sites: Mapping[str, Site]
    tunnels: tuple[Tunnel, ...]
    ends: Mapping[str, tuple[TunnelEnd, ...]]


def make_plan(variables: Mapping[str, Mapping[str, Any]]) -> Plan:
    """Plan the tunnels between the sites of an inventory.

    ``variables`` maps each site's inventory name to its variables (see docs/inventory.md). The topology, the
    inventory's profiles and those of single tunnels are one statement each, which every site has to see. Raises
    InventoryError with every problem found.
    """
    known = all_profiles(_one(variables, "ipsec_profiles", {}))
    sites = read_sites(variables, known)
    pairs = [
        (first, second)
        for first, second in read_pairs(_one(variables, "ipsec_topology", DEFAULT_TOPOLOGY), tuple(sites))
        if sites[first].managed or sites[second].managed  # what others have between them isn't ours
    ]
    profiles = read_profiles(_one(variables, "ipsec_tunnel_profiles", {}), pairs, known)
    problems = (*_mismatches(sites, pairs, profiles), *_strangers(sites, pairs))
    if problems:
        raise InventoryError(problems)
    tunnels = tuple(
        Tunnel(
            sites[first].facing(second),
            sites[second].facing(first),
            profiles.get((first, second), sites[first].profile),
        )
        for first, second in pairs
    )
    return Plan(sites, tunnels, _ends(sites, tunnels))


def warnings(ends: Iterable[TunnelEnd]) -> tuple[str, ...]:
    """What one should know about some tunnels: weak profiles, a network of one end inside one of the other's."""
    found = []
    for end in ends:
        found += ["profile {}: {}".format(end.profile.name, weakness) for weakness in end.profile.weaknesses]
        found += [
            "{} of {} overlaps {} of {}: the tunnel takes what lies in both".format(
                ours, end.local.name, theirs, end.peer.name
            )
            for ours, theirs in end.networks
            if ours.overlaps(theirs)
        ]
    return tuple(dict.fromkeys(found))


def _one(variables: Mapping[str, Mapping[str, Any]], variable: str, default: Any) -> Any:
    """The statement that all sites share; the first site's in the order of names is the one they're compared with."""
    names = sorted(variables)
    statements = [variables[name].get(variable, default) for name in names]
    for name, statement in zip(names, statements):
        if statement != statements[0]:
            text = "differs from {}'s: set it once, for the whole group".format(names[0])
            raise InventoryError((Problem(name, variable, text),))
    return statements[0] if statements else default


def _eagerness(site: Site) -> tuple[bool, bool, bool, str]:
    return not site.unknown, not site.managed, not site.translated, site.name


def _mismatches(
    sites: Mapping[str, Site], pairs: Iterable[Pair], profiles: Mapping[Pair, Profile]
) -> Iterator[Problem]:
    """Two sites that are to be joined and can't be."""
    for first, second in ((sites[one].facing(other), sites[other].facing(one)) for one, other in pairs):
        if first.profile is not second.profile and (first.name, second.name) not in profiles:
            text = "{} here, {} at {}: both ends of a tunnel need the same"
            yield Problem(
                second.name, "ipsec_profile", text.format(second.profile.name, first.profile.name, first.name)
            )
        profile = profiles.get((first.name, second.name), first.profile)
        yield from _out_of_reach(first, second, profile)
        yield from _behind_nat(first, second, profile)
        if not _network_pairs(first, second):
            text = "no network of the same family (IPv4, IPv6) as any of {}'s"
            yield Problem(second.name, "ipsec_networks", text.format(first.name))


def _strangers(sites: Mapping[str, Site], pairs: Iterable[Pair]) -> Iterator[Problem]:
    """Addresses for peers that a site isn't joined to."""
    named = [(site, peer) for site in sites.values() for peer, _address in site.tunnel_addresses]
    joined = frozenset(pairs) if named else frozenset()
    for site, peer in named:
        if (min(site.name, peer), max(site.name, peer)) not in joined:
            yield Problem(site.name, "ipsec_tunnel_addresses", "{!r} is no site that it is joined to".format(peer))


def _out_of_reach(first: Site, second: Site, profile: Profile) -> Iterator[Problem]:
    """Two sites of which neither can find the other."""
    if first.address is None and second.address is None:
        text = "{} here, {} at {}: of two sites one has to have an address that stays"
        yield Problem(second.name, "ipsec_address", text.format(second.shown_address, first.shown_address, first.name))
        return
    for one, other in ((first, second), (second, first)):
        if one.address is None and profile.cryptography.version == 1:
            text = "{} here, and {} is IKEv1, whose main mode finds the key by the address: {} needs IKEv2"
            yield Problem(one.name, "ipsec_address", text.format(one.shown_address, profile.name, other.name))
    addresses = [site.address or site.own_address for site in (first, second)]
    if None not in addresses and addresses[0].version != addresses[1].version:
        text = "{} here, {} at {}: one tunnel can't join IPv4 and IPv6"
        yield Problem(second.name, "ipsec_address", text.format(addresses[1], addresses[0], first.name))


def _behind_nat(first: Site, second: Site, profile: Profile) -> Iterator[Problem]:
    """A profile without NAT traversal, where one of the two needs it."""
    for site in (first, second):
        if site.needs_udp and not profile.cryptography.nat_traversal:
            text = "{} has no nat_traversal, which {} needs: NAT lies before it, as far as is known, or it forces UDP"
            yield Problem(site.name, "ipsec_profile", text.format(profile.name, site.name))


def _network_pairs(one: Site, other: Site) -> list[tuple[Network, Network]]:
    return [pair for pair in itertools.product(one.networks, other.networks) if pair[0].version == pair[1].version]


def _ends(sites: Mapping[str, Site], tunnels: Iterable[Tunnel]) -> dict[str, tuple[TunnelEnd, ...]]:
    ends: dict[str, list[TunnelEnd]] = {name: [] for name in sites}
    for tunnel in tunnels:
        for end in tunnel.ends():
            ends[end.local.name].append(end)
    return {name: tuple(sorted(found, key=lambda end: end.peer.name)) for name, found in ends.items()}
