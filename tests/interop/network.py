# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites in network namespaces, and the internet between them, which translates private addresses to its own.

                   tokyo (ours)       osaka (the peer)
public             210.11.11.11       210.22.22.22
                   2001:db8:11::11    2001:db8:22::22
behind NAT         10.11.0.2          10.22.0.2
LANs               192.168.10.0/24    192.168.20.0/24
                   192.168.11.0/24    192.168.21.0/24
                   fd00:10::/64       fd00:20::/64
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.namespaces import run

INTERNET = "internet"
START_SECONDS = 60.0  # that a daemon may take to start
_MASQUERADE = "-t nat -A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE"


@dataclass(frozen=True)
class Site:
    """A gateway in its namespace: its public addresses and its LAN, for both families."""

    name: str
    number: int  # of its public network
    lan_number: int

    def address(self, family: int = 4) -> str:
        return ("210.{0}.{0}.{0}" if family == 4 else "2001:db8:{0}::{0}").format(self.number)

    def private(self) -> str:
        """The address that the internet translates."""
        return "10.{}.0.2".format(self.number)

    def router(self, family: int = 4) -> str:
        """The internet's address on the site's link: what others behind NAT look like from here."""
        return ("210.{0}.{0}.1" if family == 4 else "2001:db8:{0}::1").format(self.number)

    def lan(self, family: int = 4, number: int = 0) -> str:
        return ("192.168.{}.0/24" if family == 4 else "fd00:{}::/64").format(self.lan_number + number)

    def host(self, family: int = 4, number: int = 0) -> str:
        """An address in a LAN, the gateway's own."""
        return ("192.168.{}.1" if family == 4 else "fd00:{}::1").format(self.lan_number + number)

    def inside(self, *command: str) -> list[str]:
        """A command as one that runs at the site. (``ip netns exec`` would mount a /sys first, which is slow here.)"""
        return ["nsenter", "--net=/run/netns/" + self.name, *command]

    def pings(self, target: str, source: str = "") -> bool:
        """Whether pings come back."""
        command = ["ping", "-q", "-i", "0.05", "-W", "2", "-c", "2", *(["-I", source] if source else []), target]
        return subprocess.run(self.inside(*command), check=False, stdout=subprocess.DEVNULL).returncode == 0


TOKYO = Site("tokyo", 11, 10)
OSAKA = Site("osaka", 22, 20)
SITES = (TOKYO, OSAKA)


def build() -> None:
    """Make the namespaces; the machine that they live in takes them with it."""
    run("ip", "netns", "add", INTERNET)
    for site in SITES:
        _add(site)
    for switch in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        run("ip", "netns", "exec", INTERNET, "sh", "-c", "echo 1 >/proc/sys/" + switch)
    run("ip", "netns", "exec", INTERNET, "iptables-legacy", *_MASQUERADE.split())


def _add(site: Site) -> None:
    run("ip", "netns", "add", site.name)
    run("ip", "link", "add", "wan", "netns", site.name, "type", "veth", "peer", site.name, "netns", INTERNET)
    for command in (
        "link set {} up".format(site.name),
        "address add {}/24 dev {}".format(site.router(), site.name),
        "address add {}/64 dev {} nodad".format(site.router(6), site.name),
        "address add 10.{}.0.1/24 dev {}".format(site.number, site.name),
    ):
        run("ip", "-n", INTERNET, *command.split())
    for command in (
        "link set lo up",
        "link set wan up",
        "address add {}/24 dev wan".format(site.address()),
        "address add {}/24 dev wan".format(site.private()),
        "address add {}/64 dev wan nodad".format(site.address(6)),
        "address add {}/24 dev lo".format(site.host()),
        "address add {}/24 dev lo".format(site.host(number=1)),
        "address add {}/64 dev lo nodad".format(site.host(6)),
        "-4 route add default via {}".format(site.router()),
        "-6 route add default via {}".format(site.router(6)),
    ):
        run("ip", "-n", site.name, *command.split())


def kernel_sas(site: Site) -> set[str]:
    """The SAs of a site's kernel, each as one line: SPI, mode, algorithms with keys. No addresses: NAT changes them."""
    sas: list[list[str]] = []
    for line in run("ip", "-n", site.name, "xfrm", "state").splitlines():
        words = line.split()
        if words[0] == "proto":
            sas.append(["spi", words[words.index("spi") + 1], "mode", words[words.index("mode") + 1]])
        elif words[0] in ("auth", "auth-trunc", "enc", "aead"):
            sas[-1] += words
    return {" ".join(sa) for sa in sas}


def modprobe(*modules: str) -> None:
    run(Path("/proc/sys/kernel/modprobe").read_text().strip(), "-a", *modules)
