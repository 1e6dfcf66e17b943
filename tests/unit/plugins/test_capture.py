"""A short capture as evidence: what is counted of what passes, and what hops on the way have said."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence import capture as module
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.capture import Capture
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.ends import End
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import Expectation
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.wiretap import read_packet

HOP, HOP6 = "203.0.113.1", "2001:db8:ffff::1"
ENDS = {4: ("210.11.11.11", "210.22.22.22"), 6: ("2001:db8::11", "2001:db8::22")}
PAIR = ((ip_network("192.168.10.0/24"), ip_network("192.168.20.0/24")),)


def packet(source, destination, protocol, payload=b""):
    ends = ip_address(source).packed + ip_address(destination).packed
    if len(ends) > 8:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + ends + payload


def error(version, kind, code, rest, quoted):
    hop, protocol = (HOP, 1) if version == 4 else (HOP6, 58)
    return packet(hop, ENDS[version][0], protocol, struct.pack("!BBHI", kind, code, 0, rest) + quoted)


def captured(monkeypatch, *passed, version=4):
    """What a capture makes of packets, each with whether it leaves."""
    here, there = (ip_address(one) for one in ENDS[version])
    tunnel = Expectation("osaka", here, there, PAIR, ("aes256_cbc",))
    look = Look(lambda words: (0, '[{"dev": "ppp0"}]', ""))
    monkeypatch.setattr(module, "open_tap", lambda device, networks: open("/dev/null"))  # noqa: PTH123, SIM115
    monkeypatch.setattr(module, "passed", lambda tap: [(leaves, read_packet(data)) for leaves, data in passed])
    with Capture(look, [tunnel]) as capture:
        (found,) = capture.as_data()
    return found, End("tokyo", tunnel, capture=found)


def test_packets_are_counted_by_kind_and_direction(monkeypatch):
    here, there = ENDS[4]
    ike, encapsulated = struct.pack("!HH", 500, 500), struct.pack("!HH", 4500, 61000)
    found, end = captured(
        monkeypatch,
        (True, packet(here, there, 17, ike)),
        (True, packet(here, there, 50)),
        (True, packet(here, there, 50)),
        (False, packet(there, here, 50)),
        (False, packet(there, here, 17, encapsulated)),
        (True, packet(here, "203.0.113.77", 50)),  # another peer's
        (True, packet(here, there, 6, struct.pack("!HH", 40000, 500))),  # TCP
    )
    assert found["packets"] == {
        "udp 500": {"out": 1, "in": 0},
        "udp 4500": {"out": 0, "in": 1},
        "esp": {"out": 2, "in": 1},
    }
    assert end.passed("esp", "udp 500") == ["a capture on ppp0 saw esp 2 out, 1 in; udp 500 1 out, 0 in"]


@pytest.mark.parametrize(
    ("version", "kind", "code", "rest", "text"),
    [
        (4, 3, 4, 1400, "fragmentation needed, MTU 1400"),
        (4, 3, 1, 0, "unreachable"),
        (4, 3, 13, 0, "administratively prohibited"),
        (4, 11, 0, 0, "time exceeded"),
        (6, 2, 0, 1280, "packet too big, MTU 1280"),
        (6, 1, 1, 0, "administratively prohibited"),
    ],
)
def test_a_hop_that_complains_is_quoted(monkeypatch, version, kind, code, rest, text):
    message = error(version, kind, code, rest, packet(*ENDS[version], 50))
    found, end = captured(monkeypatch, (False, message), (False, message), version=version)
    line = "{} says of esp: {} (2 times)".format(HOP if version == 4 else HOP6, text)
    assert found["errors"] == [line] and end.passed("esp")[1:] == [line]


@pytest.mark.parametrize(
    "message",
    [
        error(4, 3, 1, 0, packet(ENDS[4][0], "203.0.113.77", 50)),  # about somebody else
        error(4, 8, 0, 0, packet(*ENDS[4], 50)),  # a ping
        error(4, 3, 1, 0, b"\x45"),
        packet(HOP, ENDS[4][0], 1, b"\x03"),
    ],
)
def test_what_is_no_error_about_the_peer_is_passed_over(monkeypatch, message):
    assert captured(monkeypatch, (False, message))[0]["errors"] == []


def test_what_can_not_be_listened_to_is_noted_and_missed_by_nobody(monkeypatch):
    def refused(_device, _networks):
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(module, "open_tap", refused)
    look = Look(lambda words: (0, '[{"dev": "ppp0"}]', ""))
    tunnel = Expectation("osaka", *(ip_address(one) for one in ENDS[4]), PAIR, ("aes256_cbc",))
    with Capture(look, [tunnel]) as capture:
        assert capture.as_data() == []
    assert look.unseen == ["a capture on ppp0: Operation not permitted"]
    assert End("tokyo", tunnel).passed("esp") == []
