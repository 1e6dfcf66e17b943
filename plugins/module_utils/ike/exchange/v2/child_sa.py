# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exchanges that make a child SA have in common: payloads, decisions, keys (RFC 7296 1.2, 2.9, 2.17)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...config.settings import Tunnel
from ...policy import v2_proposals as proposals
from ...policy import v2_selectors as selectors
from ...policy.sa import TRANSPORT, SaId, SecurityAssociation
from ...policy.v2_proposals import ChildSuite, NoProposalChosen, Offer
from ...policy.v2_selectors import Ends
from ...wire.v2 import Message, Notification, SaPayload, Selector, TsInitiator, TsResponder
from ...wire.v2_numbers import Notify, notify_name
from ..child import PROTOCOLS, ChildSa
from ..effects import AllocateSpi, Install, Remove
from ..errors import LocalError, PeerError
from ..outbound import ANEW, CONFIRM, stands_in

if TYPE_CHECKING:
    from .session import Session

_SOFT = 0.8  # of the hard lifetime, racoon2's: when the initiator of an SA makes the next one
_SPI_SIZE = 4
_LEAST_SPI = 256  # RFC 4303 2.1


@dataclass(frozen=True)
class Draft:
    """Our half of a child that we ask for: what we offer, under which SPI, for which traffic.

    ``began`` is when we did, in the engine's seconds.
    """

    tunnel: Tunnel
    inbound: SaId
    offers: list[Offer]
    ends: Ends
    began: float

    def request(self) -> tuple[list, list]:
        """What stands before nonce and key exchange, and what behind: [N(USE_TRANSPORT_MODE),] SA; TSi, TSr."""
        spi = self.inbound.spi.to_bytes(_SPI_SIZE, "big")
        offer = proposals.encode_offers(self.offers, proposals.child_protocol(self.tunnel), spi)
        return [*transport_mode(self.tunnel), offer], [TsInitiator(self.ends.local), TsResponder(self.ends.peer)]


@dataclass(frozen=True)
class Secrets:
    """KEYMAT's inputs besides SK_d: Ni | Nr, PFS's shared secret, and those of additional key exchanges."""

    nonce_i: bytes
    nonce_r: bytes
    shared: bytes = b""
    additional: bytes = b""


def draft(session: Session, tunnel: Tunnel, inbound: SaId, first: bool) -> Draft:
    """What we offer for a tunnel; ``first``: in IKE_AUTH, without PFS. LocalError where nothing can be offered."""
    settings, suite = session.settings, session.suite
    try:
        groups = () if first else proposals.pfs_groups(settings, suite)
        additional = None if first else proposals.pfs_additional(settings, suite)
        offers = proposals.child_offers(tunnel, groups, additional)
    except NoProposalChosen as error:
        raise LocalError(str(error)) from error
    return Draft(tunnel, inbound, offers, Ends.of(session.traffic(tunnel)), began=session.now)


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


@dataclass(frozen=True)
class Agreed:
    """What the peer has answered: the suite, its SPI, and the traffic (our end, the peer's)."""

    suite: ChildSuite
    spi_out: int
    local: tuple[Selector, ...]
    peer: tuple[Selector, ...]


def agreed(draft: Draft, message: Message) -> Agreed:
    """What an answer says, which may only narrow what we asked for."""
    hint = " (see child_per)" if draft.tunnel.companions else ""
    check_refusal(message, "the peer refused the child: {}" + hint)
    protocol = proposals.child_protocol(draft.tunnel)
    try:
        proposal, choice = proposals.accept(message.get(SaPayload), draft.offers, protocol, _SPI_SIZE)
    except NoProposalChosen as error:
        raise PeerError("the peer's answer: {}".format(error)) from error
    ours, theirs, ends = message.get(TsInitiator).selectors, message.get(TsResponder).selectors, draft.ends
    if not selectors.within(ours, ends.local) or not selectors.within(theirs, ends.peer):
        raise PeerError(
            "selectors differ: ours {} - {}; the peer answered {} - {}".format(
                *(selectors.describe(one) for one in (ends.local, ends.peer, ours, theirs))
            )
        )
    if draft.tunnel.mode == TRANSPORT and message.notified(Notify.USE_TRANSPORT_MODE) is None:
        raise PeerError("the peer declined transport mode")
    suite = proposals.child_suite(draft.tunnel.proposals[0].protocol, choice)
    return Agreed(suite, _peers_spi(proposal.spi), tuple(ours), tuple(theirs))


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

    match: _Match
    suite: ChildSuite
    spi_out: int
    proposal: Any
    choice: Any

    @property
    def tunnel(self) -> Tunnel:
        return self.match.tunnel

    def payloads(self, spi: int) -> tuple[SaPayload, list]:
        """SA, and what follows nonce and key exchange: TSi, TSr [, N(USE_TRANSPORT_MODE)] [, N(ADDITIONAL_TS_…)]."""
        accepted = proposals.accepted(self.proposal, self.choice, spi.to_bytes(_SPI_SIZE, "big"))
        more = [Notification(Notify.ADDITIONAL_TS_POSSIBLE)] if self.match.others else []
        return accepted, [
            TsInitiator(self.match.peer),
            TsResponder(self.match.local),
            *transport_mode(self.tunnel),
            *more,
        ]


