# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selectors: mirrored, expressible, not in each other's way, and not across the operator's own connection."""

from __future__ import annotations

from ..grammar import IKEV1
from ..settings import ANY_MACROS, Address, Network, Traffic, Tunnel
from .overlaps import Overlap, overlaps
from .subject import Subject

_MOST_SELECTORS = 255  # in one payload, RFC 7296 3.13


def check_traffic(subject: Subject) -> None:
    for tunnel in subject.effective.tunnels + subject.effective.inbound:
        _check_addresses(subject, tunnel)
    _check_mirrors(subject)
    _check_overlaps(subject)
    _check_shared(subject)
    if subject.ours:
        _check_reqids(subject)
    _check_management(subject)


def _check_addresses(subject: Subject, tunnel: Tunnel) -> None:
    traffic = tunnel.selector
    names = [side for side in (traffic.source, traffic.destination) if isinstance(side, str)]
    macros = [name for name in names if name.partition("%")[0] in ANY_MACROS]
    if len(macros) == 2:
        crash = "spmd aborts" if subject.upstream else ""
        subject.problems.error(tunnel.position, "selector {}: a macro on both sides".format(tunnel.name), crash)
    for name in set(names) - set(macros):
        subject.problems.error(
            tunnel.position,
            "selector {}: {} is no address".format(tunnel.name, name),
            "write a network",
        )
    if names and subject.upstream and tunnel.action == "ipsec" and IKEV1 in subject.acceptable(tunnel.remote):
        subject.problems.error(
            tunnel.position,
            "selector {}: IKEv1 needs literal addresses".format(tunnel.name),
            "iked aborts in quick mode",
        )
    if not names and traffic.source.version != traffic.destination.version:
        subject.problems.error(tunnel.position, "selector {}: IPv4 on one side, IPv6 on the other".format(tunnel.name))


# ---- Mirrors --------------------------------------------------------------------------------------------------------


def _check_mirrors(subject: Subject) -> None:
    inbound: dict[str, list[Tunnel]] = {}
    for tunnel in subject.effective.inbound:
        inbound.setdefault(tunnel.policy, []).append(tunnel)
    for tunnel in subject.effective.tunnels:
        if not tunnel.inbound and tunnel.action == "ipsec":
            subject.problems.error(
                tunnel.position,
                "selector {} has no inbound mirror".format(tunnel.name),
                _mirror_hint(tunnel, inbound.get(tunnel.policy, [])),
            )
    outbound = {(tunnel.policy, tunnel.selector) for tunnel in subject.effective.tunnels}
    for tunnel in subject.effective.inbound:
        if (tunnel.policy, tunnel.selector.reversed()) not in outbound and tunnel.action == "ipsec":
            subject.problems.warning(tunnel.position, "selector {} mirrors no outbound selector".format(tunnel.name))


def _mirror_hint(tunnel: Tunnel, candidates: list[Tunnel]) -> str:
    wanted = describe(tunnel.selector.reversed())
    if len(candidates) == 1:
        return "{} has {}, the mirror would be {}".format(candidates[0].name, describe(candidates[0].selector), wanted)
    return "direction inbound with {} and policy_index {}".format(wanted, tunnel.policy)


# ---- Child SAs for several selectors ---------------------------------------------------------------------------------


def _check_shared(subject: Subject) -> None:
    policies: dict[str, list[Tunnel]] = {}
    for tunnel in subject.effective.tunnels:
        if tunnel.shared:
            policies.setdefault(tunnel.policy, []).append(tunnel)
    for name, tunnels in policies.items():
        _check_shared_policy(subject, name, tunnels)


def _check_shared_policy(subject: Subject, name: str, tunnels: list[Tunnel]) -> None:
    """IKEv2 agrees on two lists: whatever is in the one goes with whatever is in the other (RFC 7296 2.9)."""
    position = tunnels[0].position
    locals_ = dict.fromkeys(_ends(tunnel.selector)[0] for tunnel in tunnels)
    peers = dict.fromkeys(_ends(tunnel.selector)[1] for tunnel in tunnels)
    for side, ends in (("source", locals_), ("destination", peers)):
        if len(ends) > _MOST_SELECTORS:
            subject.problems.error(
                position,
                "policy {}: {} {}s for one child SA (at most {})".format(name, len(ends), side, _MOST_SELECTORS),
                "make several policies of it",
            )
    if len({tunnel.reqid for tunnel in tunnels if tunnel.reqid}) > 1:
        subject.problems.error(position, "policy {}: its selectors share a child SA but not a reqid".format(name))
    pairs = {_ends(tunnel.selector) for tunnel in tunnels}
    for pair in ((one, other) for one in locals_ for other in peers):
        if pair not in pairs and _meet(*pair) and not any(_lets(tunnel.selector, *pair) for tunnel in tunnels):
            subject.problems.warning(
                position,
                "policy {}: its child SA is for {} with {} too, which no selector lets through".format(
                    name, pair[0][0], pair[1][0]
                ),
                "child_per selector, or a policy for each group",
            )
            return


