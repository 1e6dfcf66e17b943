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

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ...policy.v1_proposals import NoProposalChosen, choose_phase1
from ...wire.v1 import Hash, KeyExchange, Message, Nonce, SaPayload
from ...wire.v1_numbers import Notify, Payload
from ..effects import Final, Reply, Request, SharedKeys
from ..errors import PeerError
from . import nat, phase1, rules, vendor

if TYPE_CHECKING:
    from .session import Session

Exchange = Generator[Any, Any, None]


def initiator(session: Session) -> Exchange:
    """Open an ISAKMP SA."""
    settings = session.settings
    psk, *_others = yield SharedKeys(settings)
    offer = phase1.offer(settings)
    message = yield Request([offer, *vendor.ours(settings)], expect=rules.SA)
    suite = phase1.accepted(session, message)
    session.vendors |= vendor.known(message)

    pair, nonce = session.key_pair(suite.group), Nonce(session.random(settings.nonce_size))
    message = yield Request(
        [KeyExchange(pair.public), nonce, *nat.discovery(session, suite.hash)], expect=rules.KEY_EXCHANGE
    )
    (keys,) = phase1.derive(session, suite, [psk], pair, nonce.data, message)
    session.protect(suite, keys)
    nat.detect(session, suite.hash, message)
    session.float_ports()

    identity = phase1.identification(session)
    proof = Hash(keys.hash_i(offer.encode(), identity.encode()))
    message = yield Request([identity, proof, *phase1.initial_contact(session)], encrypted=True, expect=rules.IDENTITY)
    phase1.authenticate(session, message, keys.hash_r(offer.encode(), message.body(Payload.ID)))
    session.established(phase1.notifications(message))


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

    psks = yield SharedKeys(settings)
    pair, nonce = session.key_pair(suite.group), Nonce(session.random(settings.nonce_size))
    candidates = phase1.derive(session, suite, psks, pair, nonce.data, message)
    nat.detect(session, suite.hash, message)
    answer = [KeyExchange(pair.public), nonce, *nat.discovery(session, suite.hash)]
    session.protect(suite, *candidates)
    message = yield Reply(answer, expect=rules.IDENTITY)

    keys = session.keys  # those that opened the message
    phase1.authenticate(session, message, keys.hash_i(offer_body, message.body(Payload.ID)))
    identity = phase1.identification(session)
    yield Final([identity, Hash(keys.hash_r(offer_body, identity.encode()))], encrypted=True)
    session.established(phase1.notifications(message))
