# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The initial exchanges with pre-shared keys: two generators that read like the diagrams (RFC 7296 1.2).

Initiator                                  Responder
HDR, SAi1, KEi, Ni                    -->
                                      <--  HDR, SAr1, KEr, Nr
                    [IKE_INTERMEDIATE, see intermediate.py]
HDR, SK {IDi, [IDr,] AUTH,
         SAi2, TSi, TSr}              -->
                                      <--  HDR, SK {IDr, AUTH, SAr2, TSi, TSr}

IKE_SA_INIT is begun again where the responder asks for a cookie (2.6) or for another group (1.2). What a post-quantum
pre-shared key adds stands in ppk.py.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable

from ...config.grammar import ALLOW, FORCE
from ...config.settings import Tunnel
from ...crypto.algorithms import Group
from ...crypto.groups import KeyPair
from ...crypto.v2_keys import IkeKeys, skeyseed
from ...policy import v2_proposals as proposals
from ...policy.v2_proposals import IkeSuite, NoProposalChosen, Offer
from ...wire.cursor import WireError
from ...wire.header import NO_SPI
from ...wire.v2 import (
    Authentication,
    IdInitiator,
    IdResponder,
    KeyExchange,
    Message,
    Nonce,
    Notification,
    SaPayload,
)
from ...wire.v2_numbers import AuthMethod, Notify, Payload, Protocol, TransformType, notify_name
from ..effects import Final, Remove, Reply, Request, SharedKeys
from ..errors import LocalError, PeerError
from . import auth, child_sa, intermediate, nat, ppk, rules
from .child_sa import Secrets
from .intermediate import Covered
from .key_exchange import check_group, ike_keys, public, respond, shared_secret, wanted_group

if TYPE_CHECKING:
    from .session import Session

Steps = Generator[Any, Any, None]

_MAX_COOKIE = 64  # bytes, RFC 7296 2.6
_MAX_ROUNDS = 5  # requests that one attempt begins with: cookies and other groups, asked for by whomever


@dataclass(frozen=True)
class _Opening:
    """What IKE_SA_INIT leaves behind for IKE_AUTH: both nonces, the peer's datagram, what it said that it can.

    ``ppk``: whether both ends have one.
    """

    nonce_i: bytes
    nonce_r: bytes
    theirs: bytes
    childless: bool
    ppk: bool

    @property
    def nonces(self) -> bytes:
        """Ni | Nr."""
        return self.nonce_i + self.nonce_r


def initiator(session: Session) -> Steps:
    """Open an IKE SA, and the first child with it."""
    psk, *_others = yield SharedKeys(session.settings)
    opening = yield from _open(session)
    session.float_ports()
    covered = yield from intermediate.initiator(session, opening.nonces)
    tunnel = _first_tunnel(session, opening.childless)
    mixed = yield from ppk.initiators(session, opening.ppk)
    draft = yield from _draft(session, tunnel)
    try:
        identity = auth.our_identity(session)
        signed = (psk, session.init_sent, opening.nonce_r, identity.encode(), covered.octets())
        message = yield Request(
            [
                identity,
                *session.initial_contact(),
                *auth.wanted_identity(session),
                Authentication(AuthMethod.SHARED_KEY, (mixed or session.keys).auth_i(*signed)),
                *_child_request(draft),
                *(ppk.identity(session, session.keys.auth_i(*signed)) if mixed else []),
            ],
            expect=rules.AUTH_ANSWER,
        )
        _authenticate_responder(session, psk, opening, covered, mixed, message)
    except Exception:
        if draft is not None:
            yield Remove((draft.inbound,))
        raise
    session.established(message)
    if draft is not None:
        yield from _first_child(session, draft, opening, message)


def responder(session: Session, message: Message) -> Steps:
    """Answer a peer's first message, which has passed the cookie's test."""
    nonce = Nonce(session.random(session.settings.nonce_size))
    opening, answer = _answer(session, message, nonce)
    message = yield Reply(answer, expect=intermediate.first_rule(len(session.suite.additional)))
    covered, message = yield from intermediate.responder(session, opening.nonces, message)

    identity = message.get(IdInitiator)
    session.choose_remote(identity)
    auth.check_identity(session, identity)
    mixed = yield from ppk.responders(session, opening.ppk, message)
    psk = yield from _proven_key(session, opening, covered, mixed, message)
    ours = auth.our_identity(session)
    proof = session.keys.auth_r(psk, session.init_sent, opening.nonce_i, ours.encode(), covered.octets())
    greeting = [
        ours,
        *session.initial_contact(),
        Authentication(AuthMethod.SHARED_KEY, proof),
        *([Notification(Notify.PPK_IDENTITY)] if mixed else []),
    ]
    session.established(message)
    if not message.has(Payload.SA):
        yield Final(greeting)
        return
    yield from _answer_first_child(session, opening, message, greeting)


# IKE_SA_INIT


