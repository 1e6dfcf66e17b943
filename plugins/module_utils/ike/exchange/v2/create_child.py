# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CREATE_CHILD_SA for a child: a new one, or one that replaces another (RFC 7296 1.3.1, 1.3.3).

Initiator                                  Responder
HDR, SK {[N(REKEY_SA),] SA, Ni,
         [KEi,] TSi, TSr}             -->
                                      <--  HDR, SK {SA, Nr, [KEr,] TSi, TSr}

Additional key exchanges follow as IKE_FOLLOWUP_KE, see followup.py. Where both ends replace the same child at once, the
nonces settle which of the two new ones stays (2.8.1).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...config.settings import Tunnel
from ...crypto.algorithms import Group
from ...crypto.groups import KeyPair
from ...policy import v2_proposals as proposals
from ...wire.v2 import KeyExchange, Message, Nonce, Notification
from ...wire.v2_numbers import Notify, Payload, TransformType
from ..child import ChildSa
from ..effects import Final, Remove, Request
from ..errors import PeerError
from . import child_sa, followup, rules
from .child_sa import Draft, Secrets
from .key_exchange import check_group, public, respond, shared_secret, wanted_group

if TYPE_CHECKING:
    from .session import Session

Steps = Generator[Any, Any, None]

_MAX_ROUNDS = 3  # requests for one child: another group, or a child to replace that is gone


@dataclass(frozen=True)
class _Attempt:
    """One request: which child it is to replace, and our half of its secrets."""

    old: ChildSa | None
    pair: KeyPair | None
    nonce: bytes


def initiator(session: Session, tunnel: Tunnel) -> Steps:
    """Make a child for a tunnel; in place of the one that it has, where it has one."""
    inbound = yield from child_sa.reserve(session, tunnel)
    try:
        draft = child_sa.draft(session, tunnel, inbound, first=False)
        attempt, message = yield from _ask(session, draft)
        answered = child_sa.agreed(draft, message)
        theirs = message.get(Nonce).data
        shared = _shared(attempt.pair, answered.suite.group, message)
        additional = yield from followup.initiator(session, answered.suite.additional, message)
        made, sending = yield from child_sa.settle(
            session,
            draft,
            answered,
            Secrets(attempt.nonce, theirs, shared, additional),
            replaces=attempt.old.spi_in if attempt.old else 0,
            precedence=min(attempt.nonce, theirs),
        )
    except Exception as error:
        yield from child_sa.give_back(session, inbound, error)
        raise
    yield from child_sa.complete(session, made, sending)


def _ask(session: Session, draft: Draft) -> Generator[Any, Any, tuple[_Attempt, Message]]:
    """Ask until the peer has answered with a child."""
    groups = draft.offers[0][TransformType.KE]
    group = groups[0] if groups else None
    for _round in range(_MAX_ROUNDS):
        pair = session.key_pair(group) if group else None
        nonce = session.random(session.settings.nonce_size)
        attempt = _Attempt(session.child_of(draft.tunnel), pair, nonce)
        before, behind = draft.request()
        ours = [public(pair)] if pair else []
        message = yield Request(
            [*_rekey(attempt.old), *before, Nonce(nonce), *ours, *behind], expect=rules.CHILD_ANSWER
        )
        other = message.notified(Notify.INVALID_KE_PAYLOAD)
        if other is not None and group is not None:
            group = wanted_group(draft.offers, group, other)
        elif attempt.old is not None and message.notified(Notify.CHILD_SA_NOT_FOUND) is not None:
            session.child_lost(attempt.old)
        else:
            child_sa.check_refusal(message, "the peer refused the child: {}")
            return attempt, message
    raise PeerError("the peer asked {} times for another child".format(_MAX_ROUNDS))


def responder(session: Session, message: Message) -> Steps:
    """Answer a peer that makes a child."""
    session.check_free(message)
    began = session.now
    old = _replaced(session, message)
    taken = child_sa.answer(session, message, [old.tunnel] if old else session.tunnels(), first=False)
    ours, shared = _respond(session, taken.suite.group, message)
    theirs, nonce = message.get(Nonce).data, Nonce(session.random(session.settings.nonce_size))
    inbound = yield from child_sa.reserve(session, taken.tunnel)
    accepted, rest = taken.payloads(inbound.spi)
    try:
        answer, additional = yield from followup.responder(
            session, taken.suite.additional, [accepted, nonce, *ours, *rest]
        )
    except Exception:
        yield Remove((inbound,))
        raise
    made, sending = yield from child_sa.take(
        session,
        taken,
        inbound,
        Secrets(theirs, nonce.data, shared, additional),
        began,
        replaces=old.spi_in if old else 0,
        precedence=min(nonce.data, theirs),
    )
    yield Final(answer)
    yield from child_sa.follow(session, made, sending, replaced=old)


# Payloads


def _rekey(old: ChildSa | None) -> list[Notification]:
    if old is None:
        return []
    protocol = proposals.child_protocol(old.tunnel)
    return [Notification(Notify.REKEY_SA, protocol=protocol, spi=old.spi_in.to_bytes(4, "big"))]


def _replaced(session: Session, message: Message) -> ChildSa | None:
    """The child that the peer wants to replace: it names it by its own inbound SPI."""
    rekey = message.notified(Notify.REKEY_SA)
    if rekey is None:
        return None
    old = session.child_by_peers_spi(rekey.protocol, rekey.spi)
    if old is None and session.making_child:
        raise PeerError("the peer replaces a child whose answer may be under way", Notify.TEMPORARY_FAILURE)
    if old is None:
        raise PeerError("the peer replaces a child that isn't there", Notify.CHILD_SA_NOT_FOUND)
    if session.is_deleting(old):
        raise PeerError("the peer replaces a child that we are deleting", Notify.TEMPORARY_FAILURE)
    return old


def _respond(session: Session, group: Group | None, message: Message) -> tuple[list[KeyExchange], bytes]:
    """Our half of PFS, where the suite has it; the peer's must be there and of the group that was chosen."""
    if group is None:
        return [], b""
    if not message.has(Payload.KE):
        raise PeerError("PFS was agreed on but the peer sent no key exchange", Notify.INVALID_SYNTAX)
    theirs = message.get(KeyExchange)
    check_group(group, theirs)
    ours, shared = respond(session, group, theirs)
    return [ours], shared


def _shared(pair: KeyPair | None, group: Group | None, message: Message) -> bytes:
    if group is None:
        return b""
    if pair is None or not message.has(Payload.KE):
        raise PeerError("PFS was agreed on but the peer sent no key exchange")
    return shared_secret(pair, group, message.get(KeyExchange))
