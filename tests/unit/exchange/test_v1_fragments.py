"""IKE fragmentation by vendor id: long messages in pieces, and what hostile pieces may do (nothing)."""

from __future__ import annotations

import random

import pytest

from ike.exchange.v1 import fragments, vendor
from ike.wire.cursor import WireError
from ike.wire.header import decode_header
from ike.wire.v1 import Fragment, Message, VendorId, encode_clear
from ike.wire.v1_numbers import Exchange
from tests.unit.exchange.world import bring_up, world

SPI_I, SPI_R = b"initiate", b"responds"


def piece(number, data, last=False, fragment_id=1):
    datagram = encode_clear(SPI_I, SPI_R, Exchange.MAIN_MODE, 0, [Fragment(fragment_id, number, last, data)])
    return decode_header(datagram), datagram


def test_a_split_message_is_joined_in_any_order():
    whole = random.Random(1).randbytes(5000)
    pieces = fragments.split(whole, SPI_I, SPI_R, 7)
    assert len(pieces) == 5
    assert max(map(len, pieces)) <= fragments.LIMIT
    random.Random(2).shuffle(pieces)
    reassembly = fragments.Reassembly()
    results = [reassembly.add(decode_header(datagram), datagram) for datagram in pieces]
    assert results == [None] * 4 + [whole]


def test_a_long_handshake_goes_through_in_fragments(tmp_path, monkeypatch):
    monkeypatch.setattr(fragments, "LIMIT", 100)
    pair = world(tmp_path)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert len(pair.wire) > 15
    assert all(len(datagram) <= 100 for _, datagram in pair.wire[2:])


def test_a_lost_fragment_is_made_good_by_sending_all_again(tmp_path, monkeypatch):
    monkeypatch.setattr(fragments, "LIMIT", 100)
    for lost in range(2, 12):
        pair = world(tmp_path, seed=lost)
        count = iter(range(1000))
        pair.mangle = lambda datagram, count=count, lost=lost: [] if next(count) == lost else [datagram]
        outcome = bring_up(pair)
        pair.run(30)
        assert outcome == [(True, "")], lost


def test_a_peer_that_did_not_announce_it_gets_whole_messages(tmp_path, monkeypatch):
    monkeypatch.setattr(fragments, "LIMIT", 100)
    monkeypatch.setattr(vendor, "_KNOWN", (vendor.NAT_TRAVERSAL, vendor.DEAD_PEER_DETECTION))
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    assert len(pair.wire) == 9


@pytest.mark.parametrize("capabilities", [b"", bytes.fromhex("80000000"), bytes.fromhex("c0000000")])
def test_the_vendor_id_counts_with_and_without_capabilities(capabilities):
    datagram = encode_clear(SPI_I, SPI_R, Exchange.MAIN_MODE, 0, [VendorId(vendor.FRAGMENTATION + capabilities)])
    assert vendor.known(Message.clear(decode_header(datagram), datagram)) == {vendor.FRAGMENTATION}


@pytest.mark.parametrize("number, data", [(0, b"x"), (1, b"")])
def test_an_empty_fragment_and_number_zero_are_refused(number, data):
    with pytest.raises(WireError):
        fragments.Reassembly().add(*piece(number, data, last=True))


def test_fragments_behind_the_last_one_are_refused():
    reassembly = fragments.Reassembly()
    reassembly.add(*piece(3, b"c"))
    reassembly.add(*piece(1, b"a"))
    with pytest.raises(WireError):
        reassembly.add(*piece(2, b"b", last=True))


def test_the_memory_of_fragments_is_bounded():
    reassembly = fragments.Reassembly()
    with pytest.raises(WireError, match="exceed"):
        for number in range(1, 255):
            reassembly.add(*piece(number, bytes(1000)))
    assert reassembly._pieces == {}
