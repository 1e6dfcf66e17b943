# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 negotiation: what we offer, which of a peer's offers we take, and why none (RFC 2409 5, RFC 2407 4.5).

``proposal_check`` decides about lifetimes and the PFS group as racoon2 does: ``obey`` takes the peer's,
``strict`` refuses what is longer than ours, ``claim`` takes the smaller and says so, ``exact`` wants equality.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..config.settings import IkeSettings, SaProposal, Tunnel
from ..crypto import cipher as ciphers
from ..crypto import groups
from ..crypto.algorithms import (
    CIPHERS,
    CIPHERS_BY_ESP1,
    CIPHERS_BY_PHASE1,
    GROUPS,
    GROUPS_BY_NUMBER,
    HASHES,
    HASHES_BY_PHASE1,
    INTEGRITIES,
    INTEGRITIES_BY_ESP1,
    Cipher,
    Group,
    Hash,
    Integrity,
    keyword_of,
)
from ..wire.attributes import Attribute, decode_attributes, encode_attribute
from ..wire.cursor import Cursor
from ..wire.numbers import Protocol
from ..wire.v1 import Proposal, SaPayload, Transform
from ..wire.v1_numbers import (
    AUTH_PRE_SHARED_KEY,
    KEY_IKE,
    LIFE_KILOBYTES,
    LIFE_SECONDS,
    Encapsulation,
    Phase1,
    Phase2,
)
from .explain import nearest_difference
from .sa import TUNNEL

DEFAULT_LIFETIME = 28800  # seconds, RFC 2407 4.5: what a proposal without a lifetime means
_MAX_TRANSFORMS = 255

_SECURITY_PROTOCOLS = {"esp": Protocol.V1_ESP, "ah": Protocol.V1_AH}


class NoProposalChosen(Exception):
    """No offer fits. The text names the nearest one and where it differs."""


@dataclass(frozen=True)
class Phase1Suite:
    """What phase 1 settled. ``lifetime_seconds`` is the ISAKMP SA's."""

    cipher: Cipher
    bits: int
    hash: Hash
    group: Group
    lifetime_seconds: int

    def names(self) -> dict[str, str]:
        return {
            "encryption": keyword_of(self.cipher, self.bits),
            "hash": self.hash.name,
            "group": self.group.name,
        }


@dataclass(frozen=True)
class Phase2Suite:
    """What quick mode settled. ``cipher`` is None for AH, ``integrity`` for an AEAD, ``group`` without PFS."""

    protocol: str  # esp or ah
    cipher: Cipher | None
    bits: int
    integrity: Integrity | None
    mode: str  # tunnel or transport
    udp: bool
    group: Group | None
    lifetime_seconds: int
    lifetime_kilobytes: int

    def names(self) -> dict[str, str]:
        return {
            "protocol": self.protocol,
            "encryption": keyword_of(self.cipher, self.bits) if self.cipher else "none",
            "integrity": self.integrity.name if self.integrity else "none",
            "mode": self.mode + (" in UDP" if self.udp else ""),
            "pfs": self.group.name if self.group else "off",
        }


# Lifetimes


def _lifetime_attributes(kind: int, duration: int, limit: int, value: int) -> list[Attribute]:
    short = value <= 0xFFFF
    return [(kind, limit), (duration, value if short else value.to_bytes(4, "big"))]


def _lifetimes(transform: Transform, kind: int, duration: int) -> dict[int, int]:
    """{LIFE_SECONDS: …, LIFE_KILOBYTES: …} of a transform: each duration belongs to the type before it."""
    limits: dict[int, int] = {}
    single = Transform(0, 0)
    current = LIFE_SECONDS
    for attribute in transform.attributes:
        single = Transform(0, 0, (attribute,))
        if attribute[0] == kind:
            current = single.get(kind)
        elif attribute[0] == duration:
            limits[current] = single.get(duration)
    return limits


