# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exchanges that make a child SA have in common: payloads, decisions, keys (RFC 7296 1.2, 2.9, 2.17)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from ...config.settings import Tunnel
from ...policy import v2_proposals as proposals
from ...policy import v2_selectors as selectors
from ...policy.sa import TRANSPORT, SaId, SecurityAssociation
from ...policy.v2_proposals import ChildSuite, NoProposalChosen, Offer
from ...wire.v2 import Message, Notification, SaPayload, Selector, TsInitiator, TsResponder
from ...wire.v2_numbers import Notify, notify_name
from ..child import PROTOCOLS, ChildSa
from ..effects import AllocateSpi, Install, Remove
from ..errors import LocalError, PeerError

if TYPE_CHECKING:
    from .session import Session

_REPLAY_WINDOW = 64
_SOFT = 0.8  # of the hard lifetime, racoon2's: when the initiator of an SA makes the next one
_SPI_SIZE = 4
_LEAST_SPI = 256  # RFC 4303 2.1


@dataclass(frozen=True)
class Draft:
    """Our half of a child that we ask for: what we offer, under which SPI, for which traffic (our end, the peer's)."""

    tunnel: Tunnel
    inbound: SaId
    offers: list[Offer]
    local: Selector
    peer: Selector

    def request(self) -> tuple[list, list]:
        """What stands before nonce and key exchange, and what behind: [N(USE_TRANSPORT_MODE),] SA; TSi, TSr."""
        spi = self.inbound.spi.to_bytes(_SPI_SIZE, "big")
        offer = proposals.encode_offers(self.offers, proposals.child_protocol(self.tunnel), spi)
        return [*transport_mode(self.tunnel), offer], [TsInitiator((self.local,)), TsResponder((self.peer,))]


@dataclass(frozen=True)
class Secrets:
    """KEYMAT's inputs besides SK_d: Ni | Nr, and PFS's shared secret."""

    nonce_i: bytes
    nonce_r: bytes
    shared: bytes = b""


def draft(
    session: Session, tunnel: Tunnel, inbound: SaId, groups: tuple = (), esn: tuple[bool, ...] = (False,)
) -> Draft:
    """What we offer for a tunnel. LocalError where nothing can be offered."""
    try:
        offers = proposals.child_offers(tunnel, groups, esn)
    except NoProposalChosen as error:
        raise LocalError(str(error)) from error
    return Draft(tunnel, inbound, offers, *selectors.ends(session.selector(tunnel)))


def reserve(session: Session, tunnel: Tunnel) -> Generator[Any, Any, SaId]:
    """An SPI of ours for the tunnel's inbound SA."""
    if not tunnel.proposals:
        raise LocalError("policy {}: no ESP or AH proposal".format(tunnel.policy))
    protocol = PROTOCOLS.get(tunnel.proposals[0].protocol)
    if protocol is None or len(tunnel.proposals) > 1:
        raise LocalError("policy {}: bundles and IPComp are not supported".format(tunnel.policy))
    path = session.path
    spi = yield AllocateSpi(path.peer, path.local, protocol, tunnel.reqid, tunnel.mode)
    return SaId(path.local, protocol, spi)


def transport_mode(tunnel: Tunnel) -> list[Notification]:
    return [Notification(Notify.USE_TRANSPORT_MODE)] if tunnel.mode == TRANSPORT else []


# The initiator's decisions


def agreed(draft: Draft, message: Message) -> tuple[ChildSuite, int]:
    """The suite and the peer's SPI in an answer, which may only narrow what we asked for."""
    protocol = proposals.child_protocol(draft.tunnel)
    try:
        proposal, choice = proposals.accept(message.get(SaPayload), draft.offers, protocol, _SPI_SIZE)
    except NoProposalChosen as error:
        raise PeerError("the peer's answer: {}".format(error)) from error
    ours, theirs = message.get(TsInitiator).selectors, message.get(TsResponder).selectors
    if not selectors.within(ours, draft.local) or not selectors.within(theirs, draft.peer):
        raise PeerError(
            "selectors differ: ours {} - {}; the peer answered {} - {}".format(
                *(selectors.describe(one) for one in ((draft.local,), (draft.peer,), ours, theirs))
            )
        )
    if draft.tunnel.mode == TRANSPORT and message.notified(Notify.USE_TRANSPORT_MODE) is None:
        raise PeerError("the peer declined transport mode")
    return proposals.child_suite(draft.tunnel.proposals[0].protocol, choice), _peers_spi(proposal.spi)


