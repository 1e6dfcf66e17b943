# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What's questionable in a plan though it can be deployed: found before any host is touched. Pure functions."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..module_utils.ike.policy.sa import Address, Network
from .inventory import Site
from .plan import Plan, TunnelEnd

WARNING = "warning"
NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """``subject`` is a site's inventory name, or a profile's."""

    severity: str
    subject: str
    text: str

    def __str__(self) -> str:
        return "{}: {}: {}".format(self.severity, self.subject, self.text)


@dataclass(frozen=True)
class Management:
    """How the controller reaches a site: the address it goes to, and its own (None where that isn't known)."""

    address: Address
    controller: Address | None = None


def lint(plan: Plan, management: Mapping[str, Management]) -> list[Finding]:
    """Every finding, the grave ones first. ``management`` has the sites whose management address is known."""
    findings = [*_captures(plan, management), *_swallowed(plan), *_overlaps(plan), *_weak(plan), *_lonely(plan)]
    return sorted(findings, key=lambda finding: finding.severity != WARNING)


def captured(end: TunnelEnd, management: Management) -> Iterator[tuple[Network, Network]]:
    """The selectors that the controller's own connection to this end would fall into once they're installed."""
    for local, peer in end.networks:
        if management.address.version != local.version or management.address not in local:
            continue
        if (management.controller is None and peer.prefixlen == 0) or (
            management.controller is not None and management.controller in peer
        ):
            yield local, peer


def management_of(connection: Sequence[str]) -> Management | None:
    """How the controller reaches a host that says between which two addresses (ours, its own); None if it can't say."""
    if not all(connection):
        return None
    controller, address = (ipaddress.ip_address(text.partition("%")[0]) for text in connection)
    return Management(address, controller)


def _captures(plan: Plan, management: Mapping[str, Management]) -> Iterator[Finding]:
    text = "the selector {} to {} captures the management address {}: without a tunnel to {}, the site is out of reach"
    for name, way in management.items():
        for end in plan.ends[name]:
            for local, peer in captured(end, way):
                yield Finding(WARNING, name, text.format(local, peer, way.address, end.peer.name))


def _swallowed(plan: Plan) -> Iterator[Finding]:
    """A tunnel between networks that its own two ends lie in."""
    text = "{} to {} covers the gateways themselves, {} and {}: what they say to each other goes into the tunnel too"
    for tunnel in plan.tunnels:
        end, _other = tunnel.ends()
        if None in (end.local.address, end.peer.address):
            continue
        for local, peer in end.networks:
            if end.local.address in local and end.peer.address in peer:
                yield Finding(WARNING, end.local.name, text.format(local, peer, end.local.address, end.peer.address))


def _overlaps(plan: Plan) -> Iterator[Finding]:
    """Networks of one site inside those of another. A default route overlaps everything, and is meant to."""
    claims = [(network, site) for site in plan.sites.values() for network in site.networks if network.prefixlen]
    claims.sort(key=lambda claim: (claim[0].version, int(claim[0].network_address), claim[0].prefixlen))
    around: list[tuple[Network, Site]] = []  # networks are nested or apart, so those that hold the next are a stack
    for network, site in claims:
        while around and not _within(network, around[-1][0]):
            around.pop()
        if around and around[-1][1] is not site:
            outer, owner = around[-1]
            text = "{} lies in {} of {}: a site that knows both sends to the more specific one"
            yield Finding(WARNING, site.name, text.format(network, outer, owner.name))
        around.append((network, site))


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)


def _weak(plan: Plan) -> Iterator[Finding]:
    used = Counter(tunnel.profile for tunnel in plan.tunnels)
    for profile, count in used.items():
        for weakness in profile.weaknesses:
            yield Finding(WARNING, "profile " + profile.name, "{} (tunnels: {})".format(weakness, count))


def _lonely(plan: Plan) -> Iterator[Finding]:
    """Sites that nothing leads to, and networks that no tunnel carries."""
    for name, site in plan.sites.items():
        if not plan.ends[name]:
            yield Finding(NOTE, name, "no tunnel: the topology joins it to nobody")
            continue
        carried = {local for end in plan.ends[name] for local, _peer in end.networks}
        for network in site.networks:
            if network not in carried:
                yield Finding(NOTE, name, "{} is in no tunnel: no peer has a network of its family".format(network))