def _settle(check: str, ours: int, theirs: int, unit: str) -> int:
    """The lifetime that a responder takes; 0 means none. Raises NoProposalChosen where the check forbids."""
    if check == "obey" or theirs == ours:
        return theirs
    if check == "exact":
        raise NoProposalChosen("lifetime: theirs {} {unit}, ours {} {unit} (exact)".format(theirs, ours, unit=unit))
    longer = ours != 0 and (theirs == 0 or theirs > ours)
    if longer and check == "claim":
        return ours
    if longer:
        raise NoProposalChosen("lifetime: theirs {} {unit} is longer than ours {}".format(theirs, ours, unit=unit))
    return theirs


def lifetime_notice(settled: Phase2Suite, accepted: Transform) -> bytes:
    """The content of RESPONDER-LIFETIME: where we will end an SA before the peer's offer does (RFC 2407 4.6.3.1)."""
    offered = _limits(accepted)
    attributes: list[Attribute] = []
    for limit, value in ((LIFE_SECONDS, settled.lifetime_seconds), (LIFE_KILOBYTES, settled.lifetime_kilobytes)):
        if value != offered[limit]:
            attributes += _lifetime_attributes(Phase2.LIFE_TYPE, Phase2.LIFE_DURATION, limit, value)
    return b"".join(map(encode_attribute, attributes))


def under_notice(suite: Phase2Suite, notice: bytes) -> Phase2Suite:
    """A suite whose responder sent RESPONDER-LIFETIME: what it names counts where it is shorter. Raises WireError."""
    attributes = decode_attributes(Cursor(notice))
    limits = _lifetimes(Transform(0, 0, attributes), Phase2.LIFE_TYPE, Phase2.LIFE_DURATION)
    return replace(
        suite,
        lifetime_seconds=_shorter(suite.lifetime_seconds, limits.get(LIFE_SECONDS, 0)),
        lifetime_kilobytes=_shorter(suite.lifetime_kilobytes, limits.get(LIFE_KILOBYTES, 0)),
    )


def _limits(transform: Transform) -> dict[int, int]:
    """A phase 2 transform's limits, with what it leaves out (RFC 2407 4.5)."""
    limits = {LIFE_SECONDS: DEFAULT_LIFETIME, LIFE_KILOBYTES: 0}
    return {**limits, **_lifetimes(transform, Phase2.LIFE_TYPE, Phase2.LIFE_DURATION)}


# Phase 1


def runnable_suites(settings: IkeSettings) -> list[Phase1Suite]:
    """Our suites in order of preference, nested as racoon2 nests them: group, encryption, hash."""
    return [
        Phase1Suite(CIPHERS[name], bits, HASHES[hash_name], GROUPS[group], settings.lifetime_seconds)
        for group in settings.groups
        for name, bits in settings.encryption
        for hash_name in settings.hashes
        if ciphers.supported(CIPHERS[name]) and groups.supported(GROUPS[group]) and GROUPS[group].ikev1
    ]


def offer_phase1(settings: IkeSettings) -> SaPayload:
    """The SA payload that opens main mode: one proposal, a transform for each suite."""
    suites = runnable_suites(settings)[:_MAX_TRANSFORMS]
    transforms = tuple(
        Transform(number, KEY_IKE, tuple(_phase1_attributes(suite))) for number, suite in enumerate(suites, 1)
    )
    if not transforms:
        raise NoProposalChosen("none of the configured phase 1 algorithms can be run here")
    return SaPayload((Proposal(1, Protocol.ISAKMP, b"", transforms),))


def _phase1_attributes(suite: Phase1Suite) -> Iterator[Attribute]:
    """Attributes in the order that racoon2 writes them."""
    yield from _lifetime_attributes(Phase1.LIFE_TYPE, Phase1.LIFE_DURATION, LIFE_SECONDS, suite.lifetime_seconds)
    yield Phase1.ENCRYPTION, suite.cipher.phase1
    if suite.cipher.length_on_wire:
        yield Phase1.KEY_LENGTH, suite.bits
    yield Phase1.AUTHENTICATION, AUTH_PRE_SHARED_KEY
    yield Phase1.HASH, suite.hash.phase1
    yield Phase1.GROUP, suite.group.number