def _open(session: Session) -> Generator[Any, Any, _Opening]:
    """The initiator's side, as often as the responder has it begin again."""
    offers = _offers(session)
    offer = proposals.encode_offers(offers, Protocol.IKE, b"")
    nonce = Nonce(session.random(session.settings.nonce_size))
    intermediate_wanted = any(proposals.additional_rows(one) for one in offers)
    group, cookie = offers[0][TransformType.KE][0], []
    pair = session.key_pair(group)
    for _round in range(_MAX_ROUNDS):
        message = yield Request(
            [
                *cookie,
                offer,
                public(pair),
                nonce,
                *_announcements(session),
                *intermediate.announcement(intermediate_wanted),
                *ppk.announcement(session),
            ],
            expect=replace(rules.INIT_ANSWER, objection=_objection(offers, group)),
        )
        demand = message.notified(Notify.COOKIE)
        other = message.notified(Notify.INVALID_KE_PAYLOAD)
        if demand is not None:
            cookie = [Notification(Notify.COOKIE, demand.data)]
        elif other is not None:
            group = wanted_group(offers, group, other)
            pair = session.key_pair(group)
        else:
            return _opened(session, offers, pair, nonce, message)
    raise PeerError("{} asked {} times to begin again".format(session.path.peer, _MAX_ROUNDS))


def _objection(offers: list[Offer], used: Group) -> Callable[[Message], str]:
    """What no honest responder asks for, to begin again with: it may be forged, and ends nothing."""

    def objection(message: Message) -> str:
        demand, other = message.notified(Notify.COOKIE), message.notified(Notify.INVALID_KE_PAYLOAD)
        if demand is not None and not 1 <= len(demand.data) <= _MAX_COOKIE:
            return "a cookie of {} bytes".format(len(demand.data))
        if other is None:
            return ""
        try:
            wanted_group(offers, used, other)
        except PeerError as error:
            return str(error)
        return ""

    return objection


def _offers(session: Session) -> list[Offer]:
    try:
        return proposals.ike_offers(session.settings)
    except NoProposalChosen as error:
        raise LocalError(str(error)) from error


def _announcements(session: Session) -> list[Notification]:
    """What either end says of itself in IKE_SA_INIT."""
    return [*nat.detection(session), Notification(Notify.IKEV2_FRAGMENTATION_SUPPORTED)]


def _opened(session: Session, offers: list[Offer], pair: KeyPair, nonce: Nonce, message: Message) -> _Opening:
    """Take the responder's answer: from here on messages are protected."""
    try:
        _proposal, choice = proposals.accept(message.get(SaPayload), offers, Protocol.IKE, 0)
    except NoProposalChosen as error:
        raise PeerError(str(error)) from error
    suite = proposals.ike_suite(choice, session.settings.lifetime_seconds)
    if suite.additional and message.notified(Notify.INTERMEDIATE_EXCHANGE_SUPPORTED) is None:
        raise PeerError("the peer chose {} without IKE_INTERMEDIATE".format(suite.names()["group"]))
    if message.header.spi_r == NO_SPI:
        raise PeerError("the responder's SPI is zero")
    session.spi_r = message.header.spi_r
    theirs = message.get(Nonce).data
    shared = shared_secret(pair, suite.group, message.get(KeyExchange))
    _protect(session, suite, nonce.data, theirs, shared)
    nat.detect(session, message)
    session.learn(message)
    childless = message.notified(Notify.CHILDLESS_IKEV2_SUPPORTED) is not None
    return _Opening(nonce.data, theirs, message.datagram, childless, ppk.agreed(session, message))


def _answer(session: Session, message: Message, nonce: Nonce) -> tuple[_Opening, list]:
    """The responder's side: what to remember, and the answer."""
    theirs = message.get(KeyExchange)
    announced = message.notified(Notify.INTERMEDIATE_EXCHANGE_SUPPORTED) is not None
    try:
        offers = proposals.ike_offers(session.settings, announced)
        proposal, choice = proposals.choose(message.get(SaPayload), offers, Protocol.IKE, 0)
    except NoProposalChosen as error:
        raise PeerError("no common IKE proposal: {}".format(error), Notify.NO_PROPOSAL_CHOSEN) from error
    suite = proposals.ike_suite(choice, session.settings.lifetime_seconds)
    check_group(suite.group, theirs)
    ours, shared = respond(session, suite.group, theirs)
    nonce_i = message.get(Nonce).data
    _protect(session, suite, nonce_i, nonce.data, shared)
    nat.detect(session, message)
    session.learn(message)
    both = ppk.agreed(session, message)
    answer = [
        proposals.accepted(proposal, choice, b""),
        ours,
        nonce,
        *_announcements(session),
        Notification(Notify.CHILDLESS_IKEV2_SUPPORTED),
        *intermediate.announcement(bool(suite.additional)),
        *(ppk.announcement(session) if both else []),
    ]
    return _Opening(nonce_i, nonce.data, message.datagram, True, both), answer


