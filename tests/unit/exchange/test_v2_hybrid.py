"""Additional key exchanges between two engines (RFC 9242, RFC 9370): ML-KEM where both can, and how to go without."""

from __future__ import annotations

import functools
import hmac
import random
from dataclasses import replace

import pytest

from ike.crypto import backend
from ike.exchange.effects import Request
from ike.exchange.status import document
from ike.exchange.v2 import followup, intermediate, key_exchange, rules
from ike.exchange.v2.runner import Task
from ike.wire.header import decode_header
from ike.wire.v2 import KeyExchange
from tests.unit.exchange import world as worlds
from tests.unit.exchange.test_v2_tunnel import expire
from tests.unit.exchange.test_v2_weather import HARMS, Saboteur, calm, end_replaced
from tests.unit.exchange.world import bring_up

world = functools.partial(worlds.world, version=2)

INIT, AUTH, CREATE, INFORMATIONAL, INTERMEDIATE, FOLLOWUP = 34, 35, 36, 37, 43, 44
OPTIONAL = (("mlkem768", "none"),)
REQUIRED = (("mlkem768",),)
THREE = (("ecp384",), ("mlkem768",), ("mlkem1024",))
HYBRID = "curve25519+mlkem768"


def pair_of(tmp_path, tokyo, osaka, **changes):
    return world(tmp_path, tokyo={"additional": tokyo, **changes}, osaka={"additional": osaka, **changes})


def exchanges(pair) -> list[int]:
    return [decode_header(datagram).exchange for _, datagram in pair.wire if len(datagram) > 1]


def ike_groups(pair) -> list[str]:
    return [one["group"] for gateway in pair.gateways() for one in document(gateway.engine, pair.now)["ike_sas"]]


def child_groups(pair) -> set[str]:
    tunnels = [tunnel for gateway in pair.gateways() for tunnel in document(gateway.engine, pair.now)["tunnels"]]
    return {child["pfs"] for tunnel in tunnels for child in tunnel["child_sas"] if child["state"] == "up"}


def agree(pair) -> bool:
    shapes = [{(sa.spi, sa.encryption_key) for sa in gateway.installed()} for gateway in pair.gateways()]
    return shapes[0] == shapes[1] and bool(shapes[0])


# Who agrees on what


@pytest.mark.parametrize(
    "tokyo, osaka, group",
    [
        (OPTIONAL, OPTIONAL, HYBRID),
        (REQUIRED, OPTIONAL, HYBRID),
        (OPTIONAL, REQUIRED, HYBRID),
        (REQUIRED, REQUIRED, HYBRID),
        (OPTIONAL, (), "curve25519"),
        ((), OPTIONAL, "curve25519"),
        ((("mlkem1024", "mlkem768", "none"),), OPTIONAL, HYBRID),
        (OPTIONAL, (("mlkem1024", "none"),), "curve25519"),
        ((("mlkem1024",),), (("mlkem1024",),), "curve25519+mlkem1024"),
        ((("ecp256",), ("mlkem768", "none")), (("ecp256", "none"), ("mlkem768",)), "curve25519+ecp256+mlkem768"),
        ((("ecp256", "none"), ("mlkem768", "none")), ((), ("mlkem768",)), HYBRID),
        (THREE, THREE, "curve25519+ecp384+mlkem768+mlkem1024"),
    ],
    ids=str,
)  # fmt: skip
def test_both_ends_agree_on_as_much_as_both_can(tmp_path, tokyo, osaka, group):
    pair = pair_of(tmp_path, tokyo, osaka)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert ike_groups(pair) == [group, group]
    assert agree(pair)
    assert exchanges(pair).count(AUTH) == 2
    assert (INTERMEDIATE in exchanges(pair)) == ("+" in group)


@pytest.mark.parametrize(
    "tokyo, osaka, said",
    [
        (REQUIRED, (), "additional_ke1: theirs mlkem768, ours none"),
        ((), REQUIRED, "an additional key exchange is required, and the peer has no IKE_INTERMEDIATE"),
        (REQUIRED, (("mlkem1024",),), "additional_ke1: theirs mlkem768, ours mlkem1024"),
        ((("mlkem768",), ("ecp256",)), REQUIRED, "additional_ke2: theirs ecp256, ours none"),
        ((("curve25519",),), (("curve25519",),), "one method twice"),
    ],
    ids=str,
)
def test_what_is_required_and_missing_is_named(tmp_path, tokyo, osaka, said):
    pair = pair_of(tmp_path, tokyo, osaka, groups=("curve25519",))
    bring_up(pair)
    pair.exchange()
    assert not pair.established()
    assert pair.osaka.said(said), pair.osaka.lines
    assert not pair.tokyo.installed() and not pair.osaka.installed()


