"""IKEv2 in bad weather: links that lose, double and reorder; harmed messages and payloads; floods of beginnings."""

from __future__ import annotations

import functools
import gc
import ipaddress
import random

import pytest

from ike.config.settings import Endpoint
from ike.exchange.path import Path
from ike.exchange.v2.runner import Runner
from ike.policy import v2_proposals
from ike.wire.header import HEADER_SIZE, NO_SPI, decode_header
from ike.wire.v2 import KeyExchange, Message, Nonce, Notification, encode_clear
from ike.wire.v2_numbers import Exchange, Flag, Notify, Protocol
from tests.unit.exchange import world as worlds
from tests.unit.exchange.test_v1_weather import (
    Harmed,
    Storm,
    deleted,
    doubled,
    flipped,
    lengthened,
    renumbered,
    truncated,
)
from tests.unit.exchange.test_v2_collisions import deliver, send
from tests.unit.exchange.test_v2_tunnel import agree, exchanges, expire
from tests.unit.exchange.world import OSAKA, TOKYO, bring_up, settings

world = functools.partial(worlds.world, version=2)

NEGOTIATIONS = 1000
LIFETIMES = 40


def calm(pair) -> None:
    """The storm is over: what it has left crooked gets straight, or a packet brings the tunnel back."""
    pair.run(200)
    for gateway in pair.gateways():
        if not gateway.state.up:
            gateway.engine.acquire(7, pair.now)
    pair.run(200)


def test_every_negotiation_in_a_storm_ends_with_both_ends_in_step(tmp_path):
    for seed in range(NEGOTIATIONS):
        pair = world(tmp_path, seed=seed)
        bring_up(pair, pair.gateways()[seed % 2])
        if seed % 3 == 0:
            bring_up(pair, pair.gateways()[1 - seed % 2])
        Storm(pair, seed).last(60)
        calm(pair)
        assert agree(pair), seed
        assert len(pair.tokyo.engine.sessions) == len(pair.osaka.engine.sessions) == 1, seed


def test_rekeys_in_a_storm_end_with_both_ends_in_step(tmp_path):
    for seed in range(LIFETIMES):
        short = {"lifetime_seconds": 100, "dpd_delay": 10}
        pair = world(tmp_path, seed=seed, tokyo=short, osaka=short)
        bring_up(pair)
        storm = Storm(pair, seed)
        for _ in range(6):
            storm.last(20)
            for gateway in pair.gateways():
                expire(gateway, pair)
        calm(pair)
        assert agree(pair), seed
        assert len(pair.tokyo.engine.sessions) == len(pair.osaka.engine.sessions) == 1, seed


# Harmed messages: nobody who lacks the keys changes anything


@pytest.mark.parametrize("harm", ["flip", "cut", "extend"])
def test_a_harmed_datagram_changes_no_state(tmp_path, harm):
    """Every byte of every message after IKE_SA_INIT in turn: dropped without an answer; the true one works."""
    pair = world(tmp_path, seed=1)
    bring_up(pair)
    for number in range(4):
        gateway = pair.gateways()[number % 2]
        held = send(pair, gateway)
        if number >= 2:
            receiver = pair.gateways()[1 - number % 2]
            for at in range(len(held[2])):
                deliver(pair, (held[0], held[1], harmed(harm, held[2], at)))
                assert not receiver.engine.outbox
                assert not receiver.kernel.installed
        deliver(pair, held)
    assert agree(pair)


def harmed(harm: str, datagram: bytes, at: int) -> bytes:
    if harm == "flip":
        return datagram[:at] + bytes([datagram[at] ^ 0x41]) + datagram[at + 1 :]
    if harm == "cut":
        return datagram[:at]
    return datagram + bytes(at + 1)


def test_harmed_beginnings_leave_nothing_installed_and_no_exception(tmp_path):
    """Every byte of both IKE_SA_INIT messages changed in turn: the tunnel comes up all the same, or later."""
    dice = random.Random(1)
    for answer in (False, True):
        size = 300
        for at in range(0, size, 3):
            pair = world(tmp_path, seed=at)
            count = iter(range(10000))

            def mangle(datagram, count=count, at=at, answer=answer):
                if next(count) != int(answer) or at >= len(datagram):
                    return [datagram]
                return [datagram[:at] + bytes([datagram[at] ^ (1 << dice.randrange(8))]) + datagram[at + 1 :]]

            pair.mangle = mangle
            bring_up(pair)
            pair.exchange()
            pair.run(30)
            for gateway in pair.gateways():
                assert len(gateway.kernel.installed) in (0, 2), at
            pair.run(300)
            if not pair.established():
                pair.tokyo.engine.acquire(7, pair.now)
            pair.run(300)
            assert agree(pair), (answer, at)


