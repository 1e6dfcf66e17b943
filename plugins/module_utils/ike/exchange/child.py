# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A child SA: the pair of kernel SAs that one negotiation made for one tunnel (RFC 7296 1.3, RFC 2409 5.5)."""

from __future__ import annotations

from dataclasses import dataclass

from ..config.settings import Member, Tunnel
from ..policy.sa import AH, ESP, Address, Lifetime, SaId
from .path import Path

UP = "up"
REKEYED = "rekeyed"  # a younger one carries the traffic; this one still receives
PROTOCOLS = {"esp": ESP, "ah": AH}

_SOFT_JITTER = 0.05
_RESPONDER_LATER = 0.05  # so that both ends seldom begin at once


@dataclass
class ChildSa:
    """Both directions of one child.

    ``path`` is its packets', with UDP ports where they are encapsulated, else with none. ``since`` is in the engine's
    seconds; ``took`` is how long its negotiation was; lifetimes in seconds and bytes. In IKEv2 ``ike`` is the
    id of the IKE SA that it belongs to, ``replaces`` the inbound SPI of the child that it was made for (0 for none),
    ``precedence`` the smaller nonce of its exchange: the lower one loses a collision. ``local_traffic`` and
    ``peer_traffic`` name the selectors that were agreed on, ``unserved`` those of the tunnel's that the peer left out.
    ``sends``: its outbound SA is installed, or the negotiation that is to do so isn't over.
    """

    tunnel: Tunnel
    path: Path
    protocol: str
    spi_in: int
    spi_out: int
    encryption: str
    encryption_bits: int
    integrity: str
    since: float
    took: float = 0.0
    lifetime_seconds: int = 0
    lifetime_bytes: int = 0
    initiated: bool = False
    pfs: str = ""
    state: str = UP
    revived: bool = False  # carries the traffic again since the peer deleted its successor
    ike: str = ""
    replaces: int = 0
    precedence: bytes = b""
    local_traffic: tuple[str, ...] = ()
    peer_traffic: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()
    sends: bool = True

    def serves(self, member: Member) -> bool:
        """Whether it carries this selector's traffic."""
        return member.name not in self.unserved

    def leads_as(self, other: ChildSa) -> bool:
        """Whether its packets go where the other's do: ports count where both have them."""
        same_ports = self.path == other.path or 0 in (self.path.peer_port, other.path.peer_port)
        return (self.local, self.peer) == (other.local, other.peer) and same_ports

    @property
    def local(self) -> Address:
        return self.path.local

    @property
    def peer(self) -> Address:
        return self.path.peer

    @property
    def inbound(self) -> SaId:
        return SaId(self.local, PROTOCOLS[self.protocol], self.spi_in)

    @property
    def outbound(self) -> SaId:
        return SaId(self.peer, PROTOCOLS[self.protocol], self.spi_out)

    def lifetime(self, soft: float, jitter: int) -> Lifetime:
        """The kernel's limits: soft ones at this share of the hard ones, later for the end that didn't initiate.

        ``jitter`` is a random byte.
        """
        share = soft + (0 if self.initiated else _RESPONDER_LATER) + _SOFT_JITTER * jitter / 256
        return Lifetime(
            soft_seconds=int(self.lifetime_seconds * share),
            hard_seconds=self.lifetime_seconds,
            soft_bytes=int(self.lifetime_bytes * share),
            hard_bytes=self.lifetime_bytes,
            soft_packets=int(self.tunnel.lifetime_packets * share),
            hard_packets=self.tunnel.lifetime_packets,
        )

    def __str__(self) -> str:
        return "{} {} in {:#010x} out {:#010x}".format(
            self.tunnel.name, self.protocol.upper(), self.spi_in, self.spi_out
        )