def _ends(traffic: Traffic) -> tuple[tuple, tuple]:
    """Source and destination, each with protocol and port."""
    return (
        (traffic.source, traffic.protocol, traffic.source_port),
        (traffic.destination, traffic.protocol, traffic.destination_port),
    )


def _meet(one: tuple, other: tuple) -> bool:
    """Whether there can be traffic between two ends: of one family, and of a protocol that both have."""
    families = {getattr(end[0], "version", 0) for end in (one, other)}
    return len(families) == 1 and (one[1] == other[1] or not one[1] or not other[1])


def _lets(traffic: Traffic, one: tuple, other: tuple) -> bool:
    """Whether a selector is for all of the traffic that two ends with literal networks have together."""
    literal = not any(isinstance(net, str) for net in (traffic.source, traffic.destination, one[0], other[0]))
    return (
        literal
        and one[0].version == traffic.source.version
        and one[0].subnet_of(traffic.source)
        and other[0].subnet_of(traffic.destination)
        and traffic.protocol in (0, one[1] or other[1])
        and traffic.source_port in (0, one[2])
        and traffic.destination_port in (0, other[2])
    )


def describe(traffic: Traffic) -> str:
    """A selector for people: ``src 10.0.0.0/8 dst 10.1.0.0/16``, and what else it says."""
    text = "src {}{} dst {}{}".format(
        traffic.source, _port(traffic.source_port), traffic.destination, _port(traffic.destination_port)
    )
    return "{} protocol {}".format(text, traffic.protocol) if traffic.protocol else text


def _port(port: int) -> str:
    return " port {}".format(port) if port else ""


# ---- Request ids ----------------------------------------------------------------------------------------------------


def _check_reqids(subject: Subject) -> None:
    """A reqid says which SAs are a tunnel's: with another tunnel's it would lead traffic to the other's peer."""
    owners: dict[int, Tunnel] = {}
    for tunnel in subject.effective.tunnels:
        if not tunnel.reqid or tunnel.action != "ipsec":
            continue
        other = owners.setdefault(tunnel.reqid, tunnel)
        if other is not tunnel and not (tunnel.shared and tunnel.policy == other.policy):
            subject.problems.error(
                tunnel.position,
                "selector {} has the reqid {} of selector {}".format(tunnel.name, tunnel.reqid, other.name),
                "leave it out, or give each its own",
            )


# ---- Overlaps -------------------------------------------------------------------------------------------------------


def _check_overlaps(subject: Subject) -> None:
    for tunnel, other, kind in overlaps(subject.effective.tunnels):
        pair = "selector {} and selector {}".format(tunnel.name, other.name)
        if kind == Overlap.SAME:
            subject.problems.error(
                tunnel.position,
                "{} cover the same traffic".format(pair),
                "only one of them can win",
            )
        elif kind == Overlap.CROSSING:
            subject.problems.warning(
                tunnel.position,
                "{} overlap, neither inside the other".format(pair),
                "the order decides: avoid it",
            )
        elif subject.upstream and other.rank < tunnel.rank:
            subject.problems.warning(
                tunnel.position,
                "selector {} stands below {}, which covers it".format(tunnel.name, other.name),
                "spmd installs in this order, the first match may win: put the more specific one first",
            )


# ---- The operator's own connection ----------------------------------------------------------------------------------


def _check_management(subject: Subject) -> None:
    options = subject.options
    for tunnel in subject.effective.tunnels:
        if tunnel.action == "bypass":
            continue
        for address in options.management:
            if _captures(tunnel.selector, subject.local_addresses, address):
                subject.problems.error(
                    tunnel.position,
                    "selector {} captures the management address {}".format(tunnel.name, address),
                    "it becomes unreachable in clear: put a selector with action none above",
                )
        if options.session and _captures(tunnel.selector, {options.session[0]}, options.session[1]):
            subject.problems.warning(
                tunnel.position,
                "selector {} captures your own connection from {}".format(tunnel.name, options.session[1]),
                "it may end as soon as the policy is installed",
            )
        _check_everything(subject, tunnel)


def _check_everything(subject: Subject, tunnel: Tunnel) -> None:
    """The host's own address to everywhere: nothing passes until the tunnel is up."""
    ours = {end for end in (tunnel.my_address,) if end is not None and not isinstance(end, str)}
    everywhere = isinstance(tunnel.selector.destination, str) or tunnel.selector.destination.prefixlen == 0
    if everywhere and (
        isinstance(tunnel.selector.source, str) or any(_in(end, tunnel.selector.source) for end in ours)
    ):
        subject.problems.warning(
            tunnel.position,
            "selector {} captures all traffic of this host".format(tunnel.name),
            "it is cut off without an SA",
        )


def _captures(traffic: Traffic, ours: set[Address], theirs: Address) -> bool:
    """Whether what this host sends to an address falls under a selector. Without known addresses any source counts."""
    if traffic.protocol not in (0, 6) or not _in(theirs, traffic.destination):
        return _in(theirs, traffic.source) and theirs in ours
    return not ours or any(_in(address, traffic.source) for address in ours)


def _in(address: Address, network: Network | str) -> bool:
    if isinstance(network, str):
        return network.partition("%")[0] in ANY_MACROS
    return address.version == network.version and address in network
