"""IKEv1 in bad weather: a link that loses, doubles and reorders; payloads that are harmed; floods of beginnings."""

from __future__ import annotations

import gc
import ipaddress
import random
from dataclasses import dataclass

import pytest

from ike.exchange.path import Path
from ike.exchange.v1.runner import Exchange
from ike.policy.v1_proposals import offer_phase1
from ike.wire.header import NO_SPI
from ike.wire.v1 import encode_clear
from ike.wire.v1_numbers import Exchange as Kind
from tests.unit.exchange.world import OSAKA, TOKYO, bring_up, settings, world

QUICK_DH = {"groups": ("curve25519",)}
NEGOTIATIONS = 1000
STARTERS = {"tokyo": 0, "osaka": 1}


def small_world(directory, seed=None, **changes):
    return world(directory, seed=seed, tokyo=QUICK_DH, osaka=QUICK_DH, **changes)


def consistent(pair) -> bool:
    """Whether both ends' kernels hold the same SAs, and both ends use the same pair."""
    ends = [{(sa.spi, sa.encryption_key, sa.integrity_key) for sa in one.installed()} for one in pair.gateways()]
    up = [{child.spi_in for child in one.state.children if child.state == "up"} for one in pair.gateways()]
    back = [{child.spi_out for child in one.state.children if child.state == "up"} for one in pair.gateways()]
    return ends[0] == ends[1] and up == back[::-1] and all(len(spis) == 1 for spis in up)


# The link


class Storm:
    """30 % of all datagrams get lost, 20 % come twice, and each takes its own time: up to 0.8 s."""

    def __init__(self, pair, seed: int) -> None:
        self.pair = pair
        self.dice = random.Random(seed)

    def blow(self) -> None:
        """Take the datagrams out of the outboxes and set their arrivals."""
        for sender, receiver in (self.pair.gateways(), self.pair.gateways()[::-1]):
            while sender.engine.outbox:
                path, datagram = sender.engine.outbox.popleft()
                back = Path(receiver.address, sender.address, path.peer_port, path.local_port)
                for _ in range(self._copies()):
                    self._deliver(receiver.engine, datagram, back)

    def _copies(self) -> int:
        dice = self.dice.random()
        return 0 if dice < 0.3 else 2 if dice < 0.5 else 1

    def _deliver(self, engine, datagram, path) -> None:
        when = self.pair.now + self.dice.uniform(0.01, 0.8)
        engine.host.timers.at(when, lambda now: engine.receive(datagram, path, now))

    def last(self, seconds: float) -> None:
        """Let it blow for a time, unless both ends agree earlier."""
        pair, end = self.pair, self.pair.now + seconds
        while pair.now < end:
            self.blow()
            pair.now = min(one.engine.deadline() or end for one in pair.gateways())
            for gateway in pair.gateways():
                gateway.engine.run_timers(pair.now)


def test_every_negotiation_in_a_storm_ends_with_both_ends_in_step(tmp_path):
    for seed in range(NEGOTIATIONS):
        pair = small_world(tmp_path, seed=seed)
        bring_up(pair, pair.gateways()[seed % 2])
        Storm(pair, seed).last(300)
        pair.run(300)
        settle(pair)
        assert consistent(pair), seed


def settle(pair) -> None:
    """Good weather, and a packet for the tunnel at whichever end has lost it."""
    for gateway in pair.gateways():
        if not gateway.state.up:
            gateway.engine.acquire(7, pair.now)
    pair.run(60)


# Harmed payloads


@dataclass(frozen=True)
class Harmed:
    """Any payload, as bytes that need not mean anything."""

    TYPE: int
    body: bytes

    def encode(self) -> bytes:
        return self.body


def deleted(payloads, at, dice):
    return payloads[:at] + payloads[at + 1 :]


def doubled(payloads, at, dice):
    return payloads[: at + 1] + payloads[at:]


def truncated(payloads, at, dice):
    return changed(payloads, at, lambda body: body[: dice.randrange(len(body))] if body else body)


def lengthened(payloads, at, dice):
    return changed(payloads, at, lambda body: body + dice.randbytes(dice.randrange(1, 40)))


def flipped(payloads, at, dice):
    def flip(body):
        where = dice.randrange(len(body)) if body else 0
        return body[:where] + bytes([body[where] ^ (1 << dice.randrange(8))]) + body[where + 1 :] if body else body

    return changed(payloads, at, flip)


def renumbered(payloads, at, dice):
    harmed = Harmed(dice.randrange(256), payloads[at].encode())
    return [*payloads[:at], harmed, *payloads[at + 1 :]]