def answer(session: Session, message: Message, tunnels: Iterable[Tunnel], first: bool) -> Answer:
    """Choose tunnel and suite for a peer's request; ``first``: the one of IKE_AUTH, which has no PFS."""
    match = _find_tunnel(session, message, list(tunnels))
    tunnel = match.tunnel
    _check_traffic(session, match, message)
    wants_transport = message.notified(Notify.USE_TRANSPORT_MODE) is not None
    if tunnel.mode == TRANSPORT and not wants_transport:
        raise PeerError("mode: theirs tunnel, ours transport", Notify.NO_PROPOSAL_CHOSEN)
    try:
        if first:
            offers = proposals.child_offers(tunnel, answering=True)
        else:
            offers = proposals.answering_offers(session.settings, tunnel)
        protocol = proposals.child_protocol(tunnel)
        proposal, choice = proposals.choose(message.get(SaPayload), offers, protocol, _SPI_SIZE)
    except NoProposalChosen as error:
        raise PeerError("no common ESP or AH proposal: {}".format(error), Notify.NO_PROPOSAL_CHOSEN) from error
    suite = proposals.child_suite(tunnel.proposals[0].protocol, choice)
    return Answer(match, suite, _peers_spi(proposal.spi), proposal, choice)


@dataclass(frozen=True)
class _Match:
    """A tunnel for the traffic that a peer wants, and what they have in common: our end, and the peer's.

    ``others`` are the tunnels that have something of it too.
    """

    tunnel: Tunnel
    local: tuple[Selector, ...]
    peer: tuple[Selector, ...]
    others: tuple[Tunnel, ...] = ()


def _find_tunnel(session: Session, message: Message, tunnels: list[Tunnel]) -> _Match:
    """The tunnel that a peer's selectors speak of: exact ones first, then those down."""
    theirs, ours = message.get(TsInitiator).selectors, message.get(TsResponder).selectors
    seen_theirs, seen_ours = theirs, ours
    if session.behind_nat and message.notified(Notify.USE_TRANSPORT_MODE) is not None:
        seen_theirs = selectors.translated(theirs, session.path.peer)
        seen_ours = selectors.translated(ours, session.path.local)
    found = []
    for tunnel in tunnels:
        if not tunnel.proposals:
            continue
        local, peer = Ends.of(session.traffic(tunnel)).narrowed(seen_ours, seen_theirs)
        if local and peer:
            exact = (local, peer) == (seen_ours, seen_theirs)
            found.append((not exact, session.engine.is_up(tunnel), _Match(tunnel, local, peer)))
    if not found:
        raise PeerError(
            "selectors differ: the peer wants {} - {}; we have {}".format(
                selectors.describe(seen_ours),
                selectors.describe(seen_theirs),
                ", ".join(selectors.describe_traffic(one.selector) for known in tunnels for one in known.members)
                or "none for it",
            ),
            Notify.TS_UNACCEPTABLE,
        )
    inexact, _up, match = min(found, key=lambda one: one[:2])
    if not inexact:
        return _Match(match.tunnel, ours, theirs)
    return replace(match, others=tuple(other.tunnel for _inexact, _up, other in found if other is not match))


def _check_traffic(session: Session, match: _Match, message: Message) -> None:
    """Two ends with different ideas of how many child SAs a policy has: say so, and let the traffic flow on."""
    names = ", ".join(other.name for other in match.others if other.policy == match.tunnel.policy)
    if names:
        session.host.warning(
            "{}: the peer wants one child SA for several selectors and gets {}'s, not {}'s (see child_per)".format(
                session, match.tunnel.name, names
            )
        )
    carrying = session.child_of(match.tunnel) if message.notified(Notify.REKEY_SA) is None else None
    if carrying is None:
        return
    left_out = Ends.of(session.traffic(match.tunnel)).unserved(match.local, match.peer)
    lost = [match.tunnel.members[place] for place in left_out]
    if any(carrying.serves(member) for member in lost):
        raise PeerError(
            "the peer wants a child SA without {}, which {} has: one for each selector? (see child_per)".format(
                ", ".join(member.name for member in lost), match.tunnel.name
            ),
            Notify.TS_UNACCEPTABLE,
        )


def _peers_spi(spi: bytes) -> int:
    number = int.from_bytes(spi, "big")
    if number < _LEAST_SPI:
        raise PeerError("the peer chose the reserved SPI {}".format(number), Notify.INVALID_SYNTAX)
    return number


# SAs


