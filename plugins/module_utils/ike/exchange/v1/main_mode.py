# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Main mode with pre-shared keys: two generators that read like the diagram (RFC 2409 5.4).

Initiator                          Responder
HDR, SA                     -->
                            <--    HDR, SA
HDR, KE, Ni [, NAT-D …]     -->
                            <--    HDR, KE, Nr [, NAT-D …]
HDR*, IDii, HASH_I          -->
                            <--    HDR*, IDir, HASH_R
"""

from __future__ import annotations

import hmac
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ...crypto.groups import KeyExchangeError, KeyPair
from ...crypto.v1_keys import Phase1Keys
from ...policy.identity import IdentityError, describe_identity, encode_address, encode_identity
from ...policy.v1_proposals import NoProposalChosen, Phase1Suite, accept_phase1, choose_phase1, offer_phase1
from ...wire.numbers import Protocol
from ...wire.v1 import Hash, Identification, KeyExchange, Message, Nonce, Notification, SaPayload
from ...wire.v1_numbers import Notify, Payload
from ..effects import Final, Reply, Request, SharedKey
from ..errors import LocalError, PeerError
from . import nat, rules, vendor

if TYPE_CHECKING:
    from .session import Session

Exchange = Generator[Any, Any, None]


def initiator(session: Session) -> Exchange:
    """Open an ISAKMP SA."""
    settings = session.settings
    psk = yield SharedKey(settings)
    offer = _offer(session)
    message = yield Request([offer, *vendor.ours(settings)], expect=rules.SA)
    suite = _accepted(session, message)
    session.vendors |= vendor.known(message)

    pair, nonce = session.key_pair(suite.group), Nonce(session.random(settings.nonce_size))
    message = yield Request(
        [KeyExchange(pair.public), nonce, *nat.discovery(session, suite.hash)], expect=rules.KEY_EXCHANGE
    )
    keys = _derive(session, suite, psk, pair, nonce.data, message)
    session.protect(suite, keys)
    nat.detect(session, suite.hash, message)
    session.float_ports()

    identity = _identification(session)
    proof = Hash(keys.hash_i(offer.encode(), identity.encode()))
    message = yield Request([identity, proof, *_initial_contact(session)], encrypted=True, expect=rules.IDENTITY)
    _authenticate(session, message, keys.hash_r(offer.encode(), message.body(Payload.ID)))
    session.established(_notifications(message))


def responder(session: Session, message: Message) -> Exchange:
    """Answer a peer's first message."""
    settings = session.settings
    offer_body = message.body(Payload.SA)
    try:
        suite, accepted = choose_phase1(settings, message.get(SaPayload))
    except NoProposalChosen as error:
        raise PeerError("no common phase 1 proposal: {}".format(error), Notify.NO_PROPOSAL_CHOSEN) from error
    session.vendors |= vendor.known(message)
    message = yield Reply([accepted, *vendor.answer(settings, session.vendors)], expect=rules.KEY_EXCHANGE)

    psk = yield SharedKey(settings)
    pair, nonce = session.key_pair(suite.group), Nonce(session.random(settings.nonce_size))
    keys = _derive(session, suite, psk, pair, nonce.data, message)
    nat.detect(session, suite.hash, message)
    answer = [KeyExchange(pair.public), nonce, *nat.discovery(session, suite.hash)]
    session.protect(suite, keys)
    message = yield Reply(answer, expect=rules.IDENTITY)

    _authenticate(session, message, keys.hash_i(offer_body, message.body(Payload.ID)))
    identity = _identification(session)
    yield Final([identity, Hash(keys.hash_r(offer_body, identity.encode()))], encrypted=True)
    session.established(_notifications(message))


def _offer(session: Session) -> SaPayload:
    try:
        return offer_phase1(session.settings)
    except NoProposalChosen as error:
        raise LocalError(str(error)) from error


def _accepted(session: Session, message: Message) -> Phase1Suite:
    try:
        return accept_phase1(session.settings, message.get(SaPayload))
    except NoProposalChosen as error:
        raise PeerError(str(error)) from error


def _derive(
    session: Session, suite: Phase1Suite, psk: bytes, pair: KeyPair, nonce: bytes, message: Message
) -> Phase1Keys:
    """The keys, from our half and the peer's message of the key exchange."""
    theirs = message.body(Payload.KE)
    nonces = (nonce, message.get(Nonce).data)
    publics = (pair.public, theirs)
    if not session.initiator:
        nonces, publics = nonces[::-1], publics[::-1]
    try:
        shared = pair.shared(theirs)
    except KeyExchangeError as error:
        raise PeerError("key exchange: {}".format(error), Notify.INVALID_KEY_INFORMATION) from error
    return Phase1Keys(
        suite.hash, suite.cipher, suite.bits, psk, session.spi_i, session.spi_r, *nonces, *publics, shared
    )


def _identification(session: Session) -> Identification:
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


def _authenticate(session: Session, message: Message, expected: bytes) -> None:
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


def _initial_contact(session: Session) -> list[Notification]:
    """INITIAL-CONTACT, where we hold nothing else with this peer (RFC 2407 4.6.3.3)."""
    if not session.first_contact():
        return []
    return [Notification(Protocol.ISAKMP, Notify.INITIAL_CONTACT, session.spi_i + session.spi_r)]


def _notifications(message: Message) -> set[int]:
    return {notification.kind for notification in message.all(Notification)}