class Refused(PeerError):
    """The peer answered with an error: it has made nothing."""


def check_refusal(message: Message, text: str) -> None:
    """Raise Refused where the peer answered with an error."""
    refusal = message.refusal()
    if refusal is not None:
        raise Refused(text.format(notify_name(refusal.kind)))


# The responder's decisions


@dataclass(frozen=True)
class Answer:
    """What we take of a peer's request: the tunnel, the suite, the peer's SPI, and the answer but for our SPI."""

    tunnel: Tunnel
    suite: ChildSuite
    spi_out: int
    proposal: Any
    choice: Any
    initiators: tuple[Selector, ...]
    responders: tuple[Selector, ...]

    def payloads(self, spi: int) -> tuple[SaPayload, list]:
        """SA, and what follows nonce and key exchange: TSi, TSr [, N(USE_TRANSPORT_MODE)]."""
        accepted = proposals.accepted(self.proposal, self.choice, spi.to_bytes(_SPI_SIZE, "big"))
        return accepted, [
            TsInitiator(self.initiators),
            TsResponder(self.responders),
            *transport_mode(self.tunnel),
        ]


def answer(session: Session, message: Message, tunnels: Iterable[Tunnel], first: bool) -> Answer:
    """Choose tunnel and suite for a peer's request; ``first``: the one of IKE_AUTH, which has no PFS."""
    tunnel, initiators, responders = _find_tunnel(session, message, list(tunnels))
    wants_transport = message.notified(Notify.USE_TRANSPORT_MODE) is not None
    if tunnel.mode == TRANSPORT and not wants_transport:
        raise PeerError("mode: theirs tunnel, ours transport", Notify.NO_PROPOSAL_CHOSEN)
    try:
        if first:
            offers = proposals.child_offers(tunnel, (), (False, True))
        else:
            offers = proposals.answering_offers(session.settings, tunnel)
        protocol = proposals.child_protocol(tunnel)
        proposal, choice = proposals.choose(message.get(SaPayload), offers, protocol, _SPI_SIZE)
    except NoProposalChosen as error:
        raise PeerError("no common ESP or AH proposal: {}".format(error), Notify.NO_PROPOSAL_CHOSEN) from error
    suite = proposals.child_suite(tunnel.proposals[0].protocol, choice)
    return Answer(tunnel, suite, _peers_spi(proposal.spi), proposal, choice, initiators, responders)


def _find_tunnel(
    session: Session, message: Message, tunnels: list[Tunnel]
) -> tuple[Tunnel, tuple[Selector, ...], tuple[Selector, ...]]:
    """The tunnel that a peer's selectors speak of, and what they have in common: exact ones first, then those down."""
    theirs, ours = message.get(TsInitiator).selectors, message.get(TsResponder).selectors
    seen_theirs, seen_ours = theirs, ours
    if session.behind_nat and message.notified(Notify.USE_TRANSPORT_MODE) is not None:
        seen_theirs = selectors.translated(theirs, session.path.peer)
        seen_ours = selectors.translated(ours, session.path.local)
    found = []
    for tunnel in tunnels:
        if not tunnel.proposals:
            continue
        local, peer = selectors.ends(session.selector(tunnel))
        initiators, responders = selectors.narrowed(seen_theirs, peer), selectors.narrowed(seen_ours, local)
        if initiators and responders:
            exact = (initiators, responders) == (seen_theirs, seen_ours)
            found.append((not exact, session.engine.is_up(tunnel), tunnel, initiators, responders))
    if not found:
        raise PeerError(
            "selectors differ: the peer wants {} - {}; we have {}".format(
                selectors.describe(seen_ours),
                selectors.describe(seen_theirs),
                ", ".join(selectors.describe_traffic(known.selector) for known in tunnels) or "none for it",
            ),
            Notify.TS_UNACCEPTABLE,
        )
    inexact, _up, tunnel, initiators, responders = min(found, key=lambda one: one[:2])
    return (tunnel, initiators, responders) if inexact else (tunnel, theirs, ours)


def _peers_spi(spi: bytes) -> int:
    number = int.from_bytes(spi, "big")
    if number < _LEAST_SPI:
        raise PeerError("the peer chose the reserved SPI {}".format(number), Notify.INVALID_SYNTAX)
    return number


# SAs