def child(
    session: Session,
    tunnel: Tunnel,
    suite: ChildSuite,
    spis: tuple[int, int],
    traffic: tuple[tuple[Selector, ...], tuple[Selector, ...]],
    **details: Any,
) -> ChildSa:
    """A child with its SPIs (in, out), for the traffic (our end, the peer's) that was agreed on."""
    local, peer = traffic
    left_out = Ends.of(session.traffic(tunnel)).unserved(local, peer)
    return ChildSa(
        tunnel=tunnel,
        local_traffic=tuple(selectors.describe((one,)) for one in local),
        peer_traffic=tuple(selectors.describe((one,)) for one in peer),
        unserved=tuple(tunnel.members[place].name for place in left_out),
        path=session.path.of_child(session.behind_nat),
        protocol=suite.protocol,
        spi_in=spis[0],
        spi_out=spis[1],
        encryption=suite.cipher.name if suite.cipher else "",
        encryption_bits=suite.bits,
        integrity=suite.integrity.name if suite.integrity else "",
        since=session.now,
        lifetime_seconds=tunnel.lifetime_seconds,
        lifetime_bytes=tunnel.lifetime_bytes,
        pfs=suite.pfs,
        ike=session.id,
        **details,
    )


def associations(
    session: Session, child: ChildSa, suite: ChildSuite, secrets: Secrets
) -> tuple[SecurityAssociation, SecurityAssociation]:
    """The inbound and the outbound SA. KEYMAT begins with the SA from the exchange's initiator to its responder."""
    encryption = suite.cipher.material(suite.bits) if suite.cipher else 0
    size = encryption + (suite.integrity.key if suite.integrity else 0)
    nonces = secrets.nonce_i + secrets.nonce_r
    keymat = session.keys.keymat(2 * size, nonces, secrets.shared, secrets.additional)
    forth, back = keymat[:size], keymat[size:]
    inbound, outbound = (back, forth) if child.initiated else (forth, back)
    return (
        _association(session, child, suite, inbound, encryption, inbound=True),
        _association(session, child, suite, outbound, encryption, inbound=False),
    )


def _association(
    session: Session, child: ChildSa, suite: ChildSuite, keymat: bytes, encryption: int, inbound: bool
) -> SecurityAssociation:
    traffic = session.traffic(child.tunnel)[0]
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
        replay_window=child.tunnel.replay_window,
        esn=suite.esn,
        encapsulation=session.path.encapsulation(inbound) if session.behind_nat else None,
    )


# Installing: either end receives on the new SA before it tells the other that it may send on it


def settle(
    session: Session, draft: Draft, answered: Agreed, secrets: Secrets, **details: Any
) -> Generator[Any, Any, tuple[ChildSa, SecurityAssociation]]:
    """The initiator's half: a child that receives already, and the SA that it is to send on."""
    if session.was_deleted(answered.spi_out):
        raise PeerError("the peer deleted the child before its answer arrived")
    spis, traffic = (draft.inbound.spi, answered.spi_out), (answered.local, answered.peer)
    took = session.now - draft.began
    made = child(session, draft.tunnel, answered.suite, spis, traffic, initiated=True, took=took, **details)
    receiving, sending = associations(session, made, answered.suite, secrets)
    yield Install(receiving, inbound=True)
    return made, sending


def give_back(session: Session, inbound: SaId, error: Exception) -> Generator[Any, Any, None]:
    """What a failure leaves of a child that we asked for: our half goes, and the peer's too, unless it refused."""
    yield Remove((inbound,))
    if not isinstance(error, Refused):
        session.delete_spi_at_peer(inbound)


def take(
    session: Session, taken: Answer, inbound: SaId, secrets: Secrets, began: float, **details: Any
) -> Generator[Any, Any, tuple[ChildSa, SecurityAssociation]]:
    """The responder's half: a child that receives already, and the SA that it is to send on.

    ``began``: when the peer's negotiation reached us, in the engine's seconds.
    """
    try:
        spis, traffic = (inbound.spi, taken.spi_out), (taken.match.local, taken.match.peer)
        took = session.now - began
        made = child(session, taken.tunnel, taken.suite, spis, traffic, initiated=False, took=took, **details)
        receiving, sending = associations(session, made, taken.suite, secrets)
        yield Install(receiving, inbound=True)
    except Exception:
        yield Remove((inbound,))
        raise
    return made, sending


def follow(
    session: Session, made: ChildSa, sending: SecurityAssociation, replaced: ChildSa | None = None
) -> Generator[Any, Any, None]:
    """Complete the responder's side. What carries the traffic so far does until the peer must have our answer."""
    carrying = replaced or session.engine.carrying(made.tunnel)
    if stands_in(carrying, made):
        session.child_up(made)
        session.outbound.send_later(made, sending, carrying, CONFIRM if replaced else ANEW)
    else:
        yield from complete(session, made, sending)


def complete(session: Session, made: ChildSa, sending: SecurityAssociation) -> Generator[Any, Any, None]:
    """Begin to send on the new SA. Without that half the child doesn't stay half installed, at neither end."""
    try:
        yield Install(sending, inbound=False)
    except LocalError as error:
        yield from give_back(session, made.inbound, error)
        raise
    session.child_up(made)
