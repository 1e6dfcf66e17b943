# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What around a tunnel may keep traffic out of it: routes, settings, policies, packet filter. Pure functions.

A check holds, fails, or couldn't be decided; the last is never taken for the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from ..ike.policy.sa import Network
from . import packet_filter as filters
from .freebsd import STATIC
from .looking import FREEBSD, LINUX
from .network import LOOPBACK, TUNNEL_KINDS, Link, Lookup, Route, Surroundings, Way, sample
from .packet_filter import Packet
from .verdict import Expectation

HOLDS, FAILS, UNSURE = "holds", "fails", "unsure"

# Each check's name; a failure's is a cause of the diagnosis too.
LEFTOVER, ROUTE, NO_XFRM, FORWARDING, RP_FILTER = "leftover_tunnel", "route", "xfrm_disabled", "forwarding", "rp_filter"
SHADOWED, MASQUERADE, FORWARD_FILTER = "policy_shadowed", "masquerade", "forward_filter"
IKE_FILTER, ESP_FILTER, TRANSLATED = "ike_filter", "esp_filter", "stale_translation"
SEGMENTS = "segments"

_IKE_PORTS = (500, 4500)
_NO_WAY = ("unreachable", "blackhole", "prohibit", "throw")
_STRICT = "1"
_FORWARDING = {
    LINUX: ((4, "net/ipv4/ip_forward"), (6, "net/ipv6/conf/all/forwarding")),
    FREEBSD: ((4, "net/inet/ip/forwarding"), (6, "net/inet6/ip6/forwarding")),
}
_ENC = "enc0"  # where FreeBSD shows the tunnels' packets to its filters, if it's up


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: str
    text: str

    def as_data(self) -> dict[str, str]:
        return {"name": self.name, "state": self.state, "text": self.text}


def ways(expected: Expectation) -> list[Way]:
    return [Way(expected.local, expected.peer, network, far) for network, far in expected.networks]


def check_tunnel(around: Surroundings, expected: Expectation) -> list[Check]:
    """Everything that can be said of one tunnel, each finding once."""
    found = [check for way in ways(expected) for check in _way(around, way)]
    found += [*_forwarding(around, expected), *_rp_filter(around, expected), *_outer(around, expected)]
    return list(dict.fromkeys(found))


def _way(around: Surroundings, way: Way) -> Iterator[Check]:
    yield from _leftovers(around, way)
    yield from _routes(around, way)
    yield from _shadows(around, way)
    yield from _masquerade(around, way)
    yield from _translated(around, way)
    yield from _forward_chain(around, way)


# ---- Links and routes -----------------------------------------------------------------------------------------------


def _leftovers(around: Surroundings, way: Way) -> Iterator[Check]:
    """Devices that once joined the sites without IPsec: to the peer's address, or with a route into its network."""
    routed = {route.device for route in around.routes.get(str(way.far), ())}
    tunnels = [link for link in around.links if link.kind in TUNNEL_KINDS]
    found = [link for link in tunnels if link.remote == str(way.peer) or link.name in routed]
    for link in found:
        yield Check(LEFTOVER, FAILS, _leftover(link, link.name in routed, way))
    if not found:
        state = HOLDS if around.links else UNSURE
        yield Check(LEFTOVER, state, "no ipip, gre, gif, sit or vti device leads to {} or {}".format(way.peer, way.far))


def _leftover(link: Link, routed: bool, way: Way) -> str:
    text = "the device {} ({})".format(link.name, link.kind)
    text += " leads to {}".format(link.remote) if link.remote else ""
    return text + (", and a route to {} goes through it".format(way.far) if routed else "")


def _routes(around: Surroundings, way: Way) -> Iterator[Check]:
    inner = around.inner(way.network)
    source = str(inner[1]) if inner else str(way.local)
    thieves = [
        route
        for route in around.routes.get(str(way.far), ())
        if route.kind in (*_NO_WAY, STATIC, "local") or _dead(route)
    ]
    for route in thieves:
        yield Check(ROUTE, FAILS, "a route takes {} away from the tunnel: {}".format(way.far, route))
    target = str(sample(way.far))
    lookup = around.lookups.get((source, target))
    if inner is None:
        yield Check(ROUTE, UNSURE, "this host has no address in {} to ask for a route from".format(way.network))
    elif lookup is not None and not thieves:
        yield from _asked(around, lookup, "{} -> {}".format(source, target))


def _dead(route: Route) -> bool:
    return route.device in LOOPBACK and route.kind == "unicast"


