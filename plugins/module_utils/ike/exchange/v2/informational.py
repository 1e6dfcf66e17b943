# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""INFORMATIONAL: deletes, errors, and whether the peer is there (RFC 7296 1.4, 2.4). An empty one is answered empty."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ...wire.v2 import Delete, Message
from ...wire.v2_numbers import LAST_ERROR_NOTIFY, Notify, Protocol, notify_name
from ..effects import Final, Request
from . import rules

if TYPE_CHECKING:
    from .session import Session

Steps = Generator[Any, Any, None]


def initiator(session: Session, payloads: list) -> Steps:
    """Tell the peer something; that it answers at all is what counts."""
    yield Request(payloads, expect=rules.INFORMATIONAL)


def last_word(session: Session, reason: str) -> Steps:
    """Delete the IKE SA."""
    yield Request([Delete(Protocol.IKE)], expect=rules.INFORMATIONAL)
    session.ended(reason)


def responder(session: Session, message: Message) -> Steps:
    """Do what the peer tells us, and answer. Nothing more of it counts once it has ended the IKE SA."""
    deletes = message.all(Delete)
    errors = [one.kind for one in message.notifications if one.kind <= LAST_ERROR_NOTIFY]
    ended = any(one.protocol == Protocol.IKE for one in deletes)
    removed = [] if ended else [_removed(session, one) for one in deletes]
    yield Final([answer for answer in removed if answer.spis])
    if ended:
        session.ended("deleted by the peer")
    elif Notify.AUTHENTICATION_FAILED in errors:
        session.ended("the peer refused: AUTHENTICATION_FAILED: probably the pre-shared keys differ")
    elif errors:
        session.host.warning("{}: the peer says {}".format(session, ", ".join(map(notify_name, errors))))


def _removed(session: Session, delete: Delete) -> Delete:
    """Remove the children that the peer deletes; our halves of them, but those that we are deleting ourselves."""
    known = []
    for spi in dict.fromkeys(delete.spis):
        child = session.child_by_peers_spi(delete.protocol, spi)
        if child is not None:
            known.append(child)
        else:
            session.deleted_early(spi)
    ours = [child.spi_in.to_bytes(4, "big") for child in known if not session.is_deleting(child)]
    for child in known:
        session.child_deleted(child)
    return Delete(delete.protocol if ours else Protocol.ESP, tuple(ours))
