# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quick mode: two generators that read like the diagram (RFC 2409 5.5).

    Initiator                                  Responder
    HDR*, HASH(1), SA, Ni
      [, KE ] [, IDci, IDcr ]          -->
                                       <--     HDR*, HASH(2), SA, Nr
                                                 [, KE ] [, IDci, IDcr ]
    HDR*, HASH(3)                      -->

No packet is lost: either end receives on the new SA before it tells the other that it may send on it. Some responders
(strongSwan) receive only after the last message, which may get lost: the initiator sends on what it has so far for a
while.
"""

from __future__ import annotations

import hmac
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...config.settings import Tunnel
from ...crypto.groups import KeyExchangeError, KeyPair
from ...policy.sa import SaId, SecurityAssociation, TrafficSelector
from ...policy.v1_proposals import (
    NoProposalChosen,
    Phase2Suite,
    accept_phase2,
    choose_phase2,
    lifetime_notice,
    offer_phase2,
    pfs_group,
    under_notice,
    wanted_suites,
)
from ...policy.v1_selectors import (
    SelectorError,
    describe_client,
    encode_client,
    find_tunnel,
    host_traffic,
    traffic_of,
)
from ...wire.numbers import Protocol
from ...wire.v1 import (
    AnyPayload,
    Hash,
    Identification,
    KeyExchange,
    Message,
    Nonce,
    Notification,
    Proposal,
    SaPayload,
    encode_chain,
)
from ...wire.v1_numbers import Flag, Notify, Payload
from ..child import PROTOCOLS, ChildSa
from ..effects import AllocateSpi, Final, Install, Remove, Reply, Request
from ..errors import LocalError, PeerError
from ..outbound import PROOF, stands_in
from . import nat, rules

if TYPE_CHECKING:
    from .session import Session

Exchange = Generator[Any, Any, None]

_SOFT = 0.85  # of the hard lifetime: when the initiator of an SA makes the next one


@dataclass(frozen=True)
class _Secrets:
    """Quick mode's inputs to KEYMAT."""

    nonce_i: bytes
    nonce_r: bytes
    shared: bytes = b""


def initiator(session: Session, message_id: int, tunnel: Tunnel) -> Exchange:
    """Make a child SA for a tunnel."""
    begun, keys, selector = session.now, session.keys, session.selector(tunnel)
    suites = wanted_suites(tunnel, session.behind_nat, pfs_group(session.settings, session.suite))
    inbound = yield from _reserve(session, tunnel)
    try:
        nonce = Nonce(session.random(session.settings.nonce_size))
        pair = session.key_pair(suites[0].group) if suites and suites[0].group else None
        clients = _clients(selector)
        payloads = [_offered(session, suites, inbound.spi), nonce, *_public(pair), *clients]
        payloads += nat.original_addresses(session, tunnel)
        message = yield Request(
            _authenticated(lambda chain: keys.hash_1(message_id, chain), payloads), encrypted=True, expect=rules.QUICK
        )
        _verify(message, keys.hash_2(message_id, nonce.data, _behind_hash(message)))
        suite, spi_out = _accepted(message, suites)
        for notice in _notices(message):
            suite = under_notice(suite, notice)
        if not nat.may_rename(session, tunnel):
            _same_clients(clients, message.all(Identification))
        secrets = _Secrets(nonce.data, message.get(Nonce).data, _shared(pair, message))
        child = _child(session, tunnel, suite, (inbound.spi, spi_out), begun, initiated=True)
        yield Install(_association(session, child, suite, selector, secrets, inbound=True), inbound=True)
        proof = Hash(keys.hash_3(message_id, secrets.nonce_i, secrets.nonce_r))
        if message.header.flags & Flag.COMMIT:
            yield from _commit(session, message_id, proof)
        else:
            yield Final([proof], encrypted=True)
    except Exception:
        yield Remove((inbound,))
        raise
    outbound = _association(session, child, suite, selector, secrets, inbound=False)
    if message.header.flags & Flag.COMMIT:
        yield from _complete(session, child, outbound)
    else:
        yield from _follow(session, child, outbound)