def _asked(around: Surroundings, lookup: Lookup, what: str) -> Iterator[Check]:
    """The kernel's own answer. Where the policy applies only the route's existence counts, and that its device asks."""
    if lookup.route is None:
        yield Check(ROUTE, FAILS, "no route for {}: {}".format(what, lookup.error))
        return
    route = lookup.route
    if route.kind not in ("unicast", ""):
        yield Check(ROUTE, FAILS, "the route for {} is {}".format(what, route))
        return
    yield Check(ROUTE, HOLDS, "{} goes {}".format(what, route))
    if around.settings.get("net/ipv4/conf/{}/disable_xfrm".format(route.device)) == "1":
        text = "{} leaves by {}, where disable_xfrm is 1: no policy applies".format(what, route.device)
        yield Check(NO_XFRM, FAILS, text)


def _forwarding(around: Surroundings, expected: Expectation) -> Iterator[Check]:
    for version, name in _FORWARDING.get(around.system, _FORWARDING[LINUX]):
        if not any(network.version == version for network, _far in expected.networks):
            continue
        value = around.settings.get(name)
        state = UNSURE if value is None else FAILS if value == "0" else HOLDS
        yield Check(FORWARDING, state, "{} is {}".format(name.replace("/", "."), value or "not to be read"))


def _rp_filter(around: Surroundings, expected: Expectation) -> Iterator[Check]:
    """Strict filtering, Linux's, harms where the peer's packets come by another device than leads back to it."""
    if expected.local.version != 4 or around.system == FREEBSD:
        return
    lookup = around.lookups.get((str(expected.local), str(expected.peer)))
    home = around.device_of(str(expected.local))
    everywhere = around.settings.get("net/ipv4/conf/all/rp_filter")
    if lookup is None or lookup.route is None or not home or everywhere is None:
        yield Check(RP_FILTER, UNSURE, "rp_filter: where {} is reached isn't known".format(expected.peer))
        return
    back = lookup.route.device
    value = max(everywhere, around.settings.get("net/ipv4/conf/{}/rp_filter".format(home), "0"))
    harmful = value == _STRICT and back not in (home, *LOOPBACK)
    text = "rp_filter is {} on {}, and the way back to {} is {}".format(value, home, expected.peer, back)
    yield Check(RP_FILTER, FAILS if harmful else HOLDS, text)


# ---- Policies -------------------------------------------------------------------------------------------------------


def _shadows(around: Surroundings, way: Way) -> Iterator[Check]:
    """A policy that covers the same traffic, wins by its priority, and leads elsewhere."""
    wanted = (("out", way.network, way.far), ("in", way.far, way.network), ("fwd", way.far, way.network))
    for direction, source, destination in wanted:
        ours = [one for one in around.policies if _is(one, direction, source, destination)]
        for one in around.policies:
            if ours and _covers(one, direction, source, destination) and _beats(one, ours[0]):
                yield Check(SHADOWED, FAILS, _shadow(one, ours[0], direction, source, destination))


def _is(policy: Mapping[str, Any], direction: str, source: Network, destination: Network) -> bool:
    selector = policy["selector"]
    return (policy["direction"], selector["source"], selector["destination"], selector["protocol"]) == (
        direction,
        str(source),
        str(destination),
        0,
    )


def _covers(policy: Mapping[str, Any], direction: str, source: Network, destination: Network) -> bool:
    selector = policy["selector"]
    if policy["direction"] != direction or selector["protocol"]:
        return False
    outer = ip_network(selector["source"]), ip_network(selector["destination"])
    return all(
        inner.version == other.version and inner.subnet_of(other) for inner, other in zip((source, destination), outer)
    )


