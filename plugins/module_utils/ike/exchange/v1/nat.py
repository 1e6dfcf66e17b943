# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT traversal (RFC 3947): discovery in phase 1, and what translation does to transport mode in quick mode.

Each end hashes the addresses that it sees; a hash that differs shows a NAT. The drafts that old peers speak differ
in numbers only.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...config.settings import Tunnel
from ...crypto.algorithms import Hash
from ...policy.identity import encode_address
from ...policy.sa import TRANSPORT, Address, TrafficSelector
from ...policy.v1_selectors import host_traffic
from ...wire.v1 import (
    DraftNatDiscovery,
    DraftNatOriginalAddress,
    Message,
    NatDiscovery,
    NatOriginalAddress,
)
from . import vendor

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True)
class Dialect:
    """A way to speak NAT traversal: the vendor id that announces it, and its payloads."""

    vendor: bytes
    discovery: type[NatDiscovery] = NatDiscovery
    original_address: type[NatOriginalAddress] = NatOriginalAddress
    draft: bool = False


_DIALECTS = (
    Dialect(vendor.NAT_TRAVERSAL),
    Dialect(vendor.NAT_TRAVERSAL_03, DraftNatDiscovery, DraftNatOriginalAddress, True),
    Dialect(vendor.NAT_TRAVERSAL_02, DraftNatDiscovery, DraftNatOriginalAddress, True),
)


def dialect(session: Session) -> Dialect | None:
    """The best that both ends speak; None without NAT traversal."""
    if not session.settings.nat_traversal:
        return None
    return next((one for one in _DIALECTS if one.vendor in session.vendors), None)


# Phase 1


def _hash(session: Session, hash_algorithm: Hash, address: Address, port: int) -> bytes:
    data = session.spi_i + session.spi_r + address.packed + struct.pack(">H", port)
    return hashlib.new(hash_algorithm.digest, data).digest()


def discovery(session: Session, hash_algorithm: Hash) -> list[NatDiscovery]:
    """Our NAT-D payloads: the peer's address first, then our own; none where either end can't.

    With ``force_encapsulation`` we pretend to sit behind a NAT: the hash of our own address is none.
    """
    spoken, path = dialect(session), session.path
    if spoken is None:
        return []
    own = _hash(session, hash_algorithm, path.local, path.local_port)
    return [
        spoken.discovery(_hash(session, hash_algorithm, path.peer, path.peer_port)),
        spoken.discovery(session.random(len(own)) if session.settings.force_encapsulation else own),
    ]


def detect(session: Session, hash_algorithm: Hash, message: Message) -> None:
    """Learn from the peer's NAT-D payloads which of us sits behind a NAT."""
    spoken, path = dialect(session), session.path
    seen = [payload.data for payload in message.all(spoken.discovery)] if spoken else []
    if len(seen) < 2:
        return
    ours = _hash(session, hash_algorithm, path.local, path.local_port)
    session.local_nat = seen[0] != ours or session.settings.force_encapsulation
    session.peer_nat = _hash(session, hash_algorithm, path.peer, path.peer_port) not in seen[1:]


# Transport mode in quick mode


def _translates(session: Session, tunnel: Tunnel) -> bool:
    return session.behind_nat and tunnel.mode == TRANSPORT


def original_addresses(session: Session, tunnel: Tunnel) -> list[NatOriginalAddress]:
    """NAT-OAi and NAT-OAr: the initiator's address and the responder's, as we know them (RFC 3947 5.2)."""
    spoken = dialect(session)
    if spoken is None or not _translates(session, tunnel):
        return []
    ends = [session.path.local, session.path.peer]
    return [spoken.original_address(*encode_address(end)) for end in (ends if session.initiator else ends[::-1])]


def as_seen(session: Session, selector: TrafficSelector) -> TrafficSelector:
    """The traffic between two hosts whose peer names addresses from behind its NAT: as it shows on our side of it."""
    translated = host_traffic(session.path.local, session.path.peer)
    return replace(selector, source=translated.source, destination=translated.destination)


def may_rename(session: Session, tunnel: Tunnel) -> bool:
    """Whether the peer may answer with other addresses than we named: those that it sees."""
    return _translates(session, tunnel)
