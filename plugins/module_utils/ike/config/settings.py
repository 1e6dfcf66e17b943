# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a configuration means, as values: inheritance, built-in defaults and variables already applied.

The daemon, the checks and the SPD read these; :func:`ike.config.effective.effective` makes them from the
syntax tree. Times are in seconds, limits of 0 mean none, names of algorithms are rows of
:mod:`ike.crypto.algorithms`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Union

from .grammar import ALLOW, REPLAY_WINDOW, RESTART, TRAP
from .model import Position

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

IKEV1 = "ikev1"
IKEV2 = "ikev2"

OUTBOUND = "outbound"
INBOUND = "inbound"

TYPED_PROTOCOLS = (1, 58, 135)  # ICMP, ICMPv6, the mobility header: types where others have ports

ANY_MACROS = ("IP_ANY", "IP_RW", "IP_UNSPECIFIED")  # match every peer
LOCAL_MACROS = ("MY_IP", "MY_IPV4", "MY_IPV6", "MY_IPV6_GLOBAL", "MY_IPV6_LINKLOCAL", "MY_HOA")
MACROS = ANY_MACROS + LOCAL_MACROS


@dataclass(frozen=True)
class Listen:
    """Where the daemon listens: an address's text or a macro (``MY_IP``, ``MY_IPV4%em0``). Port 0: the default, 500."""

    address: str
    port: int = 0

    def hears(self, local: Address) -> bool:
        """Whether what comes to this address of ours is heard here; a macro counts as all of them."""
        text = self.address.partition("%")[0]
        if text in LOCAL_MACROS:
            return True
        address = ipaddress.ip_address(text)
        return address == local or (address.is_unspecified and address.version == local.version)


@dataclass(frozen=True)
class Endpoint:
    """Where a peer is: an address, or ``name`` (an FQDN, or a macro that matches any peer). Port 0: the default."""

    address: Address | None = None
    name: str = ""
    port: int = 0

    @property
    def is_name(self) -> bool:
        return self.address is None and self.name.partition("%")[0] not in MACROS

    def matches(self, address: Address) -> bool:
        """Whether a packet from ``address`` may come from here. An FQDN never matches, as upstream."""
        return self.name.partition("%")[0] in ANY_MACROS or self.address == address


@dataclass(frozen=True)
class Identity:
    """An IKE identity. ``kind`` is ``ipaddr``, ``fqdn``, ``email``, ``keyid`` or ``x509_subject``.

    With source ``file`` the value is the path of the file that holds the identity (a certificate for
    ``x509_subject``, the raw bytes for ``keyid``).
    """

    kind: str
    value: str | Address
    source: str = "value"


@dataclass(frozen=True)
class IkeSettings:
    """One ``ikev1`` or ``ikev2`` block of a remote.

    ``hashes`` are rows of HASHES for IKEv1 and of INTEGRITIES for IKEv2; ``encryption`` holds (CIPHERS row, key
    bits) pairs. ``additional`` holds the groups of each additional key exchange, among which may be ``none``, or () for
    one that isn't wanted. ``pre_shared_key`` and ``ppk`` are paths, "" where none is set. ``scripts`` holds (event,
    path) pairs.
    """

    protocol: str
    passive: bool = False
    peers: tuple[Endpoint, ...] = ()
    my_ids: tuple[Identity, ...] = ()
    peers_ids: tuple[Identity, ...] = ()
    verify_id: bool = False
    send_peers_id: bool = False
    exchange_mode: str = "main"
    encryption: tuple[tuple[str, int], ...] = ()
    hashes: tuple[str, ...] = ()
    prfs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    additional: tuple[tuple[str, ...], ...] = ()
    auth_methods: tuple[str, ...] = ()
    pre_shared_key: str = ""
    ppk: str = ""
    ppk_id: str = ""
    ppk_required: bool = False
    lifetime_seconds: int = 28800
    lifetime_bytes: int = 0
    reauth_seconds: int = 0
    proposal_check: str = "obey"
    selector_check: str = "exact"
    nonce_size: int = 32
    initial_contact: bool = False
    nat_traversal: bool = True
    force_encapsulation: bool = False
    need_pfs: bool = False
    dpd: bool = True
    dpd_delay: int = 0
    dpd_retry: int = 5
    dpd_maxfail: int = 5
    retries: int = 5  # max_retry_to_send
    interval: int = 1  # interval_to_send
    times_per_send: int = 1
    negotiation_limit: int = 30  # kmp_sa_nego_time_limit
    child_negotiation_limit: int = 30  # ipsec_sa_nego_time_limit
    grace_period: int = 0
    cookie_required: bool = False
    childless: str = ALLOW
    random_pad_content: bool = True
    scripts: tuple[tuple[str, str], ...] = ()
    logmode: str = "normal"