def _read_phase1(transform: Transform) -> Phase1Suite | None:
    """A transform as a suite, or None where it names something unknown to us."""
    cipher = CIPHERS_BY_PHASE1.get(transform.get(Phase1.ENCRYPTION))
    hash_algorithm = HASHES_BY_PHASE1.get(transform.get(Phase1.HASH))
    group = GROUPS_BY_NUMBER.get(transform.get(Phase1.GROUP))
    known = cipher and hash_algorithm and group and transform.get(Phase1.AUTHENTICATION) == AUTH_PRE_SHARED_KEY
    if not known or transform.id != KEY_IKE:
        return None
    bits = transform.get(Phase1.KEY_LENGTH) or cipher.key_bits[0]
    lifetime = _lifetimes(transform, Phase1.LIFE_TYPE, Phase1.LIFE_DURATION).get(LIFE_SECONDS, DEFAULT_LIFETIME)
    return Phase1Suite(cipher, bits, hash_algorithm, group, lifetime)


def choose_phase1(settings: IkeSettings, offer: SaPayload) -> tuple[Phase1Suite, SaPayload]:
    """The first of the peer's transforms that is one of ours, and the SA payload that accepts it."""
    ours = [suite.names() for suite in runnable_suites(settings)]
    seen: list[dict[str, str]] = []
    lifetime_problem = ""
    for proposal in offer.proposals:
        for transform in proposal.transforms:
            suite = _read_phase1(transform)
            if suite is None or proposal.protocol != Protocol.ISAKMP:
                continue
            seen.append(suite.names())
            if suite.names() not in ours:
                continue
            try:
                taken = _settle(settings.proposal_check, settings.lifetime_seconds, suite.lifetime_seconds, "s")
            except NoProposalChosen as problem:
                lifetime_problem = str(problem)
                continue
            accepted = SaPayload((Proposal(proposal.number, proposal.protocol, proposal.spi, (transform,)),))
            return Phase1Suite(suite.cipher, suite.bits, suite.hash, suite.group, taken), accepted
    raise NoProposalChosen(lifetime_problem or nearest_difference(seen, ours))


def accept_phase1(settings: IkeSettings, answer: SaPayload) -> Phase1Suite:
    """The suite that a responder chose: it must be one that we offered. The shorter lifetime holds."""
    proposal = answer.proposals[0]
    suite = _read_phase1(proposal.transforms[0])
    single = len(answer.proposals) == 1 and len(proposal.transforms) == 1
    if not single or suite is None or suite.names() not in [ours.names() for ours in runnable_suites(settings)]:
        raise NoProposalChosen("the peer chose a phase 1 suite that we did not offer")
    lifetime = min(suite.lifetime_seconds, settings.lifetime_seconds) or settings.lifetime_seconds
    return Phase1Suite(suite.cipher, suite.bits, suite.hash, suite.group, lifetime)


def describe(payload: SaPayload) -> list[str]:
    """The transforms of an SA payload for people, one line each."""
    return [
        "SA proposal {}{}: {}".format(
            proposal.number,
            " SPI 0x{}".format(proposal.spi.hex()) if proposal.spi else "",
            _describe(proposal.protocol, transform),
        )
        for proposal in payload.proposals
        for transform in proposal.transforms
    ]


def _describe(protocol: int, transform: Transform) -> str:
    suite = _read_phase1(transform) if protocol == Protocol.ISAKMP else _read_phase2(protocol, transform)
    if suite is None:
        return "transform {}, which we don't know".format(transform.id)
    return "; ".join("{} {}".format(name, value) for name, value in suite.names().items())


# Phase 2


def pfs_group(settings: IkeSettings, phase1: Phase1Suite) -> Group | None:
    """Quick mode's group: with ``need_pfs on`` phase 1's, as racoon2 has it."""
    return phase1.group if settings.need_pfs else None


