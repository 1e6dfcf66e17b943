# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2 negotiation: what we offer, which of a peer's offers we take, and why none (RFC 7296 2.7, 3.3).

A proposal lists algorithms by transform type; the answer has one of each. AEADs and ciphers that need an integrity
algorithm stand in proposals of their own (RFC 5282 8). Our own order decides, as in racoon2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from ..config.settings import IkeSettings, Tunnel
from ..crypto import groups, sk_cipher
from ..crypto.algorithms import CIPHERS, GROUPS, INTEGRITIES, PRFS, Cipher, Group, Integrity, Prf, keyword_of
from ..wire.v2 import Proposal, SaPayload, Transform
from ..wire.v2_numbers import KEY_LENGTH, NO_TRANSFORM, Protocol, TransformType
from .explain import nearest_list

_DEFAULT_PRF = "hmac_sha2_256"
_NO_ESN = 0
_ESN = 1
_PROTOCOLS = {"esp": Protocol.ESP, "ah": Protocol.AH}
_CHILD_SPI = 4  # bytes
_OPTIONAL_TYPES = range(TransformType.ADDKE1, TransformType.ADDKE7 + 1)  # RFC 9370; NONE may stand in them


class NoProposalChosen(Exception):
    """No offer fits. The text names the nearest one and where it differs."""


@dataclass(frozen=True)
class IkeSuite:
    """What IKE_SA_INIT settled. ``integrity`` is None with an AEAD. ``lifetime_seconds`` is ours alone."""

    cipher: Cipher
    bits: int
    integrity: Integrity | None
    prf: Prf
    group: Group
    lifetime_seconds: int = 0

    def names(self) -> dict[str, str]:
        return {
            "encryption": keyword_of(self.cipher, self.bits),
            "integrity": self.integrity.name if self.integrity else "none",
            "prf": self.prf.name,
            "group": self.group.name,
        }


@dataclass(frozen=True)
class ChildSuite:
    """What was settled for a child. ``cipher`` is None for AH, ``integrity`` for an AEAD, ``group`` without PFS."""

    protocol: str  # esp or ah
    cipher: Cipher | None
    bits: int
    integrity: Integrity | None
    group: Group | None
    esn: bool


# One offer: the rows of each transform type, most wanted first. An empty type is not in the proposal.
Row = Union[tuple[Cipher, int], Integrity, Prf, Group, bool]
Offer = dict[int, tuple[Row, ...]]


def _transform(kind: int, row: Row) -> Transform:
    if kind == TransformType.ENCR:
        cipher, bits = row
        return Transform(kind, cipher.ikev2, ((KEY_LENGTH, bits),) if cipher.length_on_wire else ())
    if kind == TransformType.KE:
        return Transform(kind, row.number)
    if kind == TransformType.ESN:
        return Transform(kind, _ESN if row else _NO_ESN)
    if row.ikev2 is None:  # the old truncation of SHA-256, which goes by the new one's number
        return Transform(kind, INTEGRITIES["hmac_sha2_256"].ikev2)
    return Transform(kind, row.ikev2)


def _name(kind: int, row: Row) -> str:
    if kind == TransformType.ENCR:
        return keyword_of(*row)
    if kind == TransformType.ESN:
        return "on" if row else "off"
    return row.name


_LABELS = {
    TransformType.ENCR: "encryption",
    TransformType.PRF: "prf",
    TransformType.INTEG: "integrity",
    TransformType.KE: "group",
    TransformType.ESN: "esn",
}


# What we want


def usable_groups(settings: IkeSettings) -> tuple[Group, ...]:
    """The remote's groups that can be run here."""
    return tuple(GROUPS[name] for name in settings.groups if groups.supported(GROUPS[name]))


def ike_offers(settings: IkeSettings) -> list[Offer]:
    """The remote's IKE algorithms, as far as they can be run here: AEADs and the others apart, in the file's order."""
    prfs = [PRFS[name] for name in settings.prfs or (_DEFAULT_PRF,)]
    usable = usable_groups(settings)
    integrities = [INTEGRITIES[name] for name in settings.hashes if INTEGRITIES[name].ikev2 is not None]
    ciphers = [(CIPHERS[name], bits) for name, bits in settings.encryption if sk_cipher.supported(CIPHERS[name])]
    offers = [
        {
            TransformType.ENCR: tuple(members),
            TransformType.PRF: tuple(prfs),
            TransformType.INTEG: () if aead else tuple(integrities),
            TransformType.KE: usable,
        }
        for aead, members in _apart(ciphers)
        if usable and (aead or integrities)
    ]
    if not offers:
        raise NoProposalChosen("none of the configured IKE algorithms can be run here")
    return offers


