# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where datagrams go: both ends' addresses and UDP ports, seen from us."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..policy.sa import Address, Encapsulation

IKE_PORT = 500
NAT_PORT = 4500  # RFC 3947 4, RFC 7296 2.23


@dataclass(frozen=True)
class Path:
    """A pair of transport addresses. On port 4500 the rim puts the non-ESP marker before IKE (RFC 3948 2.2)."""

    local: Address
    peer: Address
    local_port: int = IKE_PORT
    peer_port: int = IKE_PORT

    def floated(self) -> Path:
        """The same hosts on port 4500."""
        return replace(self, local_port=NAT_PORT, peer_port=NAT_PORT)

    def of_child(self, encapsulated: bool) -> Path:
        """How ESP or AH goes between the same hosts: with ports, or without."""
        return self if encapsulated else Path(self.local, self.peer, 0, 0)

    def encapsulation(self, inbound: bool) -> Encapsulation:
        """The UDP header of ESP on this path, from sender to receiver (RFC 3948)."""
        if inbound:
            return Encapsulation(self.peer_port, self.local_port)
        return Encapsulation(self.local_port, self.peer_port)

    def __str__(self) -> str:
        return "{}[{}]-{}[{}]".format(self.local, self.local_port, self.peer, self.peer_port)