def child(session: Session, tunnel: Tunnel, suite: ChildSuite, spis: tuple[int, int], **details: Any) -> ChildSa:
    """A child with its SPIs (in, out)."""
    return ChildSa(
        tunnel=tunnel,
        local=session.path.local,
        peer=session.path.peer,
        protocol=suite.protocol,
        spi_in=spis[0],
        spi_out=spis[1],
        encryption=suite.cipher.name if suite.cipher else "",
        encryption_bits=suite.bits,
        integrity=suite.integrity.name if suite.integrity else "",
        since=session.now,
        lifetime_seconds=tunnel.lifetime_seconds,
        lifetime_bytes=tunnel.lifetime_bytes,
        pfs=suite.group.name if suite.group else "",
        ike=session.id,
        **details,
    )


def associations(
    session: Session, child: ChildSa, suite: ChildSuite, secrets: Secrets
) -> tuple[SecurityAssociation, SecurityAssociation]:
    """The inbound and the outbound SA. KEYMAT begins with the SA from the exchange's initiator to its responder."""
    encryption = suite.cipher.material(suite.bits) if suite.cipher else 0
    size = encryption + (suite.integrity.key if suite.integrity else 0)
    keymat = session.keys.keymat(2 * size, secrets.nonce_i + secrets.nonce_r, secrets.shared)
    forth, back = keymat[:size], keymat[size:]
    inbound, outbound = (back, forth) if child.initiated else (forth, back)
    return (
        _association(session, child, suite, inbound, encryption, inbound=True),
        _association(session, child, suite, outbound, encryption, inbound=False),
    )


def _association(
    session: Session, child: ChildSa, suite: ChildSuite, keymat: bytes, encryption: int, inbound: bool
) -> SecurityAssociation:
    traffic = session.selector(child.tunnel)
    return SecurityAssociation(
        source=child.peer if inbound else child.local,
        destination=child.local if inbound else child.peer,
        protocol=PROTOCOLS[suite.protocol],
        spi=child.spi_in if inbound else child.spi_out,
        mode=child.tunnel.mode,
        encryption=child.encryption,
        encryption_key=keymat[:encryption],
        integrity=child.integrity,
        integrity_key=keymat[encryption:],
        reqid=child.tunnel.reqid,
        lifetime=child.lifetime(_SOFT, session.random(1)[0]),
        selector=(traffic.reversed() if inbound else traffic) if child.tunnel.mode == TRANSPORT else None,
        replay_window=_REPLAY_WINDOW,
        esn=suite.esn,
        encapsulation=session.path.encapsulation(inbound) if session.behind_nat else None,
    )


# Installing: either end receives on the new SA before it tells the other that it may send on it


def settle(
    session: Session, draft: Draft, message: Message, secrets: Callable[[ChildSuite], Secrets], **details: Any
) -> Generator[Any, Any, tuple[ChildSa, SecurityAssociation]]:
    """The initiator's half: a child that receives already, and the SA that it is to send on."""
    check_refusal(message, "the peer refused the child: {}")
    suite, spi_out = agreed(draft, message)
    if session.was_deleted(spi_out):
        raise PeerError("the peer deleted the child before its answer arrived")
    spis = (draft.inbound.spi, spi_out)
    made = child(session, draft.tunnel, suite, spis, initiated=True, **details)
    receiving, sending = associations(session, made, suite, secrets(suite))
    yield Install(receiving, inbound=True)
    return made, sending


def give_back(session: Session, inbound: SaId, error: Exception) -> Generator[Any, Any, None]:
    """What a failure leaves of a child that we asked for: our half goes, and the peer's too, unless it refused."""
    yield Remove((inbound,))
    if not isinstance(error, Refused):
        session.delete_spi_at_peer(inbound)


def take(
    session: Session, taken: Answer, secrets: Secrets, **details: Any
) -> Generator[Any, Any, tuple[ChildSa, SecurityAssociation]]:
    """The responder's half: a child that receives already, and the SA that it is to send on."""
    inbound = yield from reserve(session, taken.tunnel)
    try:
        made = child(session, taken.tunnel, taken.suite, (inbound.spi, taken.spi_out), **details)
        receiving, sending = associations(session, made, taken.suite, secrets)
        yield Install(receiving, inbound=True)
    except Exception:
        yield Remove((inbound,))
        raise
    return made, sending


def complete(session: Session, made: ChildSa, sending: SecurityAssociation) -> Generator[Any, Any, None]:
    """Begin to send on the new SA. Without that half the child doesn't stay half installed, at neither end."""
    try:
        yield Install(sending, inbound=False)
    except LocalError as error:
        yield from give_back(session, made.inbound, error)
        raise
    session.child_up(made)
