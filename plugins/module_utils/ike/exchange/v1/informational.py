# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Informational exchanges: notifications and deletes, which count only with their hash (RFC 2409 5.7)."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from ...wire.v1 import AnyPayload, Delete, Hash, Message, Notification, encode_chain, encode_clear
from ...wire.v1_numbers import Exchange as Kind
from ...wire.v1_numbers import Payload

if TYPE_CHECKING:
    from .session import Session


def authenticated(session: Session, message_id: int, payloads: list[AnyPayload]) -> list[AnyPayload]:
    """The payloads behind HASH(1)."""
    return [Hash(session.keys.hash_1(message_id, encode_chain(payloads)[1])), *payloads]


def authentic(session: Session, message: Message) -> bool:
    """Whether the message's HASH(1) holds."""
    chain = message.content[message.raw[0].end : message.end]
    expected = session.keys.hash_1(message.header.message_id, chain)
    if hmac.compare_digest(message.body(Payload.HASH), expected):
        return True
    session.drop("the hash of an informational exchange is wrong")
    return False


def handle(session: Session, message: Message) -> None:
    """Act on an authentic message; nothing more of it counts once it has ended the session."""
    for raw in message.raw:
        if session.keys is None or session.state != "established":
            return
        if raw.type == Payload.NOTIFY:
            session.notified(Notification.decode(raw.body))
        elif raw.type == Payload.DELETE:
            session.deleted(Delete.decode(raw.body))


def in_clear(session: Session, message_id: int, notification: Notification) -> bytes:
    """A datagram that says why we don't go on, before there are keys to protect it with."""
    return encode_clear(session.spi_i, session.spi_r, Kind.INFORMATIONAL, message_id, [notification])