@dataclass(frozen=True)
class Remote:
    """A peer. ``acceptable`` lists the protocols that it may use; the first one is used to initiate."""

    name: str
    acceptable: tuple[str, ...] = ()
    ikev1: IkeSettings | None = None
    ikev2: IkeSettings | None = None
    position: Position = field(default=Position(), compare=False)

    def settings(self, protocol: str) -> IkeSettings | None:
        """The block of ``ikev1`` or ``ikev2``; None without one."""
        return {IKEV1: self.ikev1, IKEV2: self.ikev2}.get(protocol)


@dataclass(frozen=True)
class Traffic:
    """What a selector covers, seen in its own direction: networks or the macros ``IP_ANY``/``IP_RW``.

    Protocol 0 and port 0 mean any; an ICMP type and code stand in the ports.
    """

    source: Network | str
    destination: Network | str
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0

    def reversed(self) -> Traffic:
        """The same traffic from the other side. ICMP's type and code belong to no side."""
        ports = (self.destination_port, self.source_port)
        if self.protocol in TYPED_PROTOCOLS:
            ports = (self.source_port, self.destination_port)
        return Traffic(self.destination, self.source, self.protocol, *ports)


@dataclass(frozen=True)
class SaProposal:
    """One ``sa``: a protocol (``esp``, ``ah``, ``ipcomp``) with its algorithms, most wanted first.

    An AEAD in ``encryption`` stands without integrity; ``integrity`` is then for the other ciphers, or empty.
    """

    protocol: str
    encryption: tuple[tuple[str, int], ...] = ()
    integrity: tuple[str, ...] = ()
    compression: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """One selector of a tunnel: its index, its mirror's ("" without one), its traffic."""

    name: str
    inbound: str
    selector: Traffic


@dataclass(frozen=True)
class Tunnel:
    """A selector with all of its policy. ``name`` is the selector's index.

    Those of ``Effective.tunnels`` are outbound, and ``inbound`` names the selector that mirrors them ("" without one);
    those of ``Effective.inbound`` are the inbound selectors, as written (source is the peer's side). ``proposals``
    are the SAs of one bundle, one per protocol. ``my_address`` and ``peers_address`` are as the policy has them:
    they do not turn round with the direction. The actions are words of the language (``trap``, ``restart``, …). A
    ``replay_window`` of 0 means no protection. ``esn``: we want extended sequence numbers; a peer that insists on them
    gets them anyway. ``rank`` is the selector's place in the file. ``shared``: one child SA carries the traffic of all
    of the policy's selectors; where :func:`ike.policy.shared.gathered` has made one tunnel of them, ``companions`` are
    those after the first.
    """

    name: str
    inbound: str
    policy: str
    remote: str
    action: str  # ipsec, bypass, discard
    install: bool
    mode: str  # tunnel, transport
    level: str  # require, use, unique
    selector: Traffic
    my_address: Address | str | None = None
    peers_address: Address | str | None = None
    reqid: int = 0
    lifetime_seconds: int = 0
    lifetime_bytes: int = 0
    lifetime_packets: int = 0
    replay_window: int = REPLAY_WINDOW
    esn: bool = False
    start_action: str = TRAP
    close_action: str = TRAP
    dpd_action: str = RESTART
    proposals: tuple[SaProposal, ...] = ()
    shared: bool = False
    companions: tuple[Member, ...] = ()
    direction: str = OUTBOUND
    rank: int = 0
    position: Position = field(default=Position(), compare=False)

    @property
    def members(self) -> tuple[Member, ...]:
        """All of its selectors."""
        return (Member(self.name, self.inbound, self.selector), *self.companions)


@dataclass(frozen=True)
class Effective:
    """A whole configuration, ready to run. Remotes and tunnels stand in the order of the file.

    ``default`` holds the settings of ``default { remote { … }; }`` as a remote of its own, which serves the peers
    that no remote matches; None without one.
    """

    listen: tuple[Listen, ...] = ()
    remotes: tuple[Remote, ...] = ()
    tunnels: tuple[Tunnel, ...] = ()
    inbound: tuple[Tunnel, ...] = ()
    default: Remote | None = None
    application_bypass: bool = True

    def remote(self, name: str) -> Remote | None:
        """The first remote of this index, as upstream looks it up."""
        return self._remotes_by_name.get(name)

    @cached_property
    def _remotes_by_name(self) -> dict[str, Remote]:
        return {remote.name: remote for remote in reversed(self.remotes)}