def responder(session: Session, message_id: int, message: Message) -> Exchange:
    """Answer a peer's quick mode."""
    begun, keys = session.now, session.keys
    _verify(message, keys.hash_1(message_id, _behind_hash(message)))
    tunnel, selector = _find_tunnel(session, message)
    suites = wanted_suites(tunnel, session.behind_nat, pfs_group(session.settings, session.suite))
    suite, proposal, accepted = _chosen(session, message, suites)
    pair = _answering_pair(session, suite, message)
    inbound = yield from _reserve(session, tunnel)
    try:
        nonce_i, nonce = message.get(Nonce).data, Nonce(session.random(session.settings.nonce_size))
        secrets = _Secrets(nonce_i, nonce.data, _shared(pair, message))
        child = _child(session, tunnel, suite, (inbound.spi, proposal.spi), begun, initiated=False)
        yield Install(_association(session, child, suite, selector, secrets, inbound=True), inbound=True)
        payloads = [
            SaPayload((Proposal(proposal.number, proposal.protocol, _packed(inbound.spi), (accepted,)),)),
            nonce,
            *_public(pair),
            *message.all(Identification),
            *nat.original_addresses(session, tunnel),
            *_responder_lifetime(suite, accepted, inbound.spi),
        ]
        payloads = _authenticated(lambda chain: keys.hash_2(message_id, nonce_i, chain), payloads)
        yield from _await_proof(session, inbound, payloads, keys.hash_3(message_id, nonce_i, nonce.data))
    except Exception:
        yield Remove((inbound,))
        raise
    yield from _complete(session, child, _association(session, child, suite, selector, secrets, inbound=False))


def _commit(session: Session, message_id: int, proof: Hash) -> Exchange:
    """The peer set the commit bit: nothing is sent on the new SA before it says CONNECTED (RFC 2408 3.1)."""
    message = yield Request([proof], encrypted=True, expect=rules.CONNECTED)
    if message is not None:  # else it said so in an informational exchange
        _verify(message, session.keys.hash_1(message_id, _behind_hash(message)))


def _await_proof(session: Session, inbound: SaId, payloads: list[AnyPayload], expected: bytes) -> Exchange:
    """Answer, and wait for the last message. Where it fails to come the peer may believe in a child that isn't."""
    try:
        message = yield Reply(payloads, encrypted=True, insist=True, expect=rules.QUICK_END)
        _verify(message, expected)
    except Exception:
        session.delete(inbound)
        raise


def _follow(session: Session, child: ChildSa, outbound: SecurityAssociation) -> Exchange:
    """Complete the initiator's side. What carries the traffic so far does until the peer must have our proof."""
    carrying = session.engine.carrying(child.tunnel)
    if not stands_in(carrying, child):
        yield from _complete(session, child, outbound)
        return
    _count(session, child)
    session.child_up(child)
    session.outbound.send_later(child, outbound, carrying, PROOF)


def _complete(session: Session, child: ChildSa, outbound: SecurityAssociation) -> Exchange:
    """Begin to send on the new SA; without its outbound half the child doesn't stay half installed."""
    try:
        yield Install(outbound, inbound=False)
    except LocalError:
        yield Remove((child.inbound,))
        raise
    _count(session, child)
    session.child_up(child)


def _count(session: Session, child: ChildSa) -> None:
    """From here on it is no longer the negotiation's time that counts."""
    child.took, child.since = session.now - child.since, session.now


def _reserve(session: Session, tunnel: Tunnel) -> Generator[Any, Any, SaId]:
    """An SPI of ours for the tunnel's inbound SA."""
    if not tunnel.proposals:
        raise LocalError("policy {}: no ESP or AH proposal".format(tunnel.policy))
    protocol = PROTOCOLS.get(tunnel.proposals[0].protocol)
    if protocol is None or len(tunnel.proposals) > 1:
        raise LocalError("policy {}: bundles and IPComp are not supported".format(tunnel.policy))
    path = session.path
    spi = yield AllocateSpi(path.peer, path.local, protocol, tunnel.reqid, tunnel.mode)
    return SaId(path.local, protocol, spi)


# Payloads


def _packed(spi: int) -> bytes:
    return spi.to_bytes(4, "big")


