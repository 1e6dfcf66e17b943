"""The last packets of each peer: kept whatever became of the negotiation, bounded, and without secrets."""

from __future__ import annotations

import ipaddress
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.exchange import trace_text
from ike.exchange.path import Path
from ike.exchange.trace import Trace
from ike.wire.header import NO_SPI, VERSION_2, Header
from ike.wire.v2_numbers import Exchange
from tests.unit.exchange.world import OSAKA, TOKYO, bring_up, world

PATH = Path(TOKYO, OSAKA)


def traced(pair) -> list[dict]:
    return pair.tokyo.engine.trace("peer", pair.now)


def lines(packets: list[dict]) -> list[str]:
    return [line for packet in packets for line in packet["payloads"]]


def initiation(spi: bytes, size: int = 100) -> bytes:
    return Header(spi, NO_SPI, 33, VERSION_2, Exchange.IKE_SA_INIT, 8, 0, size).encode() + bytes(size - 28)


def test_ikev2_is_shown_decrypted(tmp_path):
    pair = world(tmp_path, version=2)
    bring_up(pair)
    pair.exchange()
    packets = traced(pair)
    assert [(one["direction"], one["message"].split(",")[0]) for one in packets] == [
        ("sent", "IKEv2 IKE_SA_INIT request"),
        ("received", "IKEv2 IKE_SA_INIT response"),
        ("sent", "IKEv2 IKE_AUTH request"),
        ("received", "IKEv2 IKE_AUTH response"),
    ]
    assert "SA proposal 1 IKE: encryption aes256_gcm; prf hmac_sha2_256; group curve25519, ecp256" in lines(packets)
    assert "IDr ipaddr 210.22.22.22" in packets[3]["payloads"]
    assert "TSi 192.168.10.0/24" in packets[3]["payloads"]


def test_ikev1_is_shown_decrypted(tmp_path):
    pair = world(tmp_path, version=1)
    bring_up(pair)
    pair.exchange()
    packets = traced(pair)
    assert [one["message"].split(",")[0] for one in packets] == ["IKEv1 main mode"] * 6 + ["IKEv1 quick mode"] * 3
    assert "ID ipaddr 210.22.22.22" in packets[5]["payloads"]
    assert "ID 192.168.20.0/24" in packets[7]["payloads"]


@pytest.mark.parametrize("version", [1, 2])
def test_proofs_and_public_values_show_their_size_alone(tmp_path, version):
    pair = world(tmp_path, version=version)
    bring_up(pair)
    pair.exchange()
    shown = lines(traced(pair))
    assert ("HASH, 20 bytes" if version == 1 else "AUTH by shared key, 32 bytes") in shown
    assert ("Nonce, 16 bytes" if version == 1 else "Nonce, 32 bytes") in shown
    telling = [line for line in shown if not line.startswith("Vendor ID")]
    assert not [line for line in telling if re.search(r"[0-9a-f]{24}", line)]  # no long run of a secret's digits


@pytest.mark.parametrize("version", [1, 2])
def test_a_negotiation_that_failed_is_there_at_both_ends(tmp_path, version):
    pair = world(tmp_path, version=version, psk=b"another")
    bring_up(pair)
    pair.run(5)
    assert any("encrypted" in line or "HASH" in line or "AUTH" in line for line in lines(traced(pair)))
    received = [one for one in pair.osaka.engine.trace("peer", pair.now) if one["direction"] == "received"]
    assert received
    if version == 1:  # there the key decrypts the message that proves it
        assert [line for line in received[-1]["payloads"] if line.startswith("encrypted, ")]


def test_what_comes_again_is_counted(tmp_path):
    pair = world(tmp_path, version=2)
    pair.mangle = lambda datagram: []
    bring_up(pair)
    pair.run(10)
    (packet,) = traced(pair)
    assert packet["times"] > 2


@pytest.mark.parametrize("version", [1, 2])
def test_probes_of_liveness_push_nothing_out(tmp_path, version):
    pair = world(tmp_path, version=version, tokyo={"dpd_delay": 5})
    bring_up(pair)
    pair.exchange()
    before = [one["message"] for one in traced(pair)]
    count = len(pair.wire)
    pair.run(300)
    assert len(pair.wire) > count + 20
    assert [one["message"] for one in traced(pair)] == before


def test_a_stranger_is_found_by_its_address(tmp_path):
    pair = world(tmp_path, version=2)
    stranger = ipaddress.ip_address("203.0.113.9")
    pair.tokyo.engine.receive(initiation(b"strange!"), Path(TOKYO, stranger), pair.now)
    (packet,) = pair.tokyo.engine.trace("203.0.113.9", pair.now)
    assert packet["message"].startswith("IKEv2 IKE_SA_INIT request")
    assert pair.tokyo.engine.trace("nobody", pair.now) is None


def test_however_many_strangers_write_it_stays_small_and_the_configured_peers_stay(tmp_path):
    pair = world(tmp_path, version=2)
    bring_up(pair)
    pair.exchange()
    before = traced(pair)
    trace = pair.tokyo.engine.host.trace
    for number in range(2000):
        stranger = ipaddress.ip_address(int(ipaddress.ip_address("198.18.0.0")) + number)
        trace.received(Path(TOKYO, stranger), initiation(os.urandom(8), 1200), pair.now)
    assert traced(pair) == before
    kept = [
        number
        for number in range(2000)
        if trace.of(ipaddress.ip_address(int(ipaddress.ip_address("198.18.0.0")) + number))
    ]
    assert len(kept) <= 64
    assert max(kept) == 1999


def test_one_peer_has_a_bounded_number_of_bytes():
    trace = Trace()
    for size in (100, 65000, 500, 4000, 1500) * 20:
        trace.sent(PATH, initiation(os.urandom(8), size), 0.0)
    packets = trace.of(OSAKA)
    assert 1 <= len(packets) <= 10
    assert sum(len(packet.data) for packet in packets) <= 4096


def test_a_reload_forgets_peers_that_the_configuration_no_longer_names():
    trace = Trace()
    trace.configure([OSAKA])
    trace.sent(PATH, initiation(b"12345678"), 0.0)
    trace.configure([TOKYO])
    assert trace.of(OSAKA) == []


@given(st.binary(max_size=300), st.booleans())
def test_whatever_was_kept_is_shown_without_an_error(data, opened):
    trace = Trace()
    trace.received(PATH, data, 0.0)
    if opened:
        trace.opened(initiation(b"12345678"), data[0] if data else 0, data)
    for kept in trace.of(OSAKA):
        trace_text.packet(kept, 1.0)
