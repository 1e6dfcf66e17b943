# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT discovery in phase 1 (RFC 3947 3.2): each end hashes the addresses it sees; a hash that differs shows a NAT."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

from ...crypto.algorithms import Hash
from ...policy.sa import Address
from ...wire.v1 import Message, NatDiscovery
from . import vendor

if TYPE_CHECKING:
    from .session import Session


def _hash(session: Session, hash_algorithm: Hash, address: Address, port: int) -> bytes:
    data = session.spi_i + session.spi_r + address.packed + struct.pack(">H", port)
    return hashlib.new(hash_algorithm.digest, data).digest()


def _enabled(session: Session) -> bool:
    return session.settings.nat_traversal and vendor.NAT_TRAVERSAL in session.vendors


def discovery(session: Session, hash_algorithm: Hash) -> list[NatDiscovery]:
    """Our NAT-D payloads: the peer's address first, then our own; none where either end can't."""
    if not _enabled(session):
        return []
    path = session.path
    return [
        NatDiscovery(_hash(session, hash_algorithm, path.peer, path.peer_port)),
        NatDiscovery(_hash(session, hash_algorithm, path.local, path.local_port)),
    ]


def detect(session: Session, hash_algorithm: Hash, message: Message) -> None:
    """Learn from the peer's NAT-D payloads which of us sits behind a NAT."""
    seen = [payload.data for payload in message.all(NatDiscovery)]
    if not _enabled(session) or len(seen) < 2:
        return
    path = session.path
    session.local_nat = seen[0] != _hash(session, hash_algorithm, path.local, path.local_port)
    session.peer_nat = _hash(session, hash_algorithm, path.peer, path.peer_port) not in seen[1:]