def changed(payloads, at, change):
    return [*payloads[:at], Harmed(payloads[at].TYPE, change(payloads[at].encode())), *payloads[at + 1 :]]


MESSAGES = 9  # of main mode and quick mode
HARMS = {deleted: 1, doubled: 1, truncated: 2, lengthened: 1, renumbered: 2, flipped: 5}


class Saboteur:
    """Harms one payload of the n-th message, before it is encrypted; ``done`` once it did."""

    def __init__(self, monkeypatch, message: int, payload: int, harm, dice) -> None:
        self.message, self.payload, self.harm, self.dice = message, payload, harm, dice
        self.seen = -1
        self.done = False
        for name in ("_clear", "seal"):
            original = getattr(Exchange, name)
            monkeypatch.setattr(Exchange, name, lambda one, payloads, original=original: original(one, self(payloads)))

    def __call__(self, payloads):
        self.seen += 1
        if self.seen != self.message or self.payload >= len(payloads):
            return payloads
        self.done = True
        return self.harm(payloads, self.payload, self.dice)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_harmed_payload_changes_no_state_and_the_tunnel_comes_up_after_all(tmp_path, harm):
    tried = 0
    for message in range(MESSAGES):
        for payload in range(8):
            for repetition in range(HARMS[harm]):
                seed = message * 1000 + payload * 100 + repetition
                with pytest.MonkeyPatch.context() as monkeypatch:
                    pair = small_world(tmp_path, seed=seed)
                    saboteur = Saboteur(monkeypatch, message, payload, harm, random.Random(seed))
                    bring_up(pair)
                    pair.exchange()
                    no_half_trust(pair, seed)
                    pair.run(150)
                settle(pair)
                tried += saboteur.done
                assert consistent(pair), seed
    assert tried > 30


def no_half_trust(pair, seed) -> None:
    """Two ends that hold an ISAKMP SA for established share its keys."""
    ours, theirs = ({one.spi_i: one for one in end.engine.sessions if one.keys} for end in pair.gateways())
    for spi in ours.keys() & theirs.keys():
        if "established" in (ours[spi].state, theirs[spi].state):
            assert ours[spi].keys.hash_1(1, b"x") == theirs[spi].keys.hash_1(1, b"x"), seed


# Floods


def beginnings(count: int, dice):
    """Bad first messages: garbage, harmed proposals, suites that nobody wants, and good ones that go no further."""
    good = offer_phase1(settings(OSAKA, TOKYO, "", **QUICK_DH))
    unwanted = offer_phase1(settings(OSAKA, TOKYO, "", groups=("modp8192",)))
    for number in range(count):
        spi = number.to_bytes(8, "big") if number else b"\1" * 8
        kind = number % 4
        if kind == 0:
            yield dice.randbytes(dice.randrange(200))
        elif kind == 1:
            body = bytearray(good.encode())
            body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
            yield encode_clear(spi, NO_SPI, Kind.MAIN_MODE, 0, [Harmed(good.TYPE, bytes(body))])
        else:
            yield encode_clear(spi, NO_SPI, Kind.MAIN_MODE, 0, [unwanted if kind == 2 else good])


def test_a_flood_of_bad_beginnings_leaves_nothing_behind(tmp_path):
    pair = small_world(tmp_path)
    engine, dice = pair.osaka.engine, random.Random(1)
    path = Path(OSAKA, TOKYO)

    def flood(count: int) -> None:
        for datagram in beginnings(count, dice):
            pair.now += 0.001
            engine.receive(datagram, path, pair.now)
            engine.outbox.clear()
            assert len(engine.sessions) <= 11

    flood(5000)
    pair.now += 100
    engine.run_timers(pair.now)
    gc.collect()
    objects = len(gc.get_objects())
    flood(100_000)
    pair.now += 100
    engine.run_timers(pair.now)
    assert engine.sessions == []
    gc.collect()
    assert len(gc.get_objects()) - objects < 500
    assert len(pair.osaka.lines) < 500


def test_a_flood_is_answered_with_no_more_bytes_than_it_brings(tmp_path):
    pair = small_world(tmp_path)
    engine = pair.osaka.engine
    for number, datagram in enumerate(beginnings(400, random.Random(2))):
        source = ipaddress.ip_address(0x0A000000 + number)
        engine.receive(datagram, Path(OSAKA, source), pair.now)
        sent = [answer for _, answer in engine.outbox]
        engine.outbox.clear()
        assert len(sent) <= 1
        assert sum(map(len, sent)) <= len(datagram)