def lack(monkeypatch):
    """Let the library lack ML-KEM, as Debian 12's does."""
    monkeypatch.setattr(backend, "runs_mlkem", lambda: False)


def test_an_end_whose_library_lacks_it_goes_without(tmp_path, monkeypatch):
    lack(monkeypatch)
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert ike_groups(pair) == ["curve25519", "curve25519"]
    assert exchanges(pair) == [INIT, INIT, AUTH, AUTH]


def test_required_and_lacking_is_one_clear_error(tmp_path, monkeypatch):
    lack(monkeypatch)
    pair = pair_of(tmp_path, REQUIRED, OPTIONAL)
    outcome = bring_up(pair)
    pair.exchange()
    assert not outcome[0][0]
    assert "additional_ke1: mlkem768 needs cryptography 48 or newer on OpenSSL 3.5 or newer; here is " in outcome[0][1]
    assert not pair.wire


# The messages


def test_intermediate_messages_are_fragmented(tmp_path):
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL)
    bring_up(pair)
    pair.exchange()
    assert exchanges(pair) == [INIT, INIT, *[INTERMEDIATE] * 3, AUTH, AUTH]  # KEi takes two of them
    assert max(len(datagram) for _, datagram in pair.wire) <= 1280 - 28 - 4


def test_auth_covers_both_intermediate_messages(tmp_path, monkeypatch):
    """IntAuth written out anew from RFC 9242 3.3.1 and 3.3.2, from what a session took into it."""
    added, results = [], []

    class Recording(intermediate.Covered):
        def add(self, keys, request, answer):
            added.append((keys, request, answer))
            super().add(keys, request, answer)

        def octets(self):
            results.append(super().octets())
            return results[-1]

    monkeypatch.setattr(intermediate, "Covered", Recording)
    pair = pair_of(tmp_path, REQUIRED, REQUIRED, encryption=(("aes_cbc", 256),), hashes=("hmac_sha2_256",))
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    assert [one[1:] for one in added] == [added[0][1:]] * 2  # either end takes the same
    keys, request, answer = added[0]
    for message, kind, value in ((request, 0x08, 1184), (answer, 0x20, 1088)):
        length = 28 + 4 + 8 + value
        assert len(message) == length
        assert message[16:28] == bytes([46, 0x20, INTERMEDIATE, kind, 0, 0, 0, 1]) + length.to_bytes(4, "big")
        assert message[28:32] == bytes([34, 0]) + (length - 28).to_bytes(2, "big")
        assert message[32:40] == bytes([0, 0]) + (8 + value).to_bytes(2, "big") + bytes([0, 36, 0, 0])
    expected = hmac.digest(keys._pi, request, "sha256") + hmac.digest(keys._pr, answer, "sha256") + bytes([0, 0, 0, 2])
    assert set(results) == {expected}


# Children and successors


PFS = {"need_pfs": True}


@pytest.mark.parametrize("starter", ["tokyo", "osaka"])
def test_a_child_gets_its_own(tmp_path, starter):
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL, **PFS)
    bring_up(pair)
    pair.exchange()
    gateway = getattr(pair, starter)
    gateway.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.run(12)
    assert exchanges(pair).count(FOLLOWUP) == 3  # KEi takes two fragments
    assert child_groups(pair) == {HYBRID}
    assert agree(pair)


def test_a_child_of_a_peer_without_it_has_none(tmp_path):
    pair = pair_of(tmp_path, OPTIONAL, (), **PFS)
    bring_up(pair)
    pair.exchange()
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.run(12)
    assert child_groups(pair) == {"curve25519"}
    assert FOLLOWUP not in exchanges(pair)


def test_two_additional_exchanges_of_a_child(tmp_path):
    both = (("ecp256", "none"), ("mlkem768", "none"))
    pair = pair_of(tmp_path, both, both, **PFS)
    bring_up(pair)
    pair.exchange()
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.run(12)
    assert child_groups(pair) == {"curve25519+ecp256+mlkem768"}
    assert agree(pair)


@pytest.mark.parametrize("starter", ["tokyo", "osaka"])
def test_a_successor_gets_its_own(tmp_path, starter):
    pair = pair_of(tmp_path, REQUIRED, REQUIRED)
    bring_up(pair)
    pair.exchange()
    getattr(pair, starter).engine.sessions[0]._soft_expired(pair.now)
    pair.run(40)
    assert FOLLOWUP in exchanges(pair)
    assert ike_groups(pair) == [HYBRID, HYBRID]
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.run(12)
    assert pair.established() and agree(pair)