def _behind_hash(message: Message) -> bytes:
    """The chain behind the hash payload, as it came, without padding."""
    return message.content[message.raw[0].end : message.end]


def _authenticated(hash_of: Any, payloads: list[AnyPayload]) -> list[AnyPayload]:
    """Payloads behind a hash over their own chain."""
    return [Hash(hash_of(encode_chain(payloads)[1])), *payloads]


def _verify(message: Message, expected: bytes) -> None:
    if not hmac.compare_digest(message.body(Payload.HASH), expected):
        raise PeerError("the hash of a quick mode message is wrong")


def _public(pair: KeyPair | None) -> list[KeyExchange]:
    return [KeyExchange(pair.public)] if pair else []


def _clients(selector: TrafficSelector) -> list[Identification]:
    """IDci and IDcr of an initiator."""
    return [
        encode_client(selector.source, selector.protocol, selector.source_port),
        encode_client(selector.destination, selector.protocol, selector.destination_port),
    ]


def _same_clients(ours: list[Identification], theirs: list[Identification]) -> None:
    """A responder echoes the client identities (RFC 2409 5.5); leaving them out is the old habit of some."""
    if theirs and theirs != ours:
        raise PeerError(
            "selectors differ: ours {}; the peer answered {}".format(
                " - ".join(map(describe_client, ours)), " - ".join(map(describe_client, theirs))
            ),
            Notify.INVALID_ID_INFORMATION,
        )


# Decisions


def _offered(session: Session, suites: list[Phase2Suite], spi: int) -> SaPayload:
    spoken = nat.dialect(session)
    try:
        return offer_phase2(suites, _packed(spi), draft_nat=spoken is not None and spoken.draft)
    except NoProposalChosen as error:
        raise LocalError(str(error)) from error


def _accepted(message: Message, offered: list[Phase2Suite]) -> tuple[Phase2Suite, int]:
    try:
        suite, spi = accept_phase2(message.get(SaPayload), offered)
    except NoProposalChosen as error:
        raise PeerError("no common phase 2 proposal: {}".format(error), Notify.NO_PROPOSAL_CHOSEN) from error
    return suite, _peers_spi(spi)


def _chosen(session: Session, message: Message, suites: list[Phase2Suite]) -> tuple[Phase2Suite, Any, Any]:
    """(suite, proposal, transform) that we take of the peer's offer; the proposal's SPI as a number."""
    try:
        suite, proposal, accepted = choose_phase2(message.get(SaPayload), suites, session.settings.proposal_check)
    except NoProposalChosen as error:
        raise PeerError("no common phase 2 proposal: {}".format(error), Notify.NO_PROPOSAL_CHOSEN) from error
    numbered = Proposal(proposal.number, proposal.protocol, _peers_spi(proposal.spi), proposal.transforms)
    return suite, numbered, accepted


def _peers_spi(spi: bytes) -> int:
    number = int.from_bytes(spi, "big")
    if number < 256:  # RFC 4303 2.1
        raise PeerError("the peer chose the reserved SPI {}".format(number), Notify.INVALID_SPI)
    return number


def _find_tunnel(session: Session, message: Message) -> tuple[Tunnel, TrafficSelector]:
    """The tunnel that the client identities name, seen from us: IDcr is ours, IDci the peer's."""
    identities = message.all(Identification)
    if len(identities) not in (0, 2):
        raise PeerError("{} client identities".format(len(identities)), Notify.INVALID_ID_INFORMATION)
    try:
        if identities:
            selector = traffic_of(identities[1], identities[0])
        else:
            selector = host_traffic(session.path.local, session.path.peer)
    except SelectorError as error:
        raise PeerError(str(error), Notify.INVALID_ID_INFORMATION) from error
    tunnel = find_tunnel(session.tunnels(), selector)
    if tunnel is None:
        seen = nat.as_seen(session, selector)
        tunnel = find_tunnel([one for one in session.tunnels() if nat.may_rename(session, one)], seen)
        selector = seen if tunnel else selector
    if tunnel is None:
        raise PeerError(
            "selectors differ: the peer wants {} - {}; we have {}".format(
                selector.source,
                selector.destination,
                ", ".join(
                    "{} - {}".format(known.selector.source, known.selector.destination) for known in session.tunnels()
                )
                or "none for it",
            ),
            Notify.INVALID_ID_INFORMATION,
        )
    return tunnel, selector


