# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static routes to far networks, in FreeBSD's kernel and rc.conf: found, and taken away where that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..commands import Run
from ..freebsd.listings import (
    Entry,
    harmful,
    is_within,
    read_address,
    read_entries,
    read_interfaces,
    read_network,
)
from ..ike.policy.sa import Address, Network
from .manifest import DeployError

_LISTS = {"static_routes": "route_", "ipv6_static_routes": "ipv6_route_"}  # of rc.conf(5), and what names a route there


@dataclass(frozen=True)
class StaticRoute:
    """A route that somebody set. ``removal`` are the commands that take it away, ``advice`` is what to do by hand."""

    text: str
    advice: str
    removal: tuple[tuple[str, ...], ...]


def static_routes(run: Run, far: Sequence[Network]) -> list[StaticRoute]:
    """Those into the far networks, but for one by an address of this host's own."""
    interfaces = read_interfaces(run(["ifconfig", "-a"])[1])
    own = [address.ip for one in interfaces for address in one.addresses]
    entries = read_entries(run(["netstat", "-rn"])[1])
    found = dict.fromkeys(entry for network in far for entry in harmful(entries, own, network))
    return [*map(_of_kernel, found), *_of_rc_conf(run, far, own)]


def _of_kernel(entry: Entry) -> StaticRoute:
    kind = "-host" if entry.destination.num_addresses == 1 else "-net"
    gateway = () if read_address(entry.gateway) is None else (entry.gateway,)
    target = str(entry.destination.network_address if kind == "-host" else entry.destination)
    delete = ("route", "-6" if entry.destination.version == 6 else "-4", "delete", kind, target, *gateway)
    return StaticRoute("route `{}`".format(entry), "`{}`".format(" ".join(delete)), (delete,))


def _of_rc_conf(run: Run, far: Sequence[Network], own: Sequence[Address]) -> Iterator[StaticRoute]:
    for names, prefix in _LISTS.items():
        for name in _variable(run, names).split():
            words = _variable(run, prefix + name).split()
            networks = [network for network in map(read_network, words) if network is not None]
            # The gateway stands behind the network; one of our own makes it the route that is allowed.
            if any(address in own for address in map(read_address, words)) or not networks:
                continue
            if any(is_within(networks[0], network) for network in far):
                removal = ("sysrc", "{}-={}".format(names, name)), ("sysrc", "-x", prefix + name)
                text = 'rc.conf: {}{}="{}"'.format(prefix, name, " ".join(words))
                yield StaticRoute(text, " and ".join("`{}`".format(" ".join(one)) for one in removal), removal)


def _variable(run: Run, name: str) -> str:
    code, output, _error = run(["sysrc", "-n", name])
    return output.strip() if code == 0 else ""


def remove(run: Run, routes: Sequence[StaticRoute]) -> None:
    """Take routes away, now and for the next boot. Raises DeployError."""
    for command in (command for route in routes for command in route.removal):
        code, output, error = run(list(command))
        if code != 0:
            raise DeployError("{}: {}".format(" ".join(command), error.strip() or output.strip()))


def difference(routes: Sequence[StaticRoute]) -> Mapping[str, str]:
    """What goes, as an entry of Ansible's diff."""
    lines = "".join("{}\n".format(route.text) for route in routes)
    return {"before_header": "static routes", "after_header": "static routes", "before": lines, "after": ""}