class Saboteur:
    """Harms one payload of the n-th message, before it is sealed: a peer that has the keys and no manners."""

    def __init__(self, monkeypatch, message: int, payload: int, harm, dice) -> None:
        self.message, self.payload, self.harm, self.dice = message, payload, harm, dice
        self.seen = -1
        self.done = False
        original = Runner._sealed

        def sealed(runner, exchange, flags, message_id, payloads):
            return original(runner, exchange, flags, message_id, self(payloads))

        monkeypatch.setattr(Runner, "_sealed", sealed)

    def __call__(self, payloads):
        self.seen += 1
        if self.seen != self.message or self.payload >= len(payloads):
            return payloads
        self.done = True
        return self.harm(payloads, self.payload, self.dice)


def end_replaced(pair) -> None:
    """The replaced children reach the end of their lifetimes."""
    for gateway in pair.gateways():
        for child in [child for child in gateway.state.children if child.state != "up"]:
            gateway.engine.expire(child.inbound, True, pair.now)
    pair.run(60)


HARMS = {deleted: 1, doubled: 1, truncated: 2, lengthened: 1, renumbered: 3, flipped: 6}
MESSAGES = 8  # both initial exchanges, a rekey of the child, and one of the IKE SA


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_harmed_payload_raises_nothing_and_the_tunnel_comes_up_after_all(tmp_path, harm):
    tried = 0
    for message in range(MESSAGES):
        for payload in range(7):
            for repetition in range(HARMS[harm]):
                seed = message * 1000 + payload * 100 + repetition
                with pytest.MonkeyPatch.context() as monkeypatch:
                    pair = world(tmp_path, seed=seed, tokyo={"need_pfs": True}, osaka={"need_pfs": True})
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
                    # Who lies about its nonce or its SPI has a child of its own, until that one's end.
                    expire(pair.osaka, pair)
                    pair.run(60)
                    end_replaced(pair)
                assert agree(pair), seed
    assert tried > 20


# The window


