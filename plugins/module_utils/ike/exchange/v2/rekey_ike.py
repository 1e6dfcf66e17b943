# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CREATE_CHILD_SA for the IKE SA itself (RFC 7296 1.3.2, 2.8.2, 2.18).

Initiator                                  Responder
HDR, SK {SA, Ni, KEi}                 -->
                                      <--  HDR, SK {SA, Nr, KEr}

Additional key exchanges follow as IKE_FOLLOWUP_KE, see followup.py. The children move over; who made the new IKE SA
that stays deletes the old one.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ...policy import v2_proposals as proposals
from ...policy.v2_proposals import NoProposalChosen
from ...wire.header import NO_SPI
from ...wire.v2 import KeyExchange, Message, Nonce, SaPayload
from ...wire.v2_numbers import Notify, Protocol, TransformType
from ..effects import Final, Request
from ..errors import LocalError, PeerError
from . import child_sa, followup, rules
from .key_exchange import check_group, ike_keys, public, respond, shared_secret, wanted_group

if TYPE_CHECKING:
    from .session import Session

Steps = Generator[Any, Any, None]

_MAX_ROUNDS = 3
_SPI_SIZE = 8


def initiator(session: Session) -> Steps:
    """Replace our IKE SA."""
    try:
        offers = proposals.ike_offers(session.settings)
    except NoProposalChosen as error:
        raise LocalError(str(error)) from error
    spi, group = session.random(_SPI_SIZE), offers[0][TransformType.KE][0]
    for _round in range(_MAX_ROUNDS):
        pair, nonce = session.key_pair(group), Nonce(session.random(session.settings.nonce_size))
        message = yield Request(
            [proposals.encode_offers(offers, Protocol.IKE, spi), nonce, public(pair)],
            expect=rules.REKEY_ANSWER,
        )
        other = message.notified(Notify.INVALID_KE_PAYLOAD)
        if other is None:
            break
        group = wanted_group(offers, group, other)
    child_sa.check_refusal(message, "the peer refused: {}")
    try:
        proposal, choice = proposals.accept(message.get(SaPayload), offers, Protocol.IKE, _SPI_SIZE)
    except NoProposalChosen as error:
        raise PeerError(str(error)) from error
    suite = proposals.ike_suite(choice, session.settings.lifetime_seconds)
    shared = shared_secret(pair, suite.group, message.get(KeyExchange))
    nonces, spis = (nonce.data, message.get(Nonce).data), spi + _peers_spi(proposal.spi)
    additional = yield from followup.initiator(session, suite.additional, message)
    seed = session.keys.successor_seed(b"".join(nonces), shared, additional)
    keys = ike_keys(suite, seed, b"".join(nonces), spis, initiator=True)
    session.succession.made(spi, proposal.spi, suite, keys, initiator=True, precedence=min(nonces))


def responder(session: Session, message: Message) -> Steps:
    """Answer a peer that replaces our IKE SA."""
    session.check_free(message)
    try:
        offers = proposals.ike_offers(session.settings)
        proposal, choice = proposals.choose(message.get(SaPayload), offers, Protocol.IKE, _SPI_SIZE)
    except NoProposalChosen as error:
        raise PeerError("no common IKE proposal: {}".format(error), Notify.NO_PROPOSAL_CHOSEN) from error
    suite, theirs = proposals.ike_suite(choice, session.settings.lifetime_seconds), message.get(KeyExchange)
    check_group(suite.group, theirs)
    ours, shared = respond(session, suite.group, theirs)
    spi = session.random(_SPI_SIZE)
    nonces, spis = (
        (message.get(Nonce).data, session.random(session.settings.nonce_size)),
        _peers_spi(proposal.spi) + spi,
    )
    answer = [proposals.accepted(proposal, choice, spi), Nonce(nonces[1]), ours]
    answer, additional = yield from followup.responder(session, suite.additional, answer)
    seed = session.keys.successor_seed(b"".join(nonces), shared, additional)
    keys = ike_keys(suite, seed, b"".join(nonces), spis, initiator=False)
    yield Final(answer)
    session.succession.made(proposal.spi, spi, suite, keys, initiator=False, precedence=min(nonces))


def _peers_spi(spi: bytes) -> bytes:
    if spi == NO_SPI:
        raise PeerError("the peer's SPI is zero", Notify.INVALID_SYNTAX)
    return spi
