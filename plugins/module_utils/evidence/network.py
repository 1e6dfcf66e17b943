# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's links, addresses, routes, settings and packet filter, as far as they concern its tunnels; and Linux's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ike.policy.sa import Address, Network
from .conntrack import Connection, translated
from .iptables import read_iptables, tables_of
from .looking import LINUX, Look
from .nftables import read_nftables
from .packet_filter import Filter, merge

# What carries packets inside packets; FreeBSD has the last four, and gre. On Linux each has a device of its own that
# comes with the module and does nothing.
TUNNEL_KINDS = ("ipip", "gre", "gretap", "sit", "vti", "vti6", "ip6tnl", "ip6gre", "gif", "me", "stf", "ipsec")
LOOPBACK = ("lo", "lo0")

_DEVICE_SETTINGS = ("rp_filter", "disable_xfrm", "disable_policy")


@dataclass(frozen=True)
class Link:
    """A device. ``kind`` is the kernel's (``ipip``), empty for hardware; ``remote`` a tunnel's far end, or empty."""

    name: str
    kind: str = ""
    remote: str = ""
    mtu: int = 0
    up: bool = False


@dataclass(frozen=True)
class Route:
    """A route, or the answer of a lookup. ``kind`` is ``unicast``, ``local``, ``unreachable``, ``blackhole`` …"""

    destination: str
    kind: str = "unicast"
    device: str = ""
    gateway: str = ""
    source: str = ""
    table: str = "main"

    def __str__(self) -> str:
        parts = [
            "" if self.kind == "unicast" else self.kind,
            self.destination,
            "via " + self.gateway if self.gateway else "",
            "dev " + self.device if self.device else "",
            "src " + self.source if self.source else "",
        ]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Lookup:
    """What the kernel answered to the question for a route; ``error`` in its words where there is none."""

    route: Route | None = None
    error: str = ""


@dataclass(frozen=True)
class Surroundings:
    """All of it. ``routes`` are those into each far network but a default; ``lookups`` are by (source, target).

    ``settings`` have slashes in their names. ``filter`` is None where no packet filter could be looked at,
    ``translated`` where the table of connections couldn't.
    """

    system: str = LINUX
    links: tuple[Link, ...] = ()
    addresses: tuple[tuple[str, Any], ...] = ()  # device, ipaddress interface
    routes: Mapping[str, tuple[Route, ...]] = field(default_factory=dict)
    lookups: Mapping[tuple[str, str], Lookup] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    filter: Filter | None = None
    policies: tuple[Mapping[str, Any], ...] = ()
    translated: tuple[Connection, ...] | None = None

    def inner(self, network: Network) -> tuple[str, Address] | None:
        """This host's own device and address in a network."""
        for device, interface in self.addresses:
            if interface.version == network.version and interface.ip in network:
                return device, interface.ip
        return None

    def device_of(self, address: str) -> str:
        """The device that has an address, or nothing."""
        return next((device for device, interface in self.addresses if str(interface.ip) == address), "")


@dataclass(frozen=True)
class Way:
    """A pair of networks of one tunnel, and the two gateways."""

    local: Address
    peer: Address
    network: Network
    far: Network


def survey_linux(look: Look, ways: Sequence[Way], policies: Iterable[Any]) -> Surroundings:
    """Look around for some tunnels."""
    addresses = read_addresses(look.data("ip", "-j", "address", "show") or [])
    bare = Surroundings(
        links=read_links(look.data("ip", "-j", "-d", "link", "show") or []),
        addresses=addresses,
        routes={str(way.far): _routes(look, way.far) for way in ways},
        filter=read_filter(look),
        translated=translated(look),
        policies=tuple(policies),
    )
    asked = dict.fromkeys(question for way in ways for question in questions(bare, way))
    return Surroundings(
        **{
            **vars(bare),
            "lookups": {question: _lookup(look, *question) for question in asked},
            "settings": _settings(look, [link.name for link in bare.links]),
        }
    )


def questions(around: Surroundings, way: Way) -> list[tuple[str, str]]:
    """The lookups that matter to a tunnel: to the peer, and from the inner address into the far network."""
    inner = around.inner(way.network)
    outer = (str(way.local), str(way.peer))
    return [outer, (str(inner[1]), str(sample(way.far)))] if inner else [outer]


