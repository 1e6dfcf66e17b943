# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's network: sites on one internet, a LAN behind each, and a management network of the controller's own.

  NAME-lan (10.N.2) -- lan [NAME] wan (198.18.N) == internet
                            |
                       management (10.99.N) -- the controller, in the machine's first namespace

The internet knows no private networks: what leaves a gateway in clear gets nowhere.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.namespaces import run

INTERNET = "internet"
ROUTER = "198.18.255.254"  # the internet's own address at every site's line
ROUTER6 = "2001:db8::ffff"
SECOND_ROUTER = "198.19.255.254"
HOME, AT_HOME = "172.16.0.1", "172.16.0.2"  # behind a router with NAT: its address there, and the site's
GONE_LIMIT = 60.0  # seconds


@dataclass(frozen=True)
class Place:
    """Where a site is in the network. Numbers begin at 1.

    ``wan`` is its public address where that's an unusual one, ``own`` what it has itself where NAT lies between.
    """

    name: str
    number: int
    wan: str = ""
    own: str = ""

    def _address(self, first: str) -> str:
        return "{}.{}.{}".format(first, self.number >> 8, self.number & 255)

    @property
    def address(self) -> str:
        return self.wan or self._address("198.18")

    @property
    def management(self) -> str:
        return self._address("10.99")

    @property
    def network(self) -> str:
        return self._address("10") + ".0/24"

    @property
    def client(self) -> str:
        """The address of the LAN's client, in the namespace NAME-lan."""
        return self._address("10") + ".2"

    @property
    def card(self) -> str:
        """The controller's end of the management link."""
        return "m{}".format(self.number)

    def _hardware(self, card: int) -> str:
        """A reinstalled gateway still has its cards."""
        return "address 02:00:00:{:02x}:{:02x}:{:02x}".format(card, self.number >> 8, self.number & 255)

    def connect(self) -> None:
        """Make the site's namespaces and links."""
        lan = self.name + "-lan"
        for namespace in (self.name, lan):
            run("ip", "netns", "add", namespace)
        _batch(
            "",
            "link add {} type veth peer name management {} netns {}".format(self.card, self._hardware(1), self.name),
            "link set {} master management up".format(self.card),
        )
        _batch(
            INTERNET,
            "link add w{} type veth peer name wan {} netns {}".format(self.number, self._hardware(2), self.name),
            "link set w{} master internet up".format(self.number),
        )
        gateway = self._address("10") + ".1"
        _batch(
            self.name,
            "link add lan type veth peer name lan netns {}".format(lan),
            "address add {}/16 dev management".format(self.management),
            "address add {}/16 dev wan".format(self.address),
            "address add {}/24 dev lan".format(gateway),
            *("link set {} up".format(link) for link in ("lo", "management", "wan", "lan")),
            "route add default via " + ROUTER,
        )
        _batch(
            lan,
            "address add {}/24 dev lan".format(self.client),
            "link set lan up",
            "route add default via " + gateway,
        )

    def move(self, address: str) -> Place:
        """Its line goes away and comes back with another address, of 198.18.0.0/16. Return the place as it is now."""
        return self._renumbered(self.name, address)

    @property
    def address6(self) -> str:
        return "2001:db8::{:x}".format(self.number)

    @property
    def network6(self) -> str:
        return "fd00:{:x}::/64".format(self.number)

    @property
    def client6(self) -> str:
        return "fd00:{:x}::2".format(self.number)

    def add_ipv6(self) -> Place:
        """Let line and LAN have IPv6 too, which stays. Return the place as it is seen at its line."""
        gateway = "fd00:{:x}::1".format(self.number)
        _batch(
            self.name,
            "address add {}/64 dev wan nodad".format(self.address6),
            "address add {}/64 dev lan nodad".format(gateway),
            "route add default via " + ROUTER6,
        )
        _batch(
            self.name + "-lan",
            "address add {}/64 dev lan nodad".format(self.client6),
            "route add default via " + gateway,
        )
        return replace(self, wan=self.address6)

    @property
    def router(self) -> str:
        """The namespace of the router that it may be behind."""
        return self.name + "-home"

    def behind_nat(self) -> Place:
        """Put a router with NAT between it and the internet, which takes its address. Return the place as it is now."""
        run("ip", "netns", "add", self.router)
        _batch(
            INTERNET,
            "link set w{} nomaster netns {}".format(self.number, self.router),
            "link add h{} type veth peer name wan netns {}".format(self.number, self.router),
            "link set h{} master internet up".format(self.number),
        )
        _batch(
            self.router,
            "address add {}/16 dev wan".format(self.address),
            "address add {}/24 dev w{}".format(HOME, self.number),
            *("link set {} up".format(link) for link in ("lo", "wan", "w{}".format(self.number))),
            "route add default via " + ROUTER,
        )
        enter = ("nsenter", "--net=/run/netns/" + self.router)
        run(*enter, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        run(*enter, "iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-o", "wan", "-j", "MASQUERADE")
        _batch(
            self.name,
            "address delete {}/16 dev wan".format(self.address),
            "address add {}/24 dev wan".format(AT_HOME),
            "route replace default via " + HOME,
        )
        return replace(self, own=AT_HOME)

    def renumber(self, address: str) -> Place:
        """Its router's line comes back with another address. Return the place as it is now."""
        return self._renumbered(self.router, address)

    def _renumbered(self, namespace: str, address: str) -> Place:
        _batch(
            namespace,
            "address delete {}/16 dev wan".format(self.address),
            "address add {}/16 dev wan".format(address),
            "route replace default via " + ROUTER,
        )
        return replace(self, wan=address)

    def leave_home(self, usual: Place) -> None:
        """Without the router, and with its usual address."""
        _batch(self.router, "link set w{} netns {}".format(self.number, INTERNET))
        run("ip", "netns", "delete", self.router)
        _batch(INTERNET, "link set w{} master internet up".format(self.number))
        _batch(
            self.name,
            "address delete {}/24 dev wan".format(AT_HOME),
            "address add {}/16 dev wan".format(usual.address),
            "route replace default via " + ROUTER,
        )

    def add_line(self) -> Place:
        """Give it a second line, which stays: what has that line's address goes out by it. Return the place so seen."""
        address = self._address("198.19")
        run("nsenter", "--net=/run/netns/" + INTERNET, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _batch(
            INTERNET,
            "link add second type veth peer name wan2 netns " + self.name,
            "address add {}/16 dev second".format(SECOND_ROUTER),
            "link set second up",
        )
        _batch(
            self.name,
            "address add {}/16 dev wan2".format(address),
            "link set wan2 up",
            "route add default via {} table 2".format(SECOND_ROUTER),
            "rule add from {} table 2".format(address),
        )
        return replace(self, wan=address)

    def disconnect(self) -> None:
        """Take away what ``connect`` has made, with what the site's kernel knew, and wait until it's gone."""
        for namespace in (self.name, self.name + "-lan"):
            run("ip", "netns", "delete", namespace)
        deadline = time.monotonic() + GONE_LIMIT
        while self._links_exist():
            if time.monotonic() > deadline:
                raise RuntimeError("{}: its network is still there: is a process left?".format(self.name))
            time.sleep(0.2)

    def _links_exist(self) -> bool:
        outside = run("ip", "-n", INTERNET, "-br", "link", "show", "type", "veth").split()
        return (Path("/sys/class/net") / self.card).exists() or any(
            word.startswith("w{}@".format(self.number)) for word in outside
        )

    def bytes(self) -> int:
        """What has crossed the management link, in both directions, since it was made."""
        statistics = Path("/sys/class/net") / self.card / "statistics"
        return sum(int((statistics / counter).read_text()) for counter in ("rx_bytes", "tx_bytes"))

    def spis(self, peer: Place) -> frozenset[str]:
        """The SPIs of the SAs between this site and that one, as this site's kernel has them."""
        found = set()
        ends = {self.own or self.address, peer.address}
        for line in run("ip", "-n", self.name, "xfrm", "state").splitlines():
            words = line.split()
            if words[0] == "src":
                ours = {words[1], words[3]} == ends
            elif words[0] == "proto" and ours:
                found.add(words[words.index("spi") + 1])
        return frozenset(found)

    def policies(self) -> int:
        """How many policies its kernel has, those of sockets aside."""
        lines = run("ip", "-n", self.name, "xfrm", "policy", "list", "nosock").splitlines()
        return sum(line.startswith("src") for line in lines)


def build() -> None:
    """Make what the sites have in common; the machine that it lives in takes it away with itself."""
    run("ip", "netns", "add", INTERNET)
    _batch(
        "", "link add management type bridge", "address add 10.99.255.254/16 dev management", "link set management up"
    )
    _batch(
        INTERNET,
        "link set lo up",
        "link add internet type bridge",
        "address add {}/16 dev internet".format(ROUTER),
        "address add {}/64 dev internet nodad".format(ROUTER6),
        "link set internet up",
    )


def _batch(namespace: str, *commands: str) -> None:
    """Commands of ``ip`` in one process: to start one is slow here."""
    words = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    text = "\n".join(commands)
    done = subprocess.run(words, check=False, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("{}: {}".format(text, done.stderr.strip()))