def _beats(policy: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    return policy["priority"] < ours["priority"] and _ends(policy) != _ends(ours)


def _ends(policy: Mapping[str, Any]) -> tuple[Any, ...]:
    ends = tuple((template["source"], template["destination"]) for template in policy["templates"])
    return policy["action"], ends


def _shadow(
    policy: Mapping[str, Any], ours: Mapping[str, Any], direction: str, source: Network, destination: Network
) -> str:
    selector = policy["selector"]
    ends = _ends(policy)[1]
    return "the policy {} {} -> {} ({}{}, priority {}) wins over the tunnel's own {} -> {} (priority {})".format(
        direction,
        selector["source"],
        selector["destination"],
        policy["action"],
        " {} -> {}".format(*ends[0]) if ends else "",
        policy["priority"],
        source,
        destination,
        ours["priority"],
    )


# ---- Packet filter --------------------------------------------------------------------------------------------------


def _masquerade(around: Surroundings, way: Way) -> Iterator[Check]:
    """FreeBSD takes a packet into its tunnel before pf sees it on its way out: there only rules on enc0 matter."""
    device = _ENC if around.system == FREEBSD else _out_device(around, way)
    packet = Packet(way.network, way.far, "tcp", 80, out_device=device, ipsec=True)
    what = "{} -> {}".format(way.network, way.far)
    if around.filter is None:
        yield Check(MASQUERADE, UNSURE, "whether {} is translated: no packet filter could be read".format(what))
        return
    fate = around.filter.fate(packet, filters.POSTROUTING, filters.NAT_TYPE)
    if fate.verdict == filters.NAT:
        yield Check(MASQUERADE, FAILS if fate.certain else UNSURE, "{} is translated by: {}".format(what, fate.rule))
    else:
        yield _decided(MASQUERADE, fate, "{} is not translated".format(what))


def _translated(around: Surroundings, way: Way) -> Iterator[Check]:
    """Connections that began before the exemption. Nothing is said where the host's table can't be read."""
    if around.translated is None:
        return
    stale = [one for one in around.translated if one.source in way.network and one.destination in way.far]
    for one in stale:
        text = "{} goes on as {}, as it did when it began".format(one, one.seen_as)
        yield Check(TRANSLATED, FAILS, text)
    if not stale:
        text = "no connection {} -> {} is translated since earlier".format(way.network, way.far)
        yield Check(TRANSLATED, HOLDS, text)


def check_segments(around: Surroundings, way: Way) -> Iterator[Check]:
    """Whether TCP's segments are made to fit, both ways. Where they aren't, hosts have to hear of it by ICMP."""
    for source, destination in ((way.network, way.far), (way.far, way.network)):
        what = "TCP's segments {} -> {}".format(source, destination)
        if around.filter is not None and around.filter.clamps(Packet(source, destination, "tcp", 80, ipsec=True)):
            yield Check(SEGMENTS, HOLDS, "{} are reduced to what fits".format(what))
        else:
            yield Check(SEGMENTS, UNSURE, "{}: no rule is seen that makes them fit, so that hangs on ICMP".format(what))


def _forward_chain(around: Surroundings, way: Way) -> Iterator[Check]:
    if around.system == FREEBSD:
        yield from _forward_freebsd(around, way)
        return
    outside = _out_device(around, way)
    inner = around.inner(way.network)
    inside = inner[0] if inner and inner[0] not in LOOPBACK else ""
    out = Packet(way.network, way.far, "tcp", 80, inside, outside, ipsec=True)
    back = Packet(way.far, way.network, "tcp", 80, outside, inside, ipsec=True)
    for packet in (out, back):
        yield _passes(around, FORWARD_FILTER, packet, filters.FORWARD)


def _forward_freebsd(around: Surroundings, way: Way) -> Iterator[Check]:
    """What goes into a tunnel is seen coming in from the LAN, what comes out of one is seen going out to the LAN.

    ip_output(9) hands a packet to IPsec before its filters, and what IPsec took out isn't filtered as incoming again
    (net.inet.ipsec.filtertunnel is 0).
    """
    inner = around.inner(way.network)
    inside = inner[0] if inner and inner[0] not in LOOPBACK else ""
    yield _passes(around, FORWARD_FILTER, Packet(way.network, way.far, "tcp", 80, in_device=inside), filters.INPUT)
    yield _passes(around, FORWARD_FILTER, Packet(way.far, way.network, "tcp", 80, out_device=inside), filters.OUTPUT)
    if (
        around.filter is not None
        and around.filter.chains
        and any(link.name == _ENC and link.up for link in around.links)
    ):
        text = "{} is up: pf and ipfw see {} -> {} there too, which isn't followed".format(_ENC, way.network, way.far)
        yield Check(FORWARD_FILTER, UNSURE, text)


def _outer(around: Surroundings, expected: Expectation) -> Iterator[Check]:
    """IKE and ESP between the gateways, both ways."""
    if expected.is_open:
        return
    local, peer = ip_network(expected.local), ip_network(expected.peer)
    device = around.device_of(str(expected.local))
    kinds = [(IKE_FILTER, "udp", port) for port in _IKE_PORTS] + [(ESP_FILTER, "esp", 0)]
    for name, protocol, port in kinds:
        yield _passes(around, name, Packet(peer, local, protocol, port, in_device=device), filters.INPUT)
        yield _passes(around, name, Packet(local, peer, protocol, port, out_device=device), filters.OUTPUT)


def _passes(around: Surroundings, name: str, packet: Packet, hook: str) -> Check:
    if around.filter is None:
        return Check(name, UNSURE, "{} {}: no packet filter could be read".format(hook, packet))
    fate = around.filter.fate(packet, hook)
    if fate.verdict == filters.DROP:
        return Check(name, FAILS if fate.certain else UNSURE, "{} {}: dropped by {}".format(hook, packet, fate.rule))
    return _decided(name, fate, "{} {}: passes".format(hook, packet))


def _decided(name: str, fate: filters.Fate, text: str) -> Check:
    if fate.certain:
        return Check(name, HOLDS, text)
    return Check(name, UNSURE, "{}, unless this rule says otherwise: {}".format(text, fate.doubts[0]))


def _out_device(around: Surroundings, way: Way) -> str:
    inner = around.inner(way.network)
    lookup = around.lookups.get((str(inner[1]), str(sample(way.far)))) if inner else None
    return lookup.route.device if lookup is not None and lookup.route is not None else ""
