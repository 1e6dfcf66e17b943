# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that exchanges decide and kernels install: SAs, policies, selectors (RFC 4301 section 4.4).

Plain data, no behaviour beyond naming themselves. Keys never show in a ``repr``.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Union

from ..config.settings import TYPED_PROTOCOLS

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

ESP = 50  # IP protocol numbers
AH = 51
IPCOMP = 108

IN = "in"
OUT = "out"
FWD = "fwd"

TUNNEL = "tunnel"
TRANSPORT = "transport"

ANY_PROTOCOL = 0
ANY_PORT = 0


@dataclass(frozen=True)
class TrafficSelector:
    """What a policy or an SA covers. Port 0 and protocol 0 mean any; an ICMP type and code stand in the ports."""

    source: Network
    destination: Network
    protocol: int = ANY_PROTOCOL
    source_port: int = ANY_PORT
    destination_port: int = ANY_PORT

    def reversed(self) -> TrafficSelector:
        """The same traffic from the other side. ICMP's type and code belong to no side."""
        ports = (self.destination_port, self.source_port)
        if self.protocol in TYPED_PROTOCOLS:
            ports = (self.source_port, self.destination_port)
        return TrafficSelector(self.destination, self.source, self.protocol, *ports)


@dataclass(frozen=True)
class SaId:
    """What names an SA in the kernel: destination, protocol, SPI (RFC 4301 4.1). ``spi`` is an unsigned 32-bit int."""

    destination: Address
    protocol: int
    spi: int


@dataclass(frozen=True)
class Lifetime:
    """Limits of an SA; 0 means none. Seconds, bytes, packets; soft asks for a rekey, hard removes."""

    soft_seconds: int = 0
    hard_seconds: int = 0
    soft_bytes: int = 0
    hard_bytes: int = 0
    soft_packets: int = 0
    hard_packets: int = 0


@dataclass(frozen=True)
class Encapsulation:
    """UDP encapsulation of ESP (RFC 3948): the ports of the outer header, from sender to receiver."""

    source_port: int
    destination_port: int


@dataclass(frozen=True)
class SecurityAssociation:
    """One direction of a child SA with its keys, ready for the kernel.

    ``encryption`` names a row of ``ike.crypto.algorithms.CIPHERS`` ("" for AH), ``integrity`` one of
    ``INTEGRITIES`` ("" with an AEAD). ``encryption_key`` holds the salt at its end where the cipher has one.
    ``selector`` is set in transport mode and for hosts that check it; ``replay_window`` is in packets.
    """

    source: Address
    destination: Address
    protocol: int
    spi: int
    mode: str
    encryption: str
    encryption_key: bytes = field(repr=False)
    integrity: str = ""
    integrity_key: bytes = field(default=b"", repr=False)
    reqid: int = 0
    lifetime: Lifetime = Lifetime()
    selector: TrafficSelector | None = None
    replay_window: int = 64
    esn: bool = False
    encapsulation: Encapsulation | None = None

    @property
    def id(self) -> SaId:
        return SaId(self.destination, self.protocol, self.spi)


@dataclass(frozen=True)
class SaState:
    """An SA as a kernel reports it: never its keys. Times in seconds since the epoch, 0 where unknown.

    ``state`` is ``larval`` (an SPI held for a negotiation), ``mature``, ``dying`` or ``dead``;
    ``encryption``/``integrity`` are registry names, or the kernel's own where the registry has none.
    """

    source: Address
    destination: Address
    protocol: int
    spi: int
    mode: str
    state: str
    reqid: int = 0
    encryption: str = ""
    encryption_bits: int = 0
    integrity: str = ""
    integrity_bits: int = 0
    icv_bits: int = 0
    replay_window: int = 0
    esn: bool = False
    lifetime: Lifetime = Lifetime()
    selector: TrafficSelector | None = None
    encapsulation: Encapsulation | None = None
    bytes: int = 0
    packets: int = 0
    added: int = 0
    used: int = 0
    replay_errors: int = 0
    replay_window_errors: int = 0
    integrity_errors: int = 0

    @property
    def id(self) -> SaId:
        return SaId(self.destination, self.protocol, self.spi)


@dataclass(frozen=True)
class Template:
    """What a policy requires of a packet: one SA of this shape. Addresses only in tunnel mode."""

    protocol: int
    mode: str
    source: Address | None = None
    destination: Address | None = None
    reqid: int = 0
    level: str = "require"  # or "use"


@dataclass(frozen=True)
class Policy:
    """One SPD entry. ``action`` is ``ipsec`` (apply the templates), ``bypass`` or ``discard``.

    A lower ``priority`` wins (XFRM's order); ``name`` is the selector's index in the configuration
    and travels to no kernel.
    """

    selector: TrafficSelector
    direction: str
    action: str = "ipsec"
    templates: tuple[Template, ...] = ()
    priority: int = 0
    name: str = ""


@dataclass(frozen=True)
class PolicyState:
    """A policy as a kernel reports it. ``index`` is the kernel's own id (spid)."""

    policy: Policy
    index: int = 0
    added: int = 0
    used: int = 0