# Peers that do something else


def sessions(pair):
    return [gateway.engine.sessions[0] for gateway in pair.gateways()]


def followups(monkeypatch, change):
    """Let the initiator of a CREATE_CHILD_SA send another request than it should."""
    real = followup.public
    monkeypatch.setattr(followup, "public", lambda pair: change(real(pair)))


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda ke: replace(ke, data=ke.data[:-1]), "mlkem768 wants a public value of 1184 bytes, not 1183"),
        (lambda ke: replace(ke, group=37), "the peer goes on with group 37"),
        (lambda ke: replace(ke, data=b"\xff" * 1184), "a public value outside of mlkem768"),
    ],
    ids=["short", "other group", "no such key"],
)
def test_a_child_isnt_made_with_a_bad_public_value(tmp_path, monkeypatch, change, said):
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL, **PFS)
    bring_up(pair)
    pair.exchange()
    before = {sa.spi for sa in pair.osaka.installed()}
    followups(monkeypatch, change)
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.exchange()
    assert pair.osaka.said(said)
    assert pair.tokyo.said("the peer refused the additional key exchange: INVALID_SYNTAX")
    assert {sa.spi for sa in pair.osaka.installed()} == before
    assert pair.established()


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda ke: replace(ke, data=ke.data + b"\0"), "mlkem768 wants a public value of 1184 bytes, not 1185"),
        (lambda ke: replace(ke, group=31), "the peer goes on with group 31"),
        (lambda ke: replace(ke, data=bytes([0xFF]) * 1184), "a public value outside of mlkem768"),
    ],
    ids=["long", "other group", "no such key"],
)
def test_an_ike_sa_isnt_made_with_a_bad_public_value(tmp_path, monkeypatch, change, said):
    real = intermediate.public
    monkeypatch.setattr(intermediate, "public", lambda pair: change(real(pair)))
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL)
    outcome = bring_up(pair)
    pair.exchange()
    assert pair.osaka.said(said)
    assert outcome[0] == (False, "the peer refused the additional key exchange: INVALID_SYNTAX")
    assert not pair.established()


def test_a_wrong_ciphertext_is_found_out(tmp_path, monkeypatch):
    """ML-KEM rejects implicitly: both ends have other keys, and the next message doesn't open."""
    real = key_exchange.encapsulate

    def other(group, data):
        ciphertext, secret = real(group, data)
        return bytes([ciphertext[0] ^ 1]) + ciphertext[1:], secret

    monkeypatch.setattr(key_exchange, "encapsulate", other)
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL, retries=2)
    outcome = bring_up(pair)
    pair.run(60)
    assert outcome and not outcome[0][0]
    assert not pair.established()


def test_a_responder_without_the_announcement_is_refused(tmp_path, monkeypatch):
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL)
    real = intermediate.announcement
    asked: list[bool] = []

    def only_initiators(wanted):
        asked.append(wanted)
        return real(wanted) if len(asked) == 1 else []

    monkeypatch.setattr(intermediate, "announcement", only_initiators)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome[0] == (False, "the peer chose curve25519+mlkem768 without IKE_INTERMEDIATE")


def test_ike_auth_where_intermediate_is_due_ends_the_attempt(tmp_path, monkeypatch):
    def none_made(session, nonces):
        return intermediate.Covered()
        yield

    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL)
    monkeypatch.setattr(intermediate, "initiator", none_made)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome[0] == (False, "the peer refused: INVALID_SYNTAX")
    assert pair.osaka.said("IKE_AUTH request, where IKE_INTERMEDIATE request is due")
    assert not pair.osaka.installed()


def test_an_intermediate_exchange_that_nobody_agreed_on_ends_the_attempt(tmp_path, monkeypatch):
    def one_too_many(session, nonces):
        yield Request([KeyExchange(36, bytes(1184))], expect=rules.INTERMEDIATE_ANSWER)
        return intermediate.Covered()

    monkeypatch.setattr(intermediate, "initiator", one_too_many)
    pair = pair_of(tmp_path, (), ())
    bring_up(pair)
    pair.exchange()
    assert pair.osaka.said("IKE_INTERMEDIATE request, where IKE_AUTH request is due")
    assert not pair.osaka.installed()


def test_a_followup_that_follows_nothing_is_told_so(tmp_path):
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL)
    bring_up(pair)
    pair.exchange()
    answers = []

    def begin(session):
        answers.append((yield Request([KeyExchange(36, bytes(1184))], expect=rules.FOLLOWUP_ANSWER)))

    ours, _theirs = sessions(pair)
    ours.runner.ask(Task("stray", begin, lambda session, error: answers.append(error)))
    pair.exchange()
    assert answers[0].refusal().kind == 47
    assert pair.established()


