# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The security policy database that a configuration means: what spmd would install.

Pure: no kernel here. Every selector gives one entry of its direction, an inbound one in tunnel mode also the ``fwd``
entry that Linux wants for traffic that it forwards. Where spmd leaves precedence to the order of insertion, ours
comes from the selector itself: the more specific one wins, of two alike the first of the file.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from ..config.settings import ANY_MACROS, INBOUND, LOCAL_MACROS, Effective, Tunnel
from . import sa

PROTOCOLS = {"esp": sa.ESP, "ipcomp": sa.IPCOMP, "ah": sa.AH}  # in the order of a bundle, the tunnel's first
UNKNOWN = {4: ipaddress.IPv4Address(0), 6: ipaddress.IPv6Address(0)}  # an end that is still to be learned, by family
UNKNOWN_ENDS = frozenset(UNKNOWN.values())

_MOST_SPECIFIC = 4 * (128 + 128) + 4
_RANKS = 1 << 16  # selectors that keep the order of the file among equally specific ones

Resolve = Callable[[str, int], "sa.Address | None"]


def spd_entries(effective: Effective, resolve: Resolve | None = None, forward: bool = True) -> tuple[sa.Policy, ...]:
    """The entries of a configuration, in the order of its selectors.

    ``resolve(macro, version)`` gives this host's address for a macro such as ``MY_IPV4``, or None. Where an end isn't
    known yet (an FQDN, a road warrior, an unresolved macro), the unspecified address stands for it: unlike spmd, which
    has no entry at its start, that keeps the traffic back. ``forward`` adds Linux's ``fwd`` entries.
    """
    selectors = sorted(effective.tunnels + effective.inbound, key=lambda tunnel: tunnel.rank)
    policies: list[sa.Policy] = []
    for tunnel in selectors:
        policies += tunnel_entries(tunnel, resolve, forward)
    return tuple(policies)


def tunnel_entries(tunnel: Tunnel, resolve: Resolve | None = None, forward: bool = True) -> tuple[sa.Policy, ...]:
    """The entries of one selector: none, one, or an inbound one with its ``fwd``."""
    selector = traffic_selector(tunnel)
    templates = _templates(tunnel, resolve)
    if not tunnel.install or not tunnel.action or selector is None or templates is None:
        return ()
    directions = [sa.IN if tunnel.direction == INBOUND else sa.OUT]
    if forward and directions == [sa.IN] and templates and tunnel.mode == sa.TUNNEL:
        directions.append(sa.FWD)
    priority = _priority(selector, tunnel.rank)
    return tuple(
        sa.Policy(selector, direction, tunnel.action, templates, priority, tunnel.name) for direction in directions
    )


def traffic_selector(tunnel: Tunnel) -> sa.TrafficSelector | None:
    """A selector's traffic in addresses: a macro on one side covers all of the other side's family. None for names."""
    traffic = tunnel.selector
    source = _network(traffic.source, traffic.destination)
    destination = _network(traffic.destination, traffic.source)
    if source is None or destination is None or source.version != destination.version:
        return None
    return sa.TrafficSelector(source, destination, traffic.protocol, traffic.source_port, traffic.destination_port)


def _network(side: sa.Network | str, other: sa.Network | str) -> sa.Network | None:
    if not isinstance(side, str):
        return side
    if isinstance(other, str) or side.partition("%")[0] not in ANY_MACROS:
        return None
    return ipaddress.ip_network("0.0.0.0/0" if other.version == 4 else "::/0")


def _templates(tunnel: Tunnel, resolve: Resolve | None) -> tuple[sa.Template, ...] | None:
    """The SAs that an entry asks for, none for bypass and discard; None where the policy names no end of the tunnel."""
    if tunnel.action != "ipsec":
        return ()
    level = "use" if tunnel.level == "use" else "require"
    wanted = {proposal.protocol for proposal in tunnel.proposals}
    protocols = [number for name, number in PROTOCOLS.items() if name in wanted]
    if tunnel.mode == sa.TRANSPORT:
        return tuple(_transport(protocol, tunnel.reqid, level) for protocol in protocols) or None
    source, destination = _ends(tunnel, resolve)
    if source is None or destination is None or not protocols:
        return None
    outer = sa.Template(protocols[0], sa.TUNNEL, source, destination, tunnel.reqid, level)
    return (outer, *(_transport(protocol, tunnel.reqid, level) for protocol in protocols[1:]))


def _transport(protocol: int, reqid: int, level: str) -> sa.Template:
    return sa.Template(protocol, sa.TRANSPORT, reqid=reqid, level=level)


def is_unknown(template: sa.Template) -> bool:
    """Whether an end of a tunnel's entry is still to be learned."""
    return template.mode == sa.TUNNEL and not UNKNOWN_ENDS.isdisjoint((template.source, template.destination))


def _ends(tunnel: Tunnel, resolve: Resolve | None) -> tuple[sa.Address | None, sa.Address | None]:
    """Source and destination of the outer header, in the selector's direction."""
    version = outer_version(tunnel)
    mine, peers = (_end(end, version, resolve) for end in (tunnel.my_address, tunnel.peers_address))
    return (peers, mine) if tunnel.direction == INBOUND else (mine, peers)


def outer_version(tunnel: Tunnel) -> int:
    """The family of the outer header: the end's that is known, else IPv4 unless a macro says otherwise."""
    ends = (tunnel.my_address, tunnel.peers_address)
    known = [end.version for end in ends if end is not None and not isinstance(end, str)]
    return known[0] if known else 6 if any("IPV6" in end for end in ends if isinstance(end, str)) else 4


def _end(end: sa.Address | str | None, version: int, resolve: Resolve | None) -> sa.Address | None:
    if not isinstance(end, str):
        return end
    found = resolve(end, version) if resolve is not None and end.partition("%")[0] in LOCAL_MACROS else None
    return UNKNOWN[version] if found is None else found


def _priority(selector: sa.TrafficSelector, rank: int) -> int:
    """XFRM's priority, lower first: prefix lengths above all, then protocol and ports, then the place in the file."""
    prefixes = selector.source.prefixlen + selector.destination.prefixlen
    specific = 4 * prefixes + 2 * bool(selector.protocol) + bool(selector.source_port) + bool(selector.destination_port)
    return (_MOST_SPECIFIC - specific) * _RANKS + min(rank, _RANKS - 1)