def _answering_pair(session: Session, suite: Phase2Suite, message: Message) -> KeyPair | None:
    """Our key pair where the suite has PFS; the peer's half must be there too."""
    if suite.group is None:
        return None
    if message.find(Payload.KE) is None:
        raise PeerError("PFS was agreed on but the peer sent no key exchange", Notify.INVALID_KEY_INFORMATION)
    return session.key_pair(suite.group)


def _shared(pair: KeyPair | None, message: Message) -> bytes:
    if pair is None:
        return b""
    if message.find(Payload.KE) is None:
        raise PeerError("PFS was offered but the peer sent no key exchange", Notify.INVALID_KEY_INFORMATION)
    try:
        return pair.shared(message.body(Payload.KE))
    except KeyExchangeError as error:
        raise PeerError("key exchange: {}".format(error), Notify.INVALID_KEY_INFORMATION) from error


def _responder_lifetime(suite: Phase2Suite, accepted: Any, spi: int) -> list[Notification]:
    """RESPONDER-LIFETIME, where we will end the SA before the peer expects it."""
    notice = lifetime_notice(suite, accepted)
    return [Notification(_security_protocol(suite), Notify.RESPONDER_LIFETIME, _packed(spi), notice)] if notice else []


def _notices(message: Message) -> list[bytes]:
    """The contents of a responder's RESPONDER-LIFETIME."""
    return [one.data for one in message.all(Notification) if one.kind == Notify.RESPONDER_LIFETIME]


# SAs


def _child(
    session: Session, tunnel: Tunnel, suite: Phase2Suite, spis: tuple[int, int], begun: float, initiated: bool
) -> ChildSa:
    """A child with its SPIs (in, out); it counts from the negotiation's beginning until it is complete."""
    return ChildSa(
        tunnel=tunnel,
        path=session.path.of_child(suite.udp),
        protocol=suite.protocol,
        spi_in=spis[0],
        spi_out=spis[1],
        encryption=suite.cipher.name if suite.cipher else "",
        encryption_bits=suite.bits,
        integrity=suite.integrity.name if suite.integrity else "",
        since=begun,
        lifetime_seconds=suite.lifetime_seconds,
        lifetime_bytes=suite.lifetime_kilobytes * 1024,
        initiated=initiated,
        pfs=suite.group.name if suite.group else "",
    )


def _association(
    session: Session,
    child: ChildSa,
    suite: Phase2Suite,
    selector: TrafficSelector,
    secrets: _Secrets,
    inbound: bool,
) -> SecurityAssociation:
    """One direction with its keys: encryption's first, then integrity's (RFC 2409 5.5, appendix B)."""
    spi = child.spi_in if inbound else child.spi_out
    cipher_size = suite.cipher.material(suite.bits) if suite.cipher else 0
    integrity_size = suite.integrity.key if suite.integrity else 0
    keymat = session.keys.keymat(
        cipher_size + integrity_size,
        secrets.shared,
        _security_protocol(suite),
        _packed(spi),
        secrets.nonce_i,
        secrets.nonce_r,
    )
    return SecurityAssociation(
        source=child.peer if inbound else child.local,
        destination=child.local if inbound else child.peer,
        protocol=PROTOCOLS[suite.protocol],
        spi=spi,
        mode=suite.mode,
        encryption=child.encryption,
        encryption_key=keymat[:cipher_size],
        integrity=child.integrity,
        integrity_key=keymat[cipher_size:],
        reqid=child.tunnel.reqid,
        lifetime=child.lifetime(_SOFT, session.random(1)[0]),
        selector=(selector.reversed() if inbound else selector) if suite.mode == "transport" else None,
        replay_window=child.tunnel.replay_window,
        encapsulation=session.path.encapsulation(inbound) if suite.udp else None,
    )


def _security_protocol(suite: Phase2Suite) -> int:
    return Protocol.V1_ESP if suite.protocol == "esp" else Protocol.V1_AH
