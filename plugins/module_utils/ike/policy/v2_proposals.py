# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2 negotiation: what we offer, which of a peer's offers we take, and why none (RFC 7296 2.7, 3.3).

A proposal lists algorithms by transform type; the answer has one of each. AEADs and ciphers that need an integrity
algorithm stand in proposals of their own (RFC 5282 8). Our own order decides, as in racoon2; but first, as many
additional key exchanges as both ends can (RFC 9370 2.2.1). A peer that doesn't know of those ignores the proposals that
have them, so that the same follow without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from ..config.settings import IkeSettings, Tunnel
from ..crypto import groups, sk_cipher
from ..crypto.algorithms import CIPHERS, GROUPS, INTEGRITIES, PRFS, Cipher, Group, Integrity, Prf, keyword_of
from ..wire.numbers import name_of
from ..wire.v2 import Proposal, SaPayload, Transform
from ..wire.v2_numbers import ADDITIONAL_KE_TYPES, KEY_LENGTH, NO_TRANSFORM, Protocol, TransformType
from .explain import nearest_list

_DEFAULT_PRF = "hmac_sha2_256"
_NO_ESN = 0
_ESN = 1
_PROTOCOLS = {"esp": Protocol.ESP, "ah": Protocol.AH}
_CHILD_SPI = 4  # bytes
_NO_KE = Group("none", NO_TRANSFORM, "none", 0, 0)  # stands beside additional key exchanges that may be left out


class NoProposalChosen(Exception):
    """No offer fits. The text names the nearest one and where it differs."""


@dataclass(frozen=True)
class IkeSuite:
    """What IKE_SA_INIT settled. ``integrity`` is None with an AEAD. ``lifetime_seconds`` is ours alone.

    ``additional`` are the additional key exchanges, in their order. ``ppk`` is the name of the post-quantum pre-shared
    key in its keys, "" without one.
    """

    cipher: Cipher
    bits: int
    integrity: Integrity | None
    prf: Prf
    group: Group
    lifetime_seconds: int = 0
    additional: tuple[Group, ...] = ()
    ppk: str = ""

    def describe(self) -> str:
        """The algorithms on one line, for the log."""
        return "/".join(self.names().values()) + (", PPK {}".format(self.ppk) if self.ppk else "")

    def names(self) -> dict[str, str]:
        return {
            "encryption": keyword_of(self.cipher, self.bits),
            "integrity": self.integrity.name if self.integrity else "none",
            "prf": self.prf.name,
            "group": exchange_name(self.group, self.additional),
        }


@dataclass(frozen=True)
class ChildSuite:
    """What was settled for a child. ``cipher`` is None for AH, ``integrity`` for an AEAD, ``group`` without PFS.

    ``additional`` as in IkeSuite.
    """

    protocol: str  # esp or ah
    cipher: Cipher | None
    bits: int
    integrity: Integrity | None
    group: Group | None
    esn: bool
    additional: tuple[Group, ...] = ()

    @property
    def pfs(self) -> str:
        """The child's own key exchange by name; "" without one."""
        return exchange_name(self.group, self.additional) if self.group else ""


def exchange_name(group: Group, additional: Iterable[Group]) -> str:
    """A whole key exchange for people: ``curve25519+mlkem768``."""
    return "+".join(one.name for one in (group, *additional))


# One offer: the rows of each transform type, most wanted first. An empty type is not in the proposal.
Row = Union[tuple[Cipher, int], Integrity, Prf, Group, bool]
Offer = dict[int, tuple[Row, ...]]


def _transform(kind: int, row: Row) -> Transform:
    if kind == TransformType.ENCR:
        cipher, bits = row
        return Transform(kind, cipher.ikev2, ((KEY_LENGTH, bits),) if cipher.length_on_wire else ())
    if kind in _KE_TYPES:
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
    **{kind: "additional_ke{}".format(number) for number, kind in enumerate(ADDITIONAL_KE_TYPES, 1)},
}
_KE_TYPES = frozenset((TransformType.KE, *ADDITIONAL_KE_TYPES))


# What we want


def usable_groups(settings: IkeSettings) -> tuple[Group, ...]:
    """The remote's groups that can be run here."""
    return tuple(GROUPS[name] for name in settings.groups if groups.supported(GROUPS[name]))


def additional_offers(settings: IkeSettings) -> list[Offer]:
    """The remote's additional key exchanges as far as they can be run here: proposals with them, then without.

    NoProposalChosen where one is required that can't be.
    """
    wanted: Offer = {}
    for number, names in enumerate(settings.additional, 1):
        runnable = [GROUPS[name] for name in names if name in GROUPS and groups.supported(GROUPS[name])]
        optional = [_NO_KE] if _NO_KE.name in names else []
        if names and not runnable and not optional:
            raise NoProposalChosen("additional_ke{}: {}".format(number, groups.lacking(GROUPS[names[0]])))
        if runnable:
            wanted[ADDITIONAL_KE_TYPES[number - 1]] = (*runnable, *optional)
    dispensable = all(_NO_KE in rows for rows in wanted.values())
    return ([wanted] if wanted else []) + ([{}] if dispensable else [])


def ike_offers(settings: IkeSettings, intermediate: bool = True) -> list[Offer]:
    """The remote's IKE algorithms, as far as they can be run here: AEADs and the others apart, in the file's order.

    ``intermediate``: whether there may be additional key exchanges, for which both ends have to know IKE_INTERMEDIATE.
    """
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
    variants = additional_offers(settings)
    if not intermediate:
        variants = [variant for variant in variants if not variant]
        if not variants:
            raise NoProposalChosen("an additional key exchange is required, and the peer has no IKE_INTERMEDIATE")
    return _each(variants, offers)


