"""The sites of the lab: the original how-to's two, each a gateway machine with one LAN client behind it.

192.168.10.0/24 - tokyo (210.11.11.11) == "internet" == (210.22.22.22) osaka - 192.168.20.0/24
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network


@dataclass(frozen=True)
class Site:
    """One site. `outside` is the gateway's public address with its prefix; `number` makes its MAC address."""

    name: str
    number: int
    outside: IPv4Interface
    network: IPv4Network

    @property
    def next_hop(self) -> IPv4Address:
        """The internet's address on this site's link: the first of its network."""
        return self.outside.network[1]

    @property
    def gateway(self) -> IPv4Interface:
        """The gateway machine's address inside its LAN."""
        return IPv4Interface(f"{self.network[1]}/{self.network.prefixlen}")

    @property
    def client(self) -> IPv4Interface:
        """The LAN client's address."""
        return IPv4Interface(f"{self.network[2]}/{self.network.prefixlen}")

    def mac(self, card: int) -> str:
        """The MAC address of the machine's network card: 0 management, 1 outside."""
        return f"52:54:00:00:{card:02x}:{self.number:02x}"


TOKYO = Site("tokyo", 1, IPv4Interface("210.11.11.11/24"), IPv4Network("192.168.10.0/24"))
OSAKA = Site("osaka", 2, IPv4Interface("210.22.22.22/24"), IPv4Network("192.168.20.0/24"))
SITES = (TOKYO, OSAKA)
