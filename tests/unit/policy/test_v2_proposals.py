"""IKEv2 proposals: both ends agree on our first choice, and the reason is one line where they don't."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ike.config.settings import IkeSettings, SaProposal, Traffic, Tunnel
from ike.crypto.algorithms import GROUPS
from ike.policy import v2_proposals as proposals
from ike.policy.v2_proposals import NoProposalChosen
from ike.wire import v2
from ike.wire.header import decode_header
from ike.wire.v2 import Proposal, SaPayload, Transform
from ike.wire.v2_numbers import Protocol
from tests.unit.handshakes import handshake

MODERN = IkeSettings(
    protocol="ikev2",
    encryption=(("aes_gcm", 256), ("aes_cbc", 256)),
    hashes=("hmac_sha2_256",),
    prfs=("hmac_sha2_256",),
    groups=("curve25519", "ecp256"),
)
OLD = IkeSettings(
    protocol="ikev2", encryption=(("aes_cbc", 128),), hashes=("hmac_sha1",), prfs=("hmac_sha1",), groups=("modp2048",)
)


def tunnel(*sas: SaProposal) -> Tunnel:
    return Tunnel(
        "out", "in", "net", "peer", "ipsec", True, "tunnel", "require", Traffic("IP_ANY", "IP_ANY"), proposals=sas
    )


GCM = SaProposal("esp", (("aes_gcm", 256), ("aes_cbc", 128)), ("hmac_sha2_256",))


def ike_answer(ours: IkeSettings, theirs: IkeSettings):
    offer = proposals.encode_offers(proposals.ike_offers(theirs), Protocol.IKE, b"")
    return proposals.choose(offer, proposals.ike_offers(ours), Protocol.IKE, 0)


def test_an_offer_of_ours_is_what_racoon2_sends():
    recorded = handshake("v2-aes128-sha1-modp2048")["datagrams"][0]["data"]
    offer = v2.Message.clear(decode_header(recorded), recorded).get(SaPayload)
    assert proposals.encode_offers(proposals.ike_offers(OLD), Protocol.IKE, b"") == offer


def test_aeads_stand_apart_from_ciphers_with_an_integrity_algorithm():
    payload = proposals.encode_offers(proposals.ike_offers(MODERN), Protocol.IKE, b"")
    assert [[transform.kind for transform in one.transforms] for one in payload.proposals] == [
        [1, 2, 4, 4],
        [1, 2, 3, 4, 4],
    ]
    assert [one.number for one in payload.proposals] == [1, 2]


def test_our_own_order_decides():
    theirs = replace(MODERN, encryption=(("aes_cbc", 256), ("aes_gcm", 256)), groups=("ecp256", "curve25519"))
    proposal, choice = ike_answer(MODERN, theirs)
    suite = proposals.ike_suite(choice, 60)
    assert suite.names() == {
        "encryption": "aes256_gcm",
        "integrity": "none",
        "prf": "hmac_sha2_256",
        "group": "curve25519",
    }
    assert proposal.number == 2


def test_the_answer_is_accepted_and_says_the_same():
    offers = proposals.ike_offers(MODERN)
    proposal, choice = ike_answer(OLD_AND_MODERN, MODERN)
    answer = proposals.accepted(proposal, choice, b"")
    _, accepted = proposals.accept(answer, offers, Protocol.IKE, 0)
    assert accepted == choice


OLD_AND_MODERN = replace(
    OLD,
    encryption=OLD.encryption + MODERN.encryption,
    prfs=OLD.prfs + MODERN.prfs,
    groups=OLD.groups + MODERN.groups,
    hashes=OLD.hashes + MODERN.hashes,
)


def test_an_answer_that_was_not_offered_is_refused():
    proposal, choice = ike_answer(OLD, OLD)
    answer = proposals.accepted(proposal, choice, b"")
    with pytest.raises(NoProposalChosen):
        proposals.accept(answer, proposals.ike_offers(MODERN), Protocol.IKE, 0)
    (one,) = answer.proposals
    doubled = SaPayload((replace(one, transforms=one.transforms + one.transforms[:1]),))
    with pytest.raises(NoProposalChosen, match="more than one transform"):
        proposals.accept(doubled, proposals.ike_offers(OLD), Protocol.IKE, 0)
    with pytest.raises(NoProposalChosen, match="2 proposals"):
        proposals.accept(SaPayload((one, one)), proposals.ike_offers(OLD), Protocol.IKE, 0)


def test_the_reason_names_the_nearest_offer():
    with pytest.raises(NoProposalChosen) as problem:
        ike_answer(OLD, replace(OLD, groups=("modp1024",)))
    assert str(problem.value) == "nearest offer: group: theirs modp1024, ours modp2048"


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_an_ike_proposal_that_lacks_a_transform_type_is_refused(kind):
    """An IKE SA without key exchange (CVE-2016-5391), cipher, prf or integrity is none."""
    offer = proposals.encode_offers(proposals.ike_offers(OLD), Protocol.IKE, b"").proposals[0]
    lacking = replace(offer, transforms=tuple(one for one in offer.transforms if one.kind != kind))
    none = replace(offer, transforms=(*lacking.transforms, Transform(kind, 0)))
    for one in (lacking, none):
        with pytest.raises(NoProposalChosen):
            proposals.choose(SaPayload((one,)), proposals.ike_offers(OLD), Protocol.IKE, 0)


def test_only_groups_that_we_offered_are_chosen():
    """Whatever number a peer puts there (CVE-2014-9221): it reaches no arithmetic."""
    offer = proposals.encode_offers(proposals.ike_offers(OLD), Protocol.IKE, b"").proposals[0]
    others = tuple(one for one in offer.transforms if one.kind != 4)
    for number in [*range(300), *range(1000, 1100), 65535]:
        if number == 14:
            continue
        odd = SaPayload((replace(offer, transforms=(*others, Transform(4, number))),))
        with pytest.raises(NoProposalChosen):
            proposals.choose(odd, proposals.ike_offers(OLD), Protocol.IKE, 0)


@pytest.mark.parametrize("attributes", [(), ((14, 0),), ((14, 129),), ((14, 128), (14, 128)), ((15, 128),)])
def test_a_cipher_needs_its_key_length_once(attributes):
    offer = proposals.encode_offers(proposals.ike_offers(OLD), Protocol.IKE, b"").proposals[0]
    others = tuple(one for one in offer.transforms if one.kind != 1)
    odd = SaPayload((replace(offer, transforms=(Transform(1, 12, attributes), *others)),))
    with pytest.raises(NoProposalChosen):
        proposals.choose(odd, proposals.ike_offers(OLD), Protocol.IKE, 0)


def test_an_unknown_transform_type_spoils_its_proposal_and_additional_key_exchange_only_without_none():
    offer = proposals.encode_offers(proposals.ike_offers(OLD), Protocol.IKE, b"").proposals[0]

    def chosen(*more: Transform):
        odd = SaPayload((replace(offer, transforms=offer.transforms + more),))
        return proposals.choose(odd, proposals.ike_offers(OLD), Protocol.IKE, 0)

    assert chosen(Transform(6, 0), Transform(6, 36))
    for more in (Transform(6, 36), Transform(13, 0), Transform(241, 0)):
        with pytest.raises(NoProposalChosen):
            chosen(more)


# Children


def child_answer(offer: SaPayload, offers: list):
    return proposals.choose(offer, offers, Protocol.ESP, 4)


def test_a_child_of_an_aead_has_no_integrity():
    offers = proposals.child_offers(tunnel(GCM))
    proposal, choice = child_answer(proposals.encode_offers(offers, Protocol.ESP, b"spi!"), offers)
    suite = proposals.child_suite("esp", choice)
    assert (suite.cipher.name, suite.bits, suite.integrity, suite.group, suite.esn) == (
        "aes_gcm",
        256,
        None,
        None,
        False,
    )
    assert proposal.spi == b"spi!"


def test_extended_sequence_numbers_are_taken_but_not_asked_for_unless_configured():
    offers = proposals.child_offers(tunnel(GCM))
    assert {one.id for one in proposals.encode_offers(offers, 3, b"spi!").proposals[0].of(5)} == {0}
    asked = proposals.child_offers(replace(tunnel(GCM), esn=True))
    assert [one.id for one in proposals.encode_offers(asked, 3, b"spi!").proposals[0].of(5)] == [1, 0]
    wanted = [{**offer, 5: (True,)} for offer in offers]
    _, choice = child_answer(
        proposals.encode_offers(wanted, Protocol.ESP, b"spi!"), proposals.answering_offers(MODERN, tunnel(GCM))
    )
    assert proposals.child_suite("esp", choice).esn is True
    with pytest.raises(NoProposalChosen):
        proposals.accept(proposals.encode_offers(wanted[:1], 3, b"spi!"), offers, Protocol.ESP, 4)


@pytest.mark.parametrize(
    "theirs, need, expected",
    [(True, False, "curve25519"), (True, True, "curve25519"), (False, False, None), (False, True, NoProposalChosen)],
)
def test_pfs_where_the_peer_wants_it_and_never_without_it_where_we_need_it(theirs, need, expected):
    groups = (GROUPS["curve25519"],) if theirs else ()
    offer = proposals.encode_offers(proposals.child_offers(tunnel(GCM), groups), Protocol.ESP, b"spi!")
    ours = proposals.answering_offers(replace(MODERN, need_pfs=need), tunnel(GCM))
    if expected is NoProposalChosen:
        with pytest.raises(NoProposalChosen):
            child_answer(offer, ours)
        return
    group = proposals.child_suite("esp", child_answer(offer, ours)[1]).group
    assert (group.name if group else None) == expected


@pytest.mark.parametrize("spi", [b"", b"abc", b"12345678"])
def test_a_child_proposal_without_an_spi_of_four_bytes_is_none(spi):
    offers = proposals.child_offers(tunnel(GCM))
    with pytest.raises(NoProposalChosen):
        child_answer(proposals.encode_offers(offers, Protocol.ESP, spi), offers)


def test_the_old_truncation_goes_by_the_new_ones_number_and_keeps_its_own_length():
    offers = proposals.child_offers(tunnel(SaProposal("esp", (("aes_cbc", 128),), ("hmac_sha2_256_96",))))
    payload = proposals.encode_offers(offers, Protocol.ESP, b"spi!")
    assert payload.proposals[0].of(3) == [Transform(3, 12)]
    assert proposals.child_suite("esp", child_answer(payload, offers)[1]).integrity.icv == 12


def test_ah_has_integrity_only():
    offers = proposals.child_offers(tunnel(SaProposal("ah", (), ("hmac_sha2_256",))))
    payload = proposals.encode_offers(offers, Protocol.AH, b"spi!")
    _, choice = proposals.choose(payload, offers, Protocol.AH, 4)
    suite = proposals.child_suite("ah", choice)
    assert (suite.cipher, suite.integrity.name) == (None, "hmac_sha2_256")


def test_an_empty_offer_is_told_as_such():
    with pytest.raises(NoProposalChosen, match="nothing that we can read"):
        child_answer(SaPayload((Proposal(1, 2, b"spi!", ()),)), proposals.child_offers(tunnel(GCM)))
