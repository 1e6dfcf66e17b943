# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A FreeBSD host's surroundings, in the shape that :mod:`.network` has them in on Linux."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..freebsd.listings import (
    Entry,
    Interface,
    harmful,
    is_within,
    read_entries,
    read_interfaces,
    read_lookup,
)
from .ipfw import read_ipfw
from .looking import FREEBSD, Look
from .network import Link, Lookup, Route, Surroundings, Way, questions
from .packet_filter import Filter, merge
from .pf import read_pf, read_skipped

STATIC = "static"  # the kind of a route that somebody set where none belongs

_SETTINGS = ("net.inet.ip.forwarding", "net.inet6.ip6.forwarding")
_IPFW_ENABLED = "net.inet.ip.fw.enable"


def survey_freebsd(look: Look, ways: Sequence[Way], policies: Iterable[Any]) -> Surroundings:
    """Look around for some tunnels."""
    interfaces = read_interfaces(look.command("ifconfig", "-a") or "")
    entries = read_entries(look.command("netstat", "-rn") or "")
    addresses = tuple((one.name, address) for one in interfaces for address in one.addresses)
    bare = Surroundings(
        system=FREEBSD,
        links=tuple(_link(one) for one in interfaces),
        addresses=addresses,
        routes={str(way.far): _routes(entries, addresses, way) for way in ways},
        filter=_filter(look, interfaces),
        policies=tuple(policies),
    )
    asked = dict.fromkeys(question for way in ways for question in questions(bare, way))
    return Surroundings(
        **{
            **vars(bare),
            "lookups": {question: _lookup(look, *question) for question in asked},
            "settings": _settings(look),
        }
    )


def _link(interface: Interface) -> Link:
    """Its kind is a group's name that belongs to a kind of tunnel, or what its name begins with."""
    kinds = [*interface.groups, interface.name.rstrip("0123456789")]
    return Link(
        interface.name,
        kind=kinds[0],
        remote=str(interface.tunnel_end or ""),
        mtu=interface.mtu,
        up=interface.up,
    )


def _routes(entries: Sequence[Entry], addresses: Sequence[tuple[str, Any]], way: Way) -> tuple[Route, ...]:
    wrong = harmful(entries, [address.ip for _device, address in addresses], way.far)
    return tuple(
        Route(
            destination=str(entry.destination),
            kind=STATIC if entry in wrong and entry.kind == "unicast" else entry.kind,
            device=entry.interface,
            gateway="" if entry.gateway.startswith("link#") else entry.gateway,
        )
        for entry in entries
        if is_within(entry.destination, way.far)
    )


def _lookup(look: Look, _source: str, target: str) -> Lookup:
    """FreeBSD's lookup knows no source."""
    code, output, errors = look.run(["route", "-n", "get", target])
    found = read_lookup(output)
    if code != 0 or "interface" not in found:
        return Lookup(error=(errors.strip() or output.strip() or "no answer").splitlines()[-1])
    flags = found.get("flags", "").strip("<>").split(",")
    kind = "unreachable" if "REJECT" in flags else "blackhole" if "BLACKHOLE" in flags else "unicast"
    return Lookup(Route(target, kind, found["interface"], found.get("gateway", "")))


def _settings(look: Look) -> dict[str, str]:
    found = {}
    for name in _SETTINGS:
        code, output, _errors = look.run(["sysctl", "-n", name])
        if code == 0:
            found[name.replace(".", "/")] = output.strip()
    return found


# ---- Packet filters --------------------------------------------------------------------------------------------------


def _filter(look: Look, interfaces: Sequence[Interface]) -> Filter | None:
    """pf's and ipfw's rules together, of those that are in force; None where there are some that can't be read."""
    found = [_pf(look, interfaces), _ipfw(look, interfaces)]
    return None if None in found else merge([one for one in found if one is not None])


def _pf(look: Look, interfaces: Sequence[Interface]) -> Filter | None:
    code, output, errors = look.run(["pfctl", "-s", "info"])
    if code != 0 and ("No such file" in errors or "not installed" in errors):
        return Filter()  # the module isn't loaded
    if code != 0:
        look.note("pfctl -s info", errors.strip() or "code {}".format(code))
        return None
    if "Status: Enabled" not in output:
        return Filter()
    rules, translations = look.command("pfctl", "-s", "rules"), look.command("pfctl", "-s", "nat")
    if rules is None or translations is None:
        return None
    skipped = read_skipped(look.command("pfctl", "-s", "Interfaces", "-v") or "")
    own = {one.name: [str(address.ip) for address in one.addresses] for one in interfaces}
    return read_pf(rules, translations, own, skipped)


def _ipfw(look: Look, interfaces: Sequence[Interface]) -> Filter | None:
    code, output, _errors = look.run(["sysctl", "-n", _IPFW_ENABLED])
    if code != 0 or output.strip() == "0":
        return Filter()  # the module isn't loaded, or it's switched off
    rules = look.command("ipfw", "list")
    own = [str(address.ip) for one in interfaces for address in one.addresses]
    return None if rules is None else read_ipfw(rules, own)