def sample(network: Network) -> Address:
    """Some host's address in a network: the last one before the broadcast, which is seldom a gateway's."""
    size = network.num_addresses
    return network.network_address if size <= 2 else network[size - 2]


def _routes(look: Look, network: Network) -> tuple[Route, ...]:
    found = look.data("ip", "-j", "-{}".format(network.version), "route", "show", "table", "all", "root", str(network))
    return read_routes(found or [])


def _lookup(look: Look, source: str, target: str) -> Lookup:
    found, reason = look.answer("ip", "-j", "route", "get", target, "from", source)
    routes = read_routes(found or [])
    return Lookup(routes[0]) if routes else Lookup(error=reason or "no answer")


def _settings(look: Look, devices: Iterable[str]) -> dict[str, str]:
    names = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter"]
    names += ["net/ipv4/conf/{}/{}".format(device, name) for device in devices for name in _DEVICE_SETTINGS]
    found = {name: look.setting(name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def read_filter(look: Look) -> Filter | None:
    """The packet filter's chains; None where there are some that couldn't be read.

    Asks for no more than the kernel holds: the tools load what they're asked for.
    """
    nftables = _has_nftables(look)
    found: list[Filter | None] = []
    skipped: frozenset[str] = frozenset()
    for family, prefix in ((4, "ip"), (6, "ip6")):
        noted = len(look.unseen)
        if (look.file("/proc/net/{}_tables_names".format(prefix)) or "").strip():
            found.append(_legacy(look, prefix, family))
        elif len(look.unseen) > noted:  # it's there, and not for us
            found.append(None)
        if nftables:
            code, output, _errors = look.run([prefix + "tables-nft-save"])
            found += [read_iptables(output, family)] if code == 0 else []
            skipped |= tables_of(output, family) if code == 0 else frozenset()
    if nftables:
        found.append(_nftables(look, skipped))
    return None if None in found else merge([one for one in found if one is not None])


def _has_nftables(look: Look) -> bool:
    """Whether the kernel has nf_tables loaded; one that can't load modules may always have it."""
    modules = look.file("/proc/modules")
    return modules is None or any(line.startswith("nf_tables ") for line in modules.splitlines())


def _legacy(look: Look, prefix: str, family: int) -> Filter | None:
    code, output, _errors = look.run([prefix + "tables-legacy-save"])
    if code != 0:
        output = look.command(prefix + "tables-save")
    return None if output is None else read_iptables(output, family)


def _nftables(look: Look, skipped: frozenset[str]) -> Filter | None:
    ruleset = look.command("nft", "-j", "list", "ruleset")
    try:
        return None if ruleset is None else read_nftables(ruleset, skipped)
    except (ValueError, KeyError, TypeError) as error:
        look.note("nft -j list ruleset", "not understood: {!r}".format(error))
        return None


# ---- ip -j ----------------------------------------------------------------------------------------------------------


def read_links(entries: Iterable[Mapping[str, Any]]) -> tuple[Link, ...]:
    """``ip -j -d link show``."""
    links = []
    for entry in entries:
        info = entry.get("linkinfo", {})
        remote = str(info.get("info_data", {}).get("remote", ""))
        links.append(
            Link(
                name=entry["ifname"],
                kind=info.get("info_kind", ""),
                remote="" if remote in ("any", "0.0.0.0", "::") else remote,
                mtu=entry.get("mtu", 0),
                up="UP" in entry.get("flags", ()),
            )
        )
    return tuple(links)


def read_addresses(entries: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """``ip -j address show``, as (device, interface)."""
    return tuple(
        (entry["ifname"], ipaddress.ip_interface("{}/{}".format(address["local"], address["prefixlen"])))
        for entry in entries
        for address in entry.get("addr_info", ())
        if "local" in address
    )


def read_routes(entries: Iterable[Mapping[str, Any]]) -> tuple[Route, ...]:
    """``ip -j route show`` or ``ip -j route get``."""
    return tuple(
        Route(
            destination=entry.get("dst", ""),
            kind=entry.get("type", "unicast"),
            device=entry.get("dev", ""),
            gateway=entry.get("gateway", entry.get("via", {}).get("host", "")),
            source=entry.get("prefsrc", ""),
            table=str(entry.get("table", "main")),
        )
        for entry in entries
    )
