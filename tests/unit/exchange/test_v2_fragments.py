"""Fragmentation (RFC 7383): large messages cross in pieces, in any order, and nobody makes us keep many."""

from __future__ import annotations

import functools
import random
import time

import pytest

from ike.exchange.v2.fragments import Reassembly, split
from ike.wire.header import decode_header
from ike.wire.v2 import Envelope
from ike.wire.v2_numbers import Payload
from tests.unit.exchange import world as worlds
from tests.unit.exchange.test_v1_weather import Storm
from tests.unit.exchange.test_v2_tunnel import agree, expire
from tests.unit.exchange.world import bring_up

world = functools.partial(worlds.world, version=2)

ROOM = 140  # bytes of a datagram: small enough for IKE_AUTH with a pre-shared key to need several


@pytest.fixture(autouse=True)
def small_paths(monkeypatch):
    monkeypatch.setattr("ike.exchange.v2.fragments.IPV4_ROOM", ROOM)


@pytest.mark.parametrize("encryption", [("aes_gcm", 256), ("aes_cbc", 128), ("3des_cbc", 192)], ids=str)
def test_every_message_after_ike_sa_init_fits_the_path(tmp_path, encryption):
    suite = {"encryption": (encryption,), "hashes": ("hmac_sha2_256",), "need_pfs": True}
    pair = world(tmp_path, tokyo=suite, osaka=suite)
    bring_up(pair)
    pair.exchange()
    expire(pair.tokyo, pair)
    pair.run(60)
    assert agree(pair)
    sealed = [datagram for _, datagram in pair.wire if decode_header(datagram).exchange != 34]
    assert max(map(len, sealed)) <= ROOM
    assert {decode_header(datagram).next_payload for datagram in sealed} == {Payload.SK, Payload.SKF}


def test_fragments_are_not_sent_to_a_peer_that_did_not_say_it_takes_them(tmp_path, monkeypatch):
    monkeypatch.setattr("ike.exchange.v2.session.Session.learn", lambda session, message: None)
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    assert agree(pair)
    assert {decode_header(datagram).next_payload for _, datagram in pair.wire[2:]} == {Payload.SK}


def test_fragments_that_get_lost_double_or_change_places(tmp_path):
    for seed in range(20):
        pair = world(tmp_path, seed=seed)
        bring_up(pair)
        Storm(pair, seed).last(120)
        pair.run(120)
        for gateway in pair.gateways():
            if not gateway.state.up:
                gateway.engine.acquire(7, pair.now)
        pair.run(200)
        assert agree(pair), seed


# The pieces


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000])
def test_split_content_comes_together_in_any_order(size):
    content = random.Random(size).randbytes(size)
    pieces = split(35, content, 100) or [(Envelope(35, 0), b"")]
    for order in range(5):
        shuffled = list(pieces)
        random.Random(order).shuffle(shuffled)
        assembly = Reassembly()
        whole = [assembly.add(1, around, part, b"%d" % around.number) for around, part in shuffled]
        assert whole[-1] == content
        assert set(whole[:-1]) <= {None}
        assert (assembly.first, assembly.opening) == (35, b"1")


def test_a_repeated_fragment_counts_once_and_its_first_content_stays():
    assembly = Reassembly()
    assert assembly.add(1, Envelope(35, 0, 1, 2), b"one", b"") is None
    assert assembly.add(1, Envelope(35, 0, 1, 2), b"other", b"") is None
    assert assembly.add(1, Envelope(0, 0, 2, 2), b"two", b"") == b"onetwo"


def test_a_sender_that_makes_smaller_fragments_begins_anew_and_one_that_makes_larger_does_not():
    assembly = Reassembly()
    assembly.add(1, Envelope(35, 0, 1, 2), b"one", b"")
    assert assembly.add(1, Envelope(35, 0, 1, 3), b"a", b"") is None
    assert assembly.add(1, Envelope(0, 0, 2, 2), b"two", b"") is None
    assert assembly.add(1, Envelope(0, 0, 2, 3), b"b", b"") is None
    assert assembly.add(1, Envelope(0, 0, 3, 3), b"c", b"") == b"abc"


@pytest.mark.parametrize("total, taken", [(64, True), (65, False), (65535, False)])
def test_the_number_of_fragments_is_bounded_exactly(total, taken):
    assembly = Reassembly()
    whole = [assembly.add(1, Envelope(35, 0, number, total), b"x", b"") for number in range(1, total + 1)]
    assert (whole[-1] is not None) == taken


def test_the_bytes_of_a_message_are_bounded():
    assembly = Reassembly()
    for number in range(1, 9):
        assert assembly.add(1, Envelope(35, 0, number, 8), bytes(9000), b"") is None


def test_reassembly_takes_time_in_proportion():
    def seconds(count: int) -> float:
        began = time.process_time()
        for message_id in range(count):
            assembly = Reassembly()
            for number in range(1, 65):
                assembly.add(message_id, Envelope(35, 0, number, 64), b"x" * 100, b"")
        return time.process_time() - began

    seconds(20)
    assert seconds(200) < 40 * max(seconds(20), 0.001)