def _protect(session: Session, suite: IkeSuite, nonce_i: bytes, nonce_r: bytes, shared: bytes) -> None:
    seed = skeyseed(suite.prf, nonce_i, nonce_r, shared)
    spis = session.spi_i + session.spi_r
    session.protect(suite, ike_keys(suite, seed, nonce_i + nonce_r, spis, session.initiator))


# IKE_AUTH


def _proven_key(
    session: Session, opening: _Opening, covered: Covered, mixed: IkeKeys | None, message: Message
) -> Generator[Any, Any, bytes]:
    """The key that the initiator has proven, with the PPK where both ends have it; it gets our proof by the same."""
    psks = yield SharedKeys(session.settings)
    signed = (opening.theirs, opening.nonce_r, message.body(Payload.IDI), covered.octets())
    without = message.notified(Notify.NO_PPK_AUTH) if opening.ppk else None
    plain = [session.keys.auth_i(psk, *signed) for psk in psks]
    if mixed is None:
        place = auth.check_proof(message, plain, without.data if without else None)
    else:
        ppk.use(session, mixed)
        complaint = ppk.complaint(session, without, plain)
        place = auth.check_proof(message, [mixed.auth_i(psk, *signed) for psk in psks], complaint=complaint)
    if place:
        session.host.info("{}: the peer has proven the other key of a rotation".format(session))
    return psks[place]


def _authenticate_responder(
    session: Session, psk: bytes, opening: _Opening, covered: Covered, mixed: IkeKeys | None, message: Message
) -> None:
    """Check the responder's identity and proof; an answer without them is its refusal."""
    if not message.has(Payload.IDR) or not message.has(Payload.AUTH):
        kind = message.refusal().kind
        hint = ": probably the pre-shared keys{} differ".format(" or the PPKs" if mixed else "")
        raise PeerError(
            "the peer refused: {}{}".format(notify_name(kind), hint if kind == Notify.AUTHENTICATION_FAILED else "")
        )
    auth.check_identity(session, message.get(IdResponder))
    ppk.use_as_answered(session, mixed, message)
    signed = (opening.theirs, opening.nonce_i, message.body(Payload.IDR), covered.octets())
    expected = session.keys.auth_r(psk, *signed)
    auth.check_proof(message, [expected])


def _first_tunnel(session: Session, childless: bool) -> Tunnel | None:
    """The tunnel that IKE_AUTH makes a child for; None for none, where the responder is ready for that (RFC 6023)."""
    wanted = session.settings.childless
    if wanted == FORCE and not childless:
        raise PeerError("the peer makes no IKE SA without a child, and childless is force")
    tunnel = session.first_tunnel() if wanted == ALLOW or not childless else None
    if tunnel is None and not childless:
        raise LocalError("no tunnel is left to make")
    return tunnel


def _draft(session: Session, tunnel: Tunnel | None) -> Generator[Any, Any, child_sa.Draft | None]:
    if tunnel is None:
        return None
    inbound = yield from child_sa.reserve(session, tunnel)
    return child_sa.draft(session, tunnel, inbound, first=True)


def _child_request(draft: child_sa.Draft | None) -> list:
    """[N(USE_TRANSPORT_MODE),] SA, TSi, TSr; the first child has the nonces and the key exchange of IKE_SA_INIT."""
    if draft is None:
        return []
    before, behind = draft.request()
    return before + behind


def _first_child(session: Session, draft: child_sa.Draft, opening: _Opening, message: Message) -> Steps:
    """The initiator's first child. Its failure doesn't end the IKE SA (RFC 7296 1.2)."""
    secrets = Secrets(opening.nonce_i, opening.nonce_r)
    try:
        answered = child_sa.agreed(draft, message)
        made, sending = yield from child_sa.settle(session, draft, answered, secrets)
        yield from child_sa.complete(session, made, sending)
    except (PeerError, LocalError, WireError) as error:
        yield from child_sa.give_back(session, draft.inbound, error)
        session.child_failed(draft.tunnel.name, error)


def _answer_first_child(session: Session, opening: _Opening, message: Message, greeting: list) -> Steps:
    """The responder's first child, or the reason why there is none."""
    secrets = Secrets(opening.nonce_i, opening.nonce_r)
    try:
        taken = child_sa.answer(session, message, session.tunnels(), first=True)
        inbound = yield from child_sa.reserve(session, taken.tunnel)
        made, sending = yield from child_sa.take(session, taken, inbound, secrets, session.begun)
    except (PeerError, LocalError) as error:
        yield Final([*greeting, Notification(getattr(error, "notify", Notify.TEMPORARY_FAILURE))])
        session.child_failed("", error)
        return
    accepted, rest = taken.payloads(made.spi_in)
    yield Final([*greeting, accepted, *rest])
    yield from child_sa.follow(session, made, sending)
