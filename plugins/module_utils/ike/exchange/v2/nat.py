# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT detection in IKE_SA_INIT (RFC 7296 2.23): each end hashes the addresses it sees; another hash shows a NAT."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

from ...policy.sa import Address
from ...wire.v2 import Message, Notification
from ...wire.v2_numbers import Notify

if TYPE_CHECKING:
    from .session import Session

_HASH = 20  # bytes


def _hash(spis: bytes, address: Address, port: int) -> bytes:
    return hashlib.sha1(spis + address.packed + struct.pack(">H", port)).digest()


def detection(session: Session) -> list[Notification]:
    """What we see of both ends; nothing with ``nat_traversal off``.

    With ``force_encapsulation`` we pretend to sit behind a NAT: the hash of our own address is none.
    """
    settings, path, spis = session.settings, session.path, session.spi_i + session.spi_r
    if not settings.nat_traversal:
        return []
    own = session.random(_HASH) if settings.force_encapsulation else _hash(spis, path.local, path.local_port)
    return [
        Notification(Notify.NAT_DETECTION_SOURCE_IP, own),
        Notification(Notify.NAT_DETECTION_DESTINATION_IP, _hash(spis, path.peer, path.peer_port)),
    ]


def detect(session: Session, message: Message) -> None:
    """Learn from the peer's message which of us sits behind a NAT."""
    if not session.settings.nat_traversal:
        return
    path, spis = session.path, message.header.spi_i + message.header.spi_r
    sources = [one.data for one in message.notifications if one.kind == Notify.NAT_DETECTION_SOURCE_IP]
    destinations = [one.data for one in message.notifications if one.kind == Notify.NAT_DETECTION_DESTINATION_IP]
    if not sources or not destinations:
        return
    session.peer_nat = _hash(spis, path.peer, path.peer_port) not in sources
    seen = _hash(spis, path.local, path.local_port) in destinations
    session.local_nat = not seen or session.settings.force_encapsulation