def _each(variants: list[Offer], offers: list[Offer]) -> list[Offer]:
    return [{**offer, **variant} for variant in variants for offer in offers]


def child_offers(
    tunnel: Tunnel,
    groups_of_pfs: tuple[Group, ...] = (),
    additional: Offer | None = None,
    answering: bool = False,
) -> list[Offer]:
    """The tunnel's algorithms. No group: without PFS. Who is ``answering`` takes extended sequence numbers as well.

    ``additional`` key exchanges are offered before the same without them: the IKE SA's are in a child's keys already.
    """
    offers: list[Offer] = []
    esn = _sequence_numbers(tunnel, answering)
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
    return _each([additional, {}] if additional else [{}], offers)


def _sequence_numbers(tunnel: Tunnel, answering: bool) -> tuple[bool, ...]:
    """Extended ones or not, most wanted first. Without a replay window nobody follows them (RFC 4303 2.2.1)."""
    if not tunnel.replay_window:
        return (False,)
    if tunnel.esn:
        return (True, False)
    return (False, True) if answering else (False,)


def answering_offers(settings: IkeSettings, tunnel: Tunnel) -> list[Offer]:
    """What we take in CREATE_CHILD_SA: PFS where the peer wants it, and without it unless ``need_pfs on``."""
    with_pfs = child_offers(tunnel, usable_groups(settings), additional_offers(settings)[0], answering=True)
    return with_pfs if settings.need_pfs else with_pfs + child_offers(tunnel, answering=True)


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


def pfs_additional(settings: IkeSettings, ike: IkeSuite) -> Offer | None:
    """What CREATE_CHILD_SA offers in addition with ``need_pfs on``: as the IKE SA, where that has any."""
    return additional_offers(settings)[0] if settings.need_pfs and ike.additional else None


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
    if any(transform.kind not in _LABELS for transform in proposal.transforms):
        return None
    for kind in _LABELS:
        theirs = [(transform.id, transform.key_bits) for transform in proposal.of(kind)]
        rows = offer.get(kind, ())
        if not rows:
            if theirs and not _none_will_do(kind, theirs):
                return None
            continue
        if kind in ADDITIONAL_KE_TYPES:
            theirs = theirs or [_key(_transform(kind, _NO_KE))]
            rows = tuple(row for row in rows if row not in choice.values())  # RFC 9370 2.2.1: no method twice
        row = next((row for row in rows if _key(_transform(kind, row)) in theirs), None)
        if row is None:
            return None
        if row is not _NO_KE:
            choice[kind] = row
    return choice


def _key(transform: Transform) -> tuple[int, int | None]:
    return transform.id, transform.key_bits


def _none_will_do(kind: int, theirs: list[tuple[int, int | None]]) -> bool:
    """Whether a type that we don't want may be left out: NONE stands among its transforms."""
    return (kind == TransformType.INTEG or kind in _KE_TYPES) and (NO_TRANSFORM, 0) in theirs


def choose(answered: SaPayload, offers: Iterable[Offer], protocol: int, spi_size: int) -> tuple[Proposal, Choice]:
    """The peer's first proposal that has our most wanted offer in it, and our choice of it.

    Most wanted is what has the most additional key exchanges; else our own order decides.
    """
    ours = list(offers)
    readable = [one for one in answered.proposals if one.protocol == protocol and len(one.spi) == spi_size]
    most = max(len(additional_rows(offer)) for offer in ours)
    best: tuple[Proposal, Choice] | None = None
    for offer in ours:
        for proposal in readable:
            choice = _choose(proposal, offer)
            if choice is None or (best and len(additional_rows(choice)) <= len(additional_rows(best[1]))):
                continue
            best = proposal, choice
            if len(additional_rows(choice)) == most:
                return best
    if best is None:
        raise NoProposalChosen(_explain(readable, ours))
    return best


def additional_rows(choice: Choice | Offer) -> tuple:
    """What a choice, or an offer, has for additional key exchanges, in their order."""
    return tuple(choice[kind] for kind in ADDITIONAL_KE_TYPES if kind in choice)


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
    **{kind: {(row.number, 0): row.name for row in (*GROUPS.values(), _NO_KE)} for kind in _KE_TYPES},
    TransformType.ESN: {(_NO_ESN, 0): "off", (_ESN, 0): "on"},
}
_NONE_COUNTS = frozenset((TransformType.ESN, *ADDITIONAL_KE_TYPES))  # where transform 0 is a choice like others


def _names_of_proposal(proposal: Proposal) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for transform in proposal.transforms:
        if transform.kind not in _LABELS or (transform.id == NO_TRANSFORM and transform.kind not in _NONE_COUNTS):
            continue
        known = _KNOWN_ROWS[transform.kind].get(_key(transform), "number {}".format(transform.id))
        names.setdefault(_LABELS[transform.kind], []).append(known)
    return names


def describe(payload: SaPayload) -> list[str]:
    """The proposals of an SA payload for people, one line each."""
    return [
        "SA proposal {} {}{}: {}".format(
            proposal.number,
            name_of(Protocol, proposal.protocol),
            " SPI 0x{}".format(proposal.spi.hex()) if proposal.spi else "",
            "; ".join("{} {}".format(kind, ", ".join(names)) for kind, names in _names_of_proposal(proposal).items()),
        )
        for proposal in payload.proposals
    ]


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
        additional_rows(choice),
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
        additional_rows(choice),
    )