def child_offers(
    tunnel: Tunnel, groups_of_pfs: tuple[Group, ...] = (), esn: tuple[bool, ...] = (False,)
) -> list[Offer]:
    """The tunnel's algorithms. No group: without PFS. ``esn`` says which sequence numbers will do."""
    offers = []
    for proposal in tunnel.proposals:
        integrities = tuple(INTEGRITIES[name] for name in proposal.integrity)
        common = {TransformType.KE: groups_of_pfs, TransformType.ESN: esn}
        if proposal.protocol == "ah":
            offers.append({TransformType.INTEG: integrities, **common})
            continue
        ciphers = [(CIPHERS[name], bits) for name, bits in proposal.encryption if CIPHERS[name].ikev2 is not None]
        offers += [
            {TransformType.ENCR: tuple(members), TransformType.INTEG: () if aead else integrities, **common}
            for aead, members in _apart(ciphers)
            if aead or integrities
        ]
    if not offers:
        raise NoProposalChosen("policy {}: no algorithm that IKEv2 could negotiate".format(tunnel.policy))
    return offers


def answering_offers(settings: IkeSettings, tunnel: Tunnel) -> list[Offer]:
    """What we take in CREATE_CHILD_SA: PFS where the peer wants it, and without it unless ``need_pfs on``."""
    esn = (False, True)
    with_pfs = child_offers(tunnel, usable_groups(settings), esn)
    return with_pfs if settings.need_pfs else with_pfs + child_offers(tunnel, (), esn)


def _apart(ciphers: list[tuple[Cipher, int]]) -> Iterator[tuple[bool, list[tuple[Cipher, int]]]]:
    """Runs of AEADs and of other ciphers, each with whether it is one of AEADs."""
    run: list[tuple[Cipher, int]] = []
    for one in ciphers:
        if run and run[0][0].aead != one[0].aead:
            yield run[0][0].aead, run
            run = []
        run.append(one)
    if run:
        yield run[0][0].aead, run


def pfs_groups(settings: IkeSettings, ike: IkeSuite) -> tuple[Group, ...]:
    """What CREATE_CHILD_SA offers with ``need_pfs on``: the IKE SA's group first, as racoon2 has it."""
    if not settings.need_pfs:
        return ()
    return tuple(dict.fromkeys((ike.group, *usable_groups(settings))))


# Offers on the wire


def encode_offers(offers: Sequence[Offer], protocol: int, spi: bytes) -> SaPayload:
    """The SA payload of a request."""
    return SaPayload(
        tuple(
            Proposal(
                number,
                protocol,
                spi,
                tuple(_transform(kind, row) for kind, rows in offer.items() for row in rows),
            )
            for number, offer in enumerate(offers, 1)
        )
    )


def child_protocol(tunnel: Tunnel) -> int:
    return _PROTOCOLS[tunnel.proposals[0].protocol]


# Choosing


Choice = dict[int, Row]


def _choose(proposal: Proposal, offer: Offer) -> Choice | None:
    """Our first choice of each transform type among a proposal's transforms; None where a type has none in common."""
    choice: Choice = {}
    kinds = {transform.kind for transform in proposal.transforms}
    if any(kind not in _LABELS and kind not in _OPTIONAL_TYPES for kind in kinds):
        return None
    for kind in _LABELS:
        theirs = [(transform.id, transform.key_bits) for transform in proposal.of(kind)]
        rows = offer.get(kind, ())
        if not rows:
            if theirs and not _none_will_do(kind, theirs):
                return None
            continue
        row = next((row for row in rows if _key(_transform(kind, row)) in theirs), None)
        if row is None:
            return None
        choice[kind] = row
    return choice if all(_none_among(proposal.of(kind)) for kind in kinds if kind in _OPTIONAL_TYPES) else None


