# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two sites with LANs, and the internet between them, in network namespaces of a real kernel.

192.168.10.2 ─┐
              tokyo (210.11.11.11) ═══ internet ═══ (210.22.22.22) osaka ─ 192.168.20.2
192.168.11.2 ─┘

192.168.30.2 ─ kyoto (10.44.44.2) ─ home (210.44.44.44) ═══ internet ═══ (210.55.55.55) nara ─ 192.168.40.2

Kyoto is behind home, a router with NAT.
What crosses the LANs is forwarded by the gateways; the internet drops private addresses, as the real one does.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from tests.namespaces import inside

INTERNET = "internet"


def run(command: str, check: bool = True) -> subprocess.CompletedProcess:
    """A command's outcome. A failure shows what the command said."""
    done = subprocess.run(command.split(), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise RuntimeError("{}: {}".format(command, done.stdout.strip()))
    return done


@dataclass(frozen=True)
class Site:
    """A gateway, its LAN's hosts in a namespace beside it, and its place in the internet.

    ``own_address`` is what it has itself, where that isn't what its peers see: the router is one with NAT then.
    """

    name: str
    address: str
    router: str
    networks: tuple[str, ...]
    own_address: str = ""

    def run(self, command: str, check: bool = True) -> subprocess.CompletedProcess:
        """A command on the gateway."""
        return run("ip netns exec {} {}".format(self.name, command), check)

    def lan_pings(self, target: str, size: int = 56) -> bool:
        """Whether the LAN's host reaches a host of the other LAN."""
        command = "ip netns exec {}-lan ping -q -i 0.1 -W 1 -c 2 -s {} {}"
        return run(command.format(self.name, size, target), check=False).returncode == 0


TOKYO = Site("tokyo", "210.11.11.11", "210.11.11.1", ("192.168.10.0/24", "192.168.11.0/24"))
OSAKA = Site("osaka", "210.22.22.22", "210.22.22.1", ("192.168.20.0/24",))
KYOTO = Site("kyoto", "210.44.44.44", "10.44.44.1", ("192.168.30.0/24",), "10.44.44.2")
NARA = Site("nara", "210.55.55.55", "210.55.55.1", ("192.168.40.0/24",))
SITES = (TOKYO, OSAKA)
NATTED_SITES = (KYOTO, NARA)
HOME = "home"


def internet(command: str, check: bool = True) -> subprocess.CompletedProcess:
    return run("ip netns exec {} {}".format(INTERNET, command), check)


def narrow(mtu: int) -> None:
    """A hop of so many bytes behind the next one, and nobody who says so."""
    for site in SITES:
        internet("ip link set {} mtu {}".format(site.name, mtu))
    internet("iptables-legacy -I OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP")


def widen() -> None:
    for site in SITES:
        internet("ip link set {} mtu 1500".format(site.name))
    internet("iptables-legacy -D OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP")


def build() -> None:
    """Make the namespaces; the machine that they live in takes them with it."""
    run("ip netns add " + INTERNET)
    for site in SITES:
        _add(site, INTERNET)
    _add_backup(OSAKA)
    write("/proc/sys/net/ipv4/ip_forward", "1", INTERNET)
    for network in ("192.168.0.0/16", "10.0.0.0/8"):
        internet("ip route add blackhole {} metric 1".format(network))


def build_natted() -> None:
    """The pair of which one end is behind NAT, in the internet that :func:`build` has made."""
    run("ip netns add " + HOME)
    _add(KYOTO, HOME)
    _add(NARA, INTERNET)
    run("ip link add {0} netns {1} type veth peer name wan netns {0}".format(HOME, INTERNET))
    for namespace, device, address in ((INTERNET, HOME, "210.44.44.1/24"), (HOME, "wan", KYOTO.address + "/24")):
        run("ip -n {} link set {} up".format(namespace, device))
        run("ip -n {} address add {} dev {}".format(namespace, address, device))
    run("ip -n {} route add default via 210.44.44.1".format(HOME))
    run("ip netns exec {} iptables-legacy -t nat -A POSTROUTING -o wan -j MASQUERADE".format(HOME))
    write("/proc/sys/net/ipv4/ip_forward", "1", HOME)


def _add_backup(site: Site) -> None:
    """A second line into the internet, which nothing uses by itself."""
    run("ip link add backup netns {} type veth peer name backup netns {}".format(site.name, INTERNET))
    for namespace, address in ((site.name, "210.33.33.22/24"), (INTERNET, "210.33.33.1/24")):
        run("ip -n {} link set backup up".format(namespace))
        run("ip -n {} address add {} dev backup".format(namespace, address))


def _add(site: Site, upstream: str) -> None:
    lan = site.name + "-lan"
    run("ip netns add " + site.name)
    run("ip netns add " + lan)
    run("ip link add wan netns {} type veth peer name {} netns {}".format(site.name, site.name, upstream))
    run("ip link add lan netns {} type veth peer name lan netns {}".format(site.name, lan))
    for namespace, commands in (
        (upstream, ["link set {} up".format(site.name), "address add {}/24 dev {}".format(site.router, site.name)]),
        (
            site.name,
            [
                "link set lo up",
                "link set wan up",
                "link set lan up",
                "address add {}/24 dev wan".format(site.own_address or site.address),
                "route add default via {}".format(site.router),
                *("address add {} dev lan".format(_host(network, 1)) for network in site.networks),
            ],
        ),
        (
            lan,
            [
                "link set lo up",
                "link set lan up",
                *("address add {} dev lan".format(_host(network, 2)) for network in site.networks),
                "route add default via {}".format(_host(site.networks[0], 1).split("/")[0]),
            ],
        ),
    ):
        for command in commands:
            run("ip -n {} {}".format(namespace, command))
    write("/proc/sys/net/ipv4/ip_forward", "1", site.name)


def _host(network: str, number: int) -> str:
    base, _slash, length = network.partition("/")
    return "{}.{}/{}".format(base.rpartition(".")[0], number, length)


def write(path: str, value: str, namespace: str) -> None:
    """Set a kernel setting of a namespace."""
    with inside(namespace):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
