# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What phase 1's modes share: the offer, the keys, both ends' identities and their proof (RFC 2409 5)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...config.settings import IkeSettings
from ...crypto.groups import KeyExchangeError, KeyPair
from ...crypto.v1_keys import Phase1Keys
from ...policy.identity import IdentityError, describe_identity, encode_address, encode_identity
from ...policy.v1_proposals import NoProposalChosen, Phase1Suite, accept_phase1, offer_phase1
from ...wire.numbers import Protocol
from ...wire.v1 import Identification, Message, Nonce, Notification, SaPayload
from ...wire.v1_numbers import Notify, Payload
from ..errors import LocalError, PeerError

if TYPE_CHECKING:
    from .session import Session


def offer(settings: IkeSettings) -> SaPayload:
    try:
        return offer_phase1(settings)
    except NoProposalChosen as error:
        raise LocalError(str(error)) from error


def accepted(session: Session, message: Message) -> Phase1Suite:
    try:
        return accept_phase1(session.settings, message.get(SaPayload))
    except NoProposalChosen as error:
        raise PeerError(str(error)) from error


def derive(
    session: Session, suite: Phase1Suite, psks: Sequence[bytes], pair: KeyPair, nonce: bytes, message: Message
) -> list[Phase1Keys]:
    """The keys that follow from each of ``psks``, from our half and the peer's message of the key exchange."""
    theirs = message.body(Payload.KE)
    nonces = (nonce, message.get(Nonce).data)
    publics = (pair.public, theirs)
    if not session.initiator:
        nonces, publics = nonces[::-1], publics[::-1]
    try:
        shared = pair.shared(theirs)
    except KeyExchangeError as error:
        raise PeerError("key exchange: {}".format(error), Notify.INVALID_KEY_INFORMATION) from error
    return [
        Phase1Keys(suite.hash, suite.cipher, suite.bits, psk, session.spi_i, session.spi_r, *nonces, *publics, shared)
        for psk in psks
    ]


def identification(session: Session) -> Identification:
    """Our identity: the first ``my_id``, else the local address. Protocol and port 0, as racoon2 sends them."""
    try:
        if session.settings.my_ids:
            kind, data = encode_identity(session.settings.my_ids[0])
        else:
            kind, data = encode_address(session.path.local)
    except IdentityError as error:
        raise LocalError("my_id: {}".format(error)) from error
    session.local_id = describe_identity(kind, data)
    return Identification(kind, 0, 0, data)


def authenticate(session: Session, message: Message, expected: bytes) -> None:
    """Check the peer's hash, and then its identity: nothing that it says counts before."""
    if not hmac.compare_digest(message.body(Payload.HASH), expected):
        raise PeerError("authentication failed: probably the pre-shared keys differ", Notify.AUTHENTICATION_FAILED)
    identity = message.get(Identification)
    session.peer_id = describe_identity(identity.kind, identity.data)
    wanted = session.settings.peers_ids
    if not session.settings.verify_id or not wanted:
        return
    known = [encode_identity(one) for one in wanted]
    if (identity.kind, identity.data) not in known:
        raise PeerError(
            "the peer calls itself {}; peers_id is {}".format(
                session.peer_id, ", ".join(describe_identity(*one) for one in known)
            ),
            Notify.INVALID_ID_INFORMATION,
        )


def initial_contact(session: Session) -> list[Notification]:
    """INITIAL-CONTACT, where we hold nothing else with this peer (RFC 2407 4.6.3.3)."""
    if not session.first_contact():
        return []
    return [Notification(Protocol.ISAKMP, Notify.INITIAL_CONTACT, session.spi_i + session.spi_r)]


def notifications(message: Message) -> set[int]:
    return {notification.kind for notification in message.all(Notification)}