def wanted_suites(tunnel: Tunnel, udp: bool, group: Group | None) -> list[Phase2Suite]:
    """The tunnel's suites in order of preference."""
    kilobytes = -(-tunnel.lifetime_bytes // 1024)
    return [
        Phase2Suite(
            proposal.protocol, cipher, bits, integrity, tunnel.mode, udp, group, tunnel.lifetime_seconds, kilobytes
        )
        for proposal in tunnel.proposals
        for cipher, bits, integrity in _algorithms(proposal)
    ]


def _algorithms(proposal: SaProposal) -> Iterator[tuple[Cipher | None, int, Integrity | None]]:
    integrities = [INTEGRITIES[name] for name in proposal.integrity if INTEGRITIES[name].esp1 is not None]
    if proposal.protocol == "ah":
        for integrity in integrities:
            yield None, 0, integrity
        return
    for name, bits in proposal.encryption:
        cipher = CIPHERS[name]
        if cipher.esp1 is None:
            continue
        if cipher.aead:
            yield cipher, bits, None
            continue
        for integrity in integrities:
            yield cipher, bits, integrity


def offer_phase2(suites: list[Phase2Suite], spi: bytes, draft_nat: bool = False) -> SaPayload:
    """The SA payload that opens quick mode: one proposal with our inbound SPI.

    ``draft_nat`` writes UDP encapsulation with the numbers of RFC 3947's drafts.
    """
    transforms = tuple(
        Transform(number, _transform_id(suite), tuple(_phase2_attributes(suite, draft_nat)))
        for number, suite in enumerate(suites[:_MAX_TRANSFORMS], 1)
    )
    if not transforms:
        raise NoProposalChosen("none of the configured ESP algorithms has a name in IKEv1")
    return SaPayload((Proposal(1, _SECURITY_PROTOCOLS[suites[0].protocol], spi, transforms),))


def _transform_id(suite: Phase2Suite) -> int:
    return suite.cipher.esp1 if suite.cipher else suite.integrity.ah1


def _phase2_attributes(suite: Phase2Suite, draft_nat: bool) -> Iterator[Attribute]:
    """Attributes in the order that racoon2 writes them; no key length for 3DES, which strict peers refuse."""
    kind, duration = Phase2.LIFE_TYPE, Phase2.LIFE_DURATION
    if suite.lifetime_seconds:
        yield from _lifetime_attributes(kind, duration, LIFE_SECONDS, suite.lifetime_seconds)
    if suite.lifetime_kilobytes:
        yield from _lifetime_attributes(kind, duration, LIFE_KILOBYTES, suite.lifetime_kilobytes)
    yield Phase2.ENCAPSULATION, _encapsulation(suite, draft_nat)
    if suite.cipher and suite.cipher.length_on_wire:
        yield Phase2.KEY_LENGTH, suite.bits
    if suite.integrity:
        yield Phase2.AUTHENTICATION, suite.integrity.esp1
    if suite.group:
        yield Phase2.GROUP, suite.group.number


def _encapsulation(suite: Phase2Suite, draft_nat: bool) -> int:
    in_tunnel = suite.mode == TUNNEL
    if not suite.udp:
        return Encapsulation.TUNNEL if in_tunnel else Encapsulation.TRANSPORT
    if draft_nat:
        return Encapsulation.DRAFT_UDP_TUNNEL if in_tunnel else Encapsulation.DRAFT_UDP_TRANSPORT
    return Encapsulation.UDP_TUNNEL if in_tunnel else Encapsulation.UDP_TRANSPORT


_MODES = {
    Encapsulation.TUNNEL: (TUNNEL, False),
    Encapsulation.UDP_TUNNEL: (TUNNEL, True),
    Encapsulation.DRAFT_UDP_TUNNEL: (TUNNEL, True),
    Encapsulation.TRANSPORT: ("transport", False),
    Encapsulation.UDP_TRANSPORT: ("transport", True),
    Encapsulation.DRAFT_UDP_TRANSPORT: ("transport", True),
}


def _read_phase2(protocol: int, transform: Transform) -> Phase2Suite | None:
    """A transform as a suite, or None where it names something unknown to us."""
    mode = _MODES.get(transform.get(Phase2.ENCAPSULATION) or Encapsulation.TUNNEL)
    authentication = transform.get(Phase2.AUTHENTICATION)
    integrity = INTEGRITIES_BY_ESP1.get(authentication)
    number = transform.get(Phase2.GROUP)
    group = GROUPS_BY_NUMBER.get(number)
    if mode is None or (authentication and not integrity) or (number and not group):
        return None
    limits = _limits(transform)
    seconds, kilobytes = limits[LIFE_SECONDS], limits[LIFE_KILOBYTES]
    if protocol == Protocol.V1_AH:
        known = integrity is not None and integrity.ah1 == transform.id
        return Phase2Suite("ah", None, 0, integrity, *mode, group, seconds, kilobytes) if known else None
    cipher = CIPHERS_BY_ESP1.get(transform.id)
    if cipher is None:
        return None
    # racoon2 writes a key length of 192 even for 3DES, whose proposals need none
    bits = transform.get(Phase2.KEY_LENGTH) or cipher.key_bits[0]
    return Phase2Suite("esp", cipher, bits, None if cipher.aead else integrity, *mode, group, seconds, kilobytes)


def _same_algorithms(theirs: Phase2Suite, ours: Phase2Suite) -> bool:
    """Whether two suites agree; the old 96-bit SHA-256 has the wire's name of the 128-bit one."""
    same_integrity = (theirs.integrity and theirs.integrity.esp1) == (ours.integrity and ours.integrity.esp1)
    return (
        same_integrity
        and (theirs.protocol, theirs.cipher, theirs.bits) == (ours.protocol, ours.cipher, ours.bits)
        and (theirs.mode, theirs.udp) == (ours.mode, ours.udp)
    )


def choose_phase2(
    offer: SaPayload, wanted: Iterable[Phase2Suite], check: str
) -> tuple[Phase2Suite, Proposal, Transform]:
    """The first of the peer's transforms that the tunnel wants, with the proposal that holds it."""
    ours = list(wanted)
    seen: list[dict[str, str]] = []
    problem = ""
    for proposal in offer.proposals:
        for transform in proposal.transforms:
            theirs = _read_phase2(proposal.protocol, transform)
            if theirs is None or len(proposal.spi) != 4:
                continue
            seen.append(theirs.names())
            match = next((suite for suite in ours if _same_algorithms(theirs, suite)), None)
            if match is None:
                continue
            try:
                return _settled(theirs, match, check), proposal, transform
            except NoProposalChosen as error:
                problem = str(error)
    raise NoProposalChosen(problem or nearest_difference(seen, [suite.names() for suite in ours]))


def _settled(theirs: Phase2Suite, ours: Phase2Suite, check: str) -> Phase2Suite:
    """Their suite under our ``proposal_check``."""
    if check != "obey" and theirs.group is not ours.group and (check == "exact" or ours.group is not None):
        raise NoProposalChosen("pfs: theirs {}, ours {}".format(theirs.names()["pfs"], ours.names()["pfs"]))
    if theirs.group is not None and not (theirs.group.ikev1 and groups.supported(theirs.group)):
        raise NoProposalChosen("pfs: {} can't be run here".format(theirs.group.name))
    seconds = _settle(check, ours.lifetime_seconds, theirs.lifetime_seconds, "s")
    kilobytes = _settle(check, ours.lifetime_kilobytes, theirs.lifetime_kilobytes, "KB")
    return Phase2Suite(
        theirs.protocol,
        theirs.cipher,
        theirs.bits,
        ours.integrity,
        theirs.mode,
        theirs.udp,
        theirs.group,
        seconds,
        kilobytes,
    )


def accept_phase2(answer: SaPayload, offered: list[Phase2Suite]) -> tuple[Phase2Suite, bytes]:
    """The suite that a responder chose and its SPI: it must be one that we offered. Shorter lifetimes hold."""
    suite, proposal, _transform = choose_phase2(answer, offered, "obey")
    if len(answer.proposals) != 1 or len(proposal.transforms) != 1:
        raise NoProposalChosen("the peer answered with more than one transform")
    if suite.group is not offered[0].group:
        raise NoProposalChosen("pfs: the peer answered {}".format(suite.names()["pfs"]))
    ours = offered[0]
    return (
        Phase2Suite(
            suite.protocol,
            suite.cipher,
            suite.bits,
            suite.integrity,
            suite.mode,
            suite.udp,
            suite.group,
            _shorter(suite.lifetime_seconds, ours.lifetime_seconds),
            _shorter(suite.lifetime_kilobytes, ours.lifetime_kilobytes),
        ),
        proposal.spi,
    )


def _shorter(one: int, other: int) -> int:
    """The shorter of two limits, of which 0 is none."""
    return min(one, other) if one and other else one or other