def _key(transform: Transform) -> tuple[int, int | None]:
    return transform.id, transform.key_bits


def _none_will_do(kind: int, theirs: list[tuple[int, int | None]]) -> bool:
    """Whether a type that we don't want may be left out: NONE stands among its transforms."""
    return kind in (TransformType.INTEG, TransformType.KE) and (NO_TRANSFORM, 0) in theirs


def _none_among(transforms: list[Transform]) -> bool:
    return any(transform.id == NO_TRANSFORM for transform in transforms)


def choose(answered: SaPayload, offers: Iterable[Offer], protocol: int, spi_size: int) -> tuple[Proposal, Choice]:
    """The peer's first proposal that has our most wanted offer in it, and our choice of it."""
    ours = list(offers)
    readable = [one for one in answered.proposals if one.protocol == protocol and len(one.spi) == spi_size]
    for offer in ours:
        for proposal in readable:
            choice = _choose(proposal, offer)
            if choice is not None:
                return proposal, choice
    raise NoProposalChosen(_explain(readable, ours))


def accepted(proposal: Proposal, choice: Choice, spi: bytes) -> SaPayload:
    """The SA payload that answers with a choice, under the number of the proposal that it was made from."""
    transforms = tuple(_transform(kind, row) for kind, row in choice.items())
    return SaPayload((Proposal(proposal.number, proposal.protocol, spi, transforms),))


def accept(answer: SaPayload, offers: Sequence[Offer], protocol: int, spi_size: int) -> tuple[Proposal, Choice]:
    """What a responder chose: one transform of each type, and only what we offered."""
    if len(answer.proposals) != 1:
        raise NoProposalChosen("the peer answered with {} proposals".format(len(answer.proposals)))
    proposal, choice = choose(answer, offers, protocol, spi_size)
    kinds = [transform.kind for transform in proposal.transforms]
    if len(kinds) != len(set(kinds)):
        raise NoProposalChosen("the peer answered with more than one transform of a type")
    return proposal, choice


def _explain(theirs: list[Proposal], ours: list[Offer]) -> str:
    return nearest_list(
        [_names_of_proposal(proposal) for proposal in theirs],
        [{_LABELS[kind]: [_name(kind, row) for row in rows] for kind, rows in offer.items() if rows} for offer in ours],
    )


_KNOWN_ROWS: dict[int, dict[tuple[int, int | None], str]] = {
    TransformType.ENCR: {
        (cipher.ikev2, bits if cipher.length_on_wire else 0): keyword_of(cipher, bits)
        for cipher in CIPHERS.values()
        if cipher.ikev2 is not None
        for bits in cipher.key_bits
    },
    TransformType.PRF: {(row.ikev2, 0): row.name for row in PRFS.values()},
    TransformType.INTEG: {(row.ikev2, 0): row.name for row in INTEGRITIES.values() if row.ikev2 is not None},
    TransformType.KE: {(row.number, 0): row.name for row in GROUPS.values()},
    TransformType.ESN: {(_NO_ESN, 0): "off", (_ESN, 0): "on"},
}


def _names_of_proposal(proposal: Proposal) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for transform in proposal.transforms:
        if transform.kind not in _LABELS or (transform.id == NO_TRANSFORM and transform.kind != TransformType.ESN):
            continue
        known = _KNOWN_ROWS[transform.kind].get(_key(transform), "number {}".format(transform.id))
        names.setdefault(_LABELS[transform.kind], []).append(known)
    return names


# Suites


def ike_suite(choice: Choice, lifetime_seconds: int) -> IkeSuite:
    cipher, bits = choice[TransformType.ENCR]
    return IkeSuite(
        cipher,
        bits,
        choice.get(TransformType.INTEG),
        choice[TransformType.PRF],
        choice[TransformType.KE],
        lifetime_seconds,
    )


def child_suite(protocol: str, choice: Choice) -> ChildSuite:
    cipher, bits = choice.get(TransformType.ENCR, (None, 0))
    return ChildSuite(
        protocol,
        cipher,
        bits,
        choice.get(TransformType.INTEG),
        choice.get(TransformType.KE),
        choice.get(TransformType.ESN, False),
    )