def test_a_replayed_request_gets_the_same_bytes_and_has_no_second_effect(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(3600)
    expire(pair.tokyo, pair)
    request = send(pair, pair.tokyo)
    deliver(pair, request)
    answer = send(pair, pair.osaka)
    for _ in range(3):
        deliver(pair, request)
        assert send(pair, pair.osaka)[2] == answer[2]
    deliver(pair, answer)
    pair.run(60)
    assert agree(pair)
    dropped = pair.osaka.engine.host.counters["dropped"]
    deliver(pair, request)
    assert not pair.osaka.engine.outbox
    assert pair.osaka.engine.host.counters["dropped"] == dropped + 1


@pytest.mark.parametrize("message_id", [0, 1, 3, 2**31, 2**32 - 1])
def test_a_request_outside_of_the_window_is_dropped(tmp_path, message_id):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    (session,) = pair.tokyo.engine.sessions
    (datagram,) = session.runner._sealed(Exchange.INFORMATIONAL, 0, message_id, [])
    deliver(pair, (pair.tokyo, session.path, datagram))
    assert not pair.osaka.engine.outbox


@pytest.mark.parametrize("flags", [0, Flag.RESPONSE, Flag.INITIATOR | Flag.RESPONSE])
def test_flags_that_say_something_else_are_dropped(tmp_path, flags):
    pair = world(tmp_path)
    bring_up(pair)
    held = send(pair, pair.tokyo)
    datagram = bytearray(held[2])
    datagram[19] = flags
    deliver(pair, (held[0], held[1], bytes(datagram)))
    assert not pair.osaka.engine.outbox
    assert not pair.osaka.engine.sessions


def test_an_unknown_critical_payload_is_named_and_an_uncritical_one_is_stepped_over(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    held = send(pair, pair.tokyo)
    datagram = bytearray(held[2])
    first, datagram[16] = datagram[16], 200
    for critical in (0x80, 0):
        odd = bytes(datagram[:HEADER_SIZE]) + bytes([first, critical, 0, 5, 0]) + bytes(datagram[HEADER_SIZE:])
        odd = odd[:24] + len(odd).to_bytes(4, "big") + odd[28:]
        deliver(pair, (held[0], held[1], odd))
        answer = send(pair, pair.osaka)[2]
        refusal = Message.clear(decode_header(answer), answer).refusal()
        if critical:
            assert (refusal.kind, refusal.data) == (Notify.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([200]))
            assert not pair.osaka.engine.sessions
        else:
            assert refusal is None


@pytest.mark.parametrize(
    "notify", [Notify.NO_PROPOSAL_CHOSEN, Notify.INVALID_SYNTAX, Notify.AUTHENTICATION_FAILED, 9999]
)
def test_an_unauthenticated_error_does_not_end_an_attempt(tmp_path, notify):
    survives(tmp_path, Notification(notify))


@pytest.mark.parametrize("group", [b"", b"\0", b"\0\0", b"\0\x1f", b"\0\x0e", b"\xff\xff"])
def test_a_group_that_we_did_not_offer_or_have_just_used_does_not_end_an_attempt(tmp_path, group):
    survives(tmp_path, Notification(Notify.INVALID_KE_PAYLOAD, group))


@pytest.mark.parametrize("size", [0, 65, 1000])
def test_a_cookie_that_is_none_does_not_end_an_attempt(tmp_path, size):
    survives(tmp_path, Notification(Notify.COOKIE, bytes(size)))


def survives(tmp_path, notification) -> None:
    """Many forged answers arrive before the true one, and the tunnel comes up all the same."""
    pair = world(tmp_path)
    outcome = bring_up(pair)
    request = send(pair, pair.tokyo)
    header = decode_header(request[2])
    forged = encode_clear(header.spi_i, NO_SPI, Exchange.IKE_SA_INIT, Flag.RESPONSE, 0, [notification])
    for _ in range(20):
        pair.tokyo.engine.receive(forged, Path(TOKYO, OSAKA), pair.now)
    assert outcome == []
    assert not pair.tokyo.engine.outbox
    pair.run(5)
    assert outcome == [(True, "")]


# Public values that no honest peer sends


@pytest.mark.parametrize("value", [b"", bytes(31), bytes(32), bytes(33), b"\xff" * 500])
def test_a_bad_public_value_leaves_no_state(tmp_path, value):
    pair = world(tmp_path)
    bring_up(pair)
    held = send(pair, pair.tokyo)
    message = Message.clear(decode_header(held[2]), held[2])
    payloads = [Harmed(one.type, one.body) for one in message.raw if one.type != KeyExchange.TYPE]
    payloads.insert(1, KeyExchange(31, value))
    odd = encode_clear(message.header.spi_i, NO_SPI, Exchange.IKE_SA_INIT, Flag.INITIATOR, 0, payloads)
    deliver(pair, (held[0], held[1], odd))
    answer = send(pair, pair.osaka)[2]
    assert decode_header(answer).spi_r == NO_SPI
    assert Message.clear(decode_header(answer), answer).refusal().kind == Notify.INVALID_SYNTAX
    assert not pair.osaka.engine.sessions


# Cookies and floods


def request(spi: bytes, nonce: bytes, cookie: bytes = b"", encryption: int = 256) -> bytes:
    offers = v2_proposals.ike_offers(settings(TOKYO, OSAKA, "", 2, encryption=(("aes_gcm", encryption),)))
    payloads = [
        *([Notification(Notify.COOKIE, cookie)] if cookie else []),
        v2_proposals.encode_offers(offers, Protocol.IKE, b""),
        KeyExchange(31, b"\x09" + bytes(31)),
        Nonce(nonce),
    ]
    return encode_clear(spi, NO_SPI, Exchange.IKE_SA_INIT, Flag.INITIATOR, 0, payloads)


def answered(pair, datagram: bytes, peer=TOKYO) -> Message | None:
    pair.osaka.engine.receive(datagram, Path(OSAKA, peer), pair.now)
    if not pair.osaka.engine.outbox:
        return None
    _, answer = pair.osaka.engine.outbox.popleft()
    return Message.clear(decode_header(answer), answer)


def demand(pair, spi=b"spi-init", nonce=b"n" * 16, cookie=b"", peer=TOKYO) -> bytes | None:
    """The cookie that the responder asks for; None where it goes on."""
    notification = answered(pair, request(spi, nonce, cookie), peer).notified(Notify.COOKIE)
    return notification.data if notification else None


def test_a_cookie_is_good_for_its_peer_its_request_and_its_time_only(tmp_path):
    pair = world(tmp_path, osaka={"cookie_required": True, "peers": (Endpoint(name="IP_ANY"),)})
    cookie = demand(pair)
    assert 1 <= len(cookie) <= 64
    assert demand(pair, spi=b"another!", cookie=cookie)
    assert demand(pair, nonce=b"m" * 16, cookie=cookie)
    assert demand(pair, peer=OSAKA, cookie=cookie)
    assert demand(pair, cookie=cookie[:-1] + bytes([cookie[-1] ^ 1]))
    assert demand(pair, cookie=bytes([cookie[0] + 1]) + cookie[1:])
    assert not pair.osaka.engine.sessions
    pair.now += 130
    assert demand(pair, cookie=cookie)
    assert demand(pair, cookie=demand(pair)) is None
    assert len(pair.osaka.engine.sessions) == 1


def test_the_cookie_must_come_before_the_request_counts(tmp_path):
    """The third half-open SA of one address is the last that comes without."""
    pair = world(tmp_path)
    for number in range(3):
        assert demand(pair, spi=bytes([number + 1]) * 8) is None
    assert demand(pair, spi=b"\x09" * 8)
    assert len(pair.osaka.engine.sessions) == 3


def test_a_request_without_cookie_that_comes_again_does_not_count_once_a_cookie_was_asked_for(tmp_path):
    """AUTH covers the initiator's last request, so the responder may not answer the one before it."""
    pair = world(tmp_path, osaka={"peers": (Endpoint(name="IP_ANY"),)})
    osaka = pair.osaka.engine
    for number in range(30):
        demand(pair, spi=bytes([number + 1]) * 8, peer=ipaddress.ip_address(0x0A000000 + number))
    outcome = bring_up(pair)
    _path, first = pair.tokyo.engine.outbox.popleft()
    osaka.receive(first, Path(OSAKA, TOKYO), pair.now)
    asked = osaka.outbox.popleft()[1]
    for session in osaka.sessions:
        session.ended("it has gone")
    osaka.outbox.clear()
    pair.now += 1.0
    osaka.receive(first, Path(OSAKA, TOKYO), pair.now)  # its retransmission, from before the cookie arrived
    late = [datagram for _path, datagram in osaka.outbox]
    osaka.outbox.clear()
    pair.tokyo.engine.receive(asked, Path(TOKYO, OSAKA), pair.now)
    for datagram in late:
        pair.tokyo.engine.receive(datagram, Path(TOKYO, OSAKA), pair.now)
    pair.exchange()
    assert outcome == [(True, "")]


def test_a_flood_leaves_nothing_behind_and_a_real_peer_gets_through(tmp_path):
    pair = world(tmp_path, osaka={"peers": (Endpoint(name="IP_ANY"),)})
    engine, dice = pair.osaka.engine, random.Random(1)

    def flood(count: int) -> None:
        for number in range(count):
            pair.now += 0.0001
            source = ipaddress.ip_address(0x0A000000 + number)
            spi = dice.randbytes(8)
            bad = number % 3 == 0
            datagram = dice.randbytes(dice.randrange(200)) if bad else request(spi, dice.randbytes(32), b"", 256)
            engine.receive(datagram, Path(OSAKA, source), pair.now)
            assert sum(len(answer) for _, answer in engine.outbox) <= 3 * len(datagram) + 100
            engine.outbox.clear()
            assert len(engine.sessions) <= 31

    flood(4000)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert exchanges(pair) == [34, 34, 34, 34, 35, 35]
    pair.now += 60
    engine.run_timers(pair.now)
    gc.collect()
    objects = len(gc.get_objects())
    flood(100_000)
    pair.now += 100
    engine.run_timers(pair.now)
    assert len(engine.sessions) == 1
    gc.collect()
    assert len(gc.get_objects()) - objects < 500


def test_proposals_that_nobody_wants_leave_no_state_and_no_endless_log(tmp_path):
    pair = world(tmp_path)
    for number in range(1, 3000):
        answer = answered(pair, request(number.to_bytes(8, "big"), b"n" * 16, b"", 128))
        assert answer.refusal().kind == Notify.NO_PROPOSAL_CHOSEN
        assert answer.header.spi_r == NO_SPI
    assert not pair.osaka.engine.sessions
    assert len(pair.osaka.lines) < 1500