@pytest.mark.parametrize(
    "exchange, reason",
    [
        (INTERMEDIATE, "in IKE_INTERMEDIATE: port 500 filtered, or its long messages don't get through"),
        (AUTH, "in IKE_AUTH: port 500 filtered, or not configured for us"),
    ],
)
def test_a_silence_is_named_by_its_exchange(tmp_path, exchange, reason):
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL)
    pair.mangle = lambda datagram: [] if decode_header(datagram).exchange == exchange else [datagram]
    outcome = bring_up(pair)
    pair.run(120)
    assert outcome == [(False, "no answer from 210.22.22.22 " + reason)]


def test_what_a_silent_initiator_leaves_half_made_goes(tmp_path, monkeypatch):
    pair = pair_of(tmp_path, OPTIONAL, OPTIONAL, **PFS)
    bring_up(pair)
    pair.exchange()

    def lost(datagram):
        return [] if len(datagram) > 28 and decode_header(datagram).exchange == FOLLOWUP else [datagram]

    pair.mangle = lost
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.exchange()
    assert sessions(pair)[1].runner._serving is not None
    pair.run(61)
    assert not any(session.runner._serving for session in pair.osaka.engine.sessions)
    assert "delete_sa" in [name for name, _argument in pair.osaka.kernel.log]


# Weather


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_it_comes_up_and_rekeys_through_bad_weather(tmp_path, seed, loss):
    weather = random.Random(seed)

    def mangle(datagram):
        if weather.random() < loss:
            return []
        return [datagram] * (2 if weather.random() < 0.2 else 1)

    changes = {"additional": OPTIONAL, "retries": 10, "lifetime_seconds": 300, **PFS}
    pair = world(tmp_path, seed=seed, tokyo=changes, osaka=changes)
    pair.mangle = mangle
    bring_up(pair)
    pair.run(120)
    assert pair.established()
    for _round in range(3):
        pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
        pair.osaka.engine.rekey("net", pair.now, lambda success, reason: None)
        pair.run(90)
    pair.mangle = lambda datagram: [datagram]
    pair.run(120)
    assert pair.established()
    assert agree(pair)
    assert HYBRID in ike_groups(pair)
    assert child_groups(pair) <= {HYBRID, ""}  # made anew in IKE_AUTH, where the link was down for too long


@pytest.mark.parametrize("exchange", [INTERMEDIATE, FOLLOWUP])
def test_harmed_datagrams_of_the_new_exchanges_change_nothing(tmp_path, exchange):
    """Every byte of them in turn, before the true one arrives."""
    pair = pair_of(tmp_path, REQUIRED, REQUIRED, **PFS)
    harmed = 0

    def mangle(datagram):
        nonlocal harmed
        if len(datagram) < 28 or decode_header(datagram).exchange != exchange:
            return [datagram]
        harmed += len(datagram)
        bad = [datagram[:at] + bytes([datagram[at] ^ 0x41]) + datagram[at + 1 :] for at in range(28, len(datagram))]
        return [*bad, datagram[:-1], datagram + b"\0", datagram]

    pair.mangle = mangle
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.run(12)
    assert harmed > 2000
    assert child_groups(pair) == {HYBRID}
    assert agree(pair)


MESSAGES = (
    14  # IKE_SA_INIT, IKE_INTERMEDIATE, IKE_AUTH; a rekey of the child and one of the IKE SA, each in two exchanges
)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_harmed_payload_of_the_new_messages_raises_nothing(tmp_path, harm):
    """A peer that has the keys and no manners, with a PPK as well; what it breaks is made anew."""
    ppk = {"ppk": worlds.key_file(tmp_path, "both.ppk", bytes(range(32))), "ppk_id": "both"}
    tried = 0
    for message in range(MESSAGES):
        for payload in range(10):
            seed = message * 100 + payload
            with pytest.MonkeyPatch.context() as monkeypatch:
                pair = pair_of(tmp_path, OPTIONAL, OPTIONAL, **PFS, **ppk)
                saboteur = Saboteur(monkeypatch, message, payload, harm, random.Random(seed))
                bring_up(pair)
                pair.run(100)
                expire(pair.tokyo, pair)
                pair.exchange()
                for session in pair.osaka.engine.sessions:
                    session._soft_expired(pair.now)
                pair.exchange()
            calm(pair)
            tried += saboteur.done
            if pair.established() and not agree(pair):
                expire(pair.osaka, pair)
                pair.run(60)
                end_replaced(pair)
            assert agree(pair), seed
    assert tried > 40
