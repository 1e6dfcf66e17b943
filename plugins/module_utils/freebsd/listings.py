# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FreeBSD's ifconfig(8), netstat(1) and route(8) print, as values. Lines that aren't understood are left out."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..ike.policy.sa import Address, Network

_INTERFACE = re.compile(r"(\S+): flags=[0-9a-f]+(?:<(\S*)>)?.*?(?: mtu (\d+))?$")
_ADDRESS = re.compile(r"\s+inet6? ([0-9a-fA-F.:]+)(?:%\S+)?(?:/(\d+))?(?: --> \S+)?(.*)")
_TUNNEL = re.compile(r"\s+tunnel inet6? (\S+) --> (\S+)")
_GROUPS = re.compile(r"\s+groups: (.+)")
_NETMASK = re.compile(r" netmask 0x([0-9a-f]{8})")
_PREFIX = re.compile(r" prefixlen (\d+)")

_REJECTED, _BLACKHOLE, _GATEWAY, _STATIC = "R", "B", "G", "S"  # netstat(1)


@dataclass(frozen=True)
class Interface:
    """One of ``ifconfig -a``. ``addresses`` have their prefixes, ``tunnel`` is the line that names its two ends."""

    name: str
    up: bool = False
    mtu: int = 0
    addresses: tuple[Any, ...] = ()
    groups: tuple[str, ...] = ()
    tunnel: str = ""
    tunnel_end: Address | None = None


@dataclass(frozen=True)
class Entry:
    """A line of ``netstat -rn``. ``gateway`` may be a link (``link#2``) or an Ethernet address."""

    destination: Network
    gateway: str
    flags: str
    interface: str

    def __str__(self) -> str:
        return "{} {} {} {}".format(self.destination, self.gateway, self.flags, self.interface)

    @property
    def kind(self) -> str:
        """``unreachable``, ``blackhole`` or ``unicast``."""
        if _REJECTED in self.flags:
            return "unreachable"
        return "blackhole" if _BLACKHOLE in self.flags else "unicast"


def read_interfaces(text: str) -> tuple[Interface, ...]:
    """``ifconfig -a``."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if _INTERFACE.match(line):
            blocks.append([line])
        elif blocks:
            blocks[-1].append(line)
    return tuple(_interface(first, lines) for first, *lines in blocks)


def _interface(first: str, lines: Sequence[str]) -> Interface:
    name, flags, mtu = _found(_INTERFACE, [first])[0].groups()
    tunnels = _found(_TUNNEL, lines)
    groups = _found(_GROUPS, lines)
    return Interface(
        name=name,
        up="UP" in (flags or "").split(","),
        mtu=int(mtu or 0),
        addresses=tuple(address for address in map(_own, _found(_ADDRESS, lines)) if address is not None),
        groups=tuple(groups[0].group(1).split()) if groups else (),
        tunnel=tunnels[0].group(0).strip() if tunnels else "",
        tunnel_end=read_address(tunnels[0].group(2)) if tunnels else None,
    )


def _found(pattern: re.Pattern[str], lines: Sequence[str]) -> list[re.Match[str]]:
    return [match for match in map(pattern.match, lines) if match]


def _own(match: re.Match[str]) -> Any:
    """An address with its prefix: after a slash, as a mask in hexadecimal, or as ``prefixlen``; else a host's."""
    address = read_address(match.group(1))
    if address is None:
        return None
    mask, prefix = _NETMASK.search(match.group(3)), _PREFIX.search(match.group(3))
    length = match.group(2) or (prefix.group(1) if prefix else str(address.max_prefixlen))
    if mask:
        length = str(bin(int(mask.group(1), 16)).count("1"))
    try:
        return ipaddress.ip_interface("{}/{}".format(address, length))
    except ValueError:
        return None


def read_entries(text: str) -> tuple[Entry, ...]:
    """``netstat -rn``, with the columns that its headlines name: releases differ in them. Defaults are left out."""
    entries = []
    column: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split()
        if fields[:2] == ["Destination", "Gateway"]:
            column = {name: place for place, name in enumerate(fields)}
            continue
        network = read_network(fields[0]) if fields else None
        if network is not None and len(fields) > column.get("Netif", len(fields)):
            entries.append(Entry(network, fields[1], fields[column["Flags"]], fields[column["Netif"]]))
    return tuple(entries)


def harmful(entries: Sequence[Entry], own: Sequence[Address], far: Network) -> list[Entry]:
    """Routes into a far network that somebody set: the policies lead there.

    One by an address of our own is another matter: it gives the gateway's own packets a source that a policy covers.
    """
    return [
        entry
        for entry in entries
        if is_within(entry.destination, far)
        and {_GATEWAY, _STATIC} & set(entry.flags)
        and read_address(entry.gateway) not in own
    ]


def is_within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def read_lookup(text: str) -> dict[str, str]:
    """``route -n get``: its lines ``name: value``."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def read_address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def read_network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(re.sub(r"%[^/]*", "", text))
    except ValueError:
        return None
