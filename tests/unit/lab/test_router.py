"""The internet between the lab's sites: ARP, forwarding, what it drops, faults."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.internet import frames
from lab.internet.frames import Arp, Packet, ethernet, icmp, ipv4, parse_ethernet
from lab.internet.router import Link, Router
from lab.internet.rules import Rule, RuleError

TOKYO, OSAKA = IPv4Address("210.11.11.11"), IPv4Address("210.22.22.22")
TOKYO_MAC, OSAKA_MAC = b"\x52\x54\x00\x00\x01\x01", b"\x52\x54\x00\x00\x01\x02"
TOKYO_LINK = Link("tokyo", IPv4Interface("210.11.11.1/24"))
OSAKA_LINK = Link("osaka", IPv4Interface("210.22.22.1/24"))


@pytest.fixture
def router():
    """A router that knows both gateways' MAC addresses already."""
    router = Router((TOKYO_LINK, OSAKA_LINK))
    router.receive("tokyo", arp_request(TOKYO, TOKYO_MAC, TOKYO_LINK.interface.ip))
    router.receive("osaka", arp_request(OSAKA, OSAKA_MAC, OSAKA_LINK.interface.ip))
    router.counters.clear()
    return router


def arp_request(sender, mac, target):
    message = Arp(frames.ARP_REQUEST, mac, sender, bytes(6), target)
    return ethernet(frames.BROADCAST, mac, frames.ETHERTYPE_ARP, message.to_bytes())


def from_tokyo(data):
    return ethernet(TOKYO_LINK.mac, TOKYO_MAC, frames.ETHERTYPE_IPV4, data)


def udp(port, size=8):
    return port.to_bytes(2, "big") * 2 + size.to_bytes(2, "big") + bytes(2) + bytes(size - 8)


def test_answers_arp_for_its_own_address():
    router = Router((TOKYO_LINK, OSAKA_LINK))
    (sent,) = router.receive("tokyo", arp_request(TOKYO, TOKYO_MAC, TOKYO_LINK.interface.ip))
    destination, source, ethertype, payload = parse_ethernet(sent.frame)
    assert (sent.link, destination, source, ethertype) == ("tokyo", TOKYO_MAC, TOKYO_LINK.mac, frames.ETHERTYPE_ARP)
    assert Arp.parse(payload) == Arp(frames.ARP_REPLY, TOKYO_LINK.mac, TOKYO_LINK.interface.ip, TOKYO_MAC, TOKYO)
    assert sent.own


def test_stays_silent_about_other_addresses():
    router = Router((TOKYO_LINK, OSAKA_LINK))
    assert router.receive("tokyo", arp_request(TOKYO, TOKYO_MAC, IPv4Address("210.11.11.7"))) == []


def test_forwards_with_ttl_less_one_and_a_right_checksum(router):
    (sent,) = router.receive("tokyo", from_tokyo(ipv4(TOKYO, OSAKA, frames.ESP, b"sealed", ttl=64)))
    destination, source, _, payload = parse_ethernet(sent.frame)
    packet = Packet.parse(payload)
    assert (sent.link, destination, source) == ("osaka", OSAKA_MAC, OSAKA_LINK.mac)
    assert (packet.source, packet.destination, packet.ttl, packet.payload) == (TOKYO, OSAKA, 63, b"sealed")
    assert frames.checksum(packet.data[:20]) == 0
    assert not sent.own
    assert router.counters == {"forwarded": 1}


def test_cuts_off_the_padding_of_a_short_frame(router):
    (sent,) = router.receive("tokyo", from_tokyo(ipv4(TOKYO, OSAKA, frames.ESP, b"x") + bytes(25)))
    assert len(sent.frame) == 14 + 21


def test_asks_for_an_unknown_neighbour_and_keeps_the_packet():
    router = Router((TOKYO_LINK, OSAKA_LINK))
    (question,) = router.receive("tokyo", from_tokyo(ipv4(TOKYO, OSAKA, frames.ESP, b"first")))
    destination, _, ethertype, payload = parse_ethernet(question.frame)
    assert (question.link, destination, ethertype) == ("osaka", frames.BROADCAST, frames.ETHERTYPE_ARP)
    assert Arp.parse(payload).target == OSAKA
    answer = Arp(frames.ARP_REPLY, OSAKA_MAC, OSAKA, OSAKA_LINK.mac, OSAKA_LINK.interface.ip)
    reply = ethernet(OSAKA_LINK.mac, OSAKA_MAC, frames.ETHERTYPE_ARP, answer.to_bytes())
    (sent,) = router.receive("osaka", reply)
    assert Packet.parse(parse_ethernet(sent.frame)[3]).payload == b"first"


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("192.168.10.2", "210.22.22.22"),
        ("210.11.11.11", "192.168.20.2"),
        ("10.0.2.15", "172.16.0.1"),
        ("172.31.255.255", "210.22.22.22"),
        ("210.11.11.11", "224.0.0.1"),
        ("127.0.0.1", "210.22.22.22"),
        ("210.11.11.11", "255.255.255.255"),
    ],
)
def test_drops_what_the_internet_drops(router, source, destination):
    data = ipv4(IPv4Address(source), IPv4Address(destination), frames.ICMP, icmp(8, 0, bytes(8)))
    assert router.receive("tokyo", from_tokyo(data)) == []
    assert router.counters == {"dropped_unroutable": 1}


def test_answers_a_ping_to_itself(router):
    data = ipv4(TOKYO, TOKYO_LINK.interface.ip, frames.ICMP, icmp(frames.ICMP_ECHO_REQUEST, 0, b"\0\1\0\1hello"))
    (sent,) = router.receive("tokyo", from_tokyo(data))
    packet = Packet.parse(parse_ethernet(sent.frame)[3])
    assert (packet.source, packet.destination) == (TOKYO_LINK.interface.ip, TOKYO)
    assert (packet.payload[0], packet.payload[4:]) == (frames.ICMP_ECHO_REPLY, b"\0\1\0\1hello")
    assert frames.checksum(packet.payload) == 0


def test_says_time_exceeded_with_the_packets_beginning(router):
    data = ipv4(TOKYO, OSAKA, frames.UDP, udp(500), ttl=1)
    (sent,) = router.receive("tokyo", from_tokyo(data))
    packet = Packet.parse(parse_ethernet(sent.frame)[3])
    assert (sent.link, packet.destination, packet.payload[0]) == ("tokyo", TOKYO, frames.ICMP_TIME_EXCEEDED)
    assert packet.payload[8:] == data[:28]


def test_says_unreachable_where_no_site_is(router):
    (sent,) = router.receive("tokyo", from_tokyo(ipv4(TOKYO, IPv4Address("203.0.113.9"), frames.UDP, udp(500))))
    assert Packet.parse(parse_ethernet(sent.frame)[3]).payload[:2] == bytes([frames.ICMP_UNREACHABLE, 0])
    assert router.counters == {"no_route": 1}


def test_makes_no_error_about_an_error(router):
    data = ipv4(TOKYO, OSAKA, frames.ICMP, icmp(frames.ICMP_UNREACHABLE, 0, bytes(32)), ttl=1)
    assert router.receive("tokyo", from_tokyo(data)) == []


@pytest.mark.parametrize(
    "frame", [b"", b"\0" * 13, from_tokyo(b""), from_tokyo(b"\x45" * 19), from_tokyo(b"\x4f" * 20)]
)
def test_counts_what_is_malformed(router, frame):
    assert router.receive("tokyo", frame) == []
    assert router.counters == {"malformed": 1}


@pytest.mark.parametrize(
    ("rule", "dropped"),
    [
        (Rule("r", "drop", protocol=frames.UDP, port=500), ["ike"]),
        (Rule("r", "drop", protocol=frames.UDP), ["ike", "nat-t"]),
        (Rule("r", "drop", protocol=frames.ESP), ["esp", "big esp"]),
        (Rule("r", "drop", minimum_size=1000), ["big esp"]),
        (Rule("r", "drop", source=IPv4Network("210.22.22.0/24")), []),
        (Rule("r", "drop", destination=IPv4Network("210.22.22.22/32")), ["ike", "nat-t", "esp", "big esp"]),
    ],
)
def test_rule_drops_what_it_matches_and_nothing_else(router, rule, dropped):
    packets = {
        "ike": ipv4(TOKYO, OSAKA, frames.UDP, udp(500)),
        "nat-t": ipv4(TOKYO, OSAKA, frames.UDP, udp(4500)),
        "esp": ipv4(TOKYO, OSAKA, frames.ESP, bytes(16)),
        "big esp": ipv4(TOKYO, OSAKA, frames.ESP, bytes(1200)),
    }
    router.rules = [rule]
    assert [name for name, data in packets.items() if not router.receive("tokyo", from_tokyo(data))] == dropped
    assert router.rule_hits["r"] == router.counters["dropped_by_rule"] == len(dropped)


def test_rule_survives_json():
    rule = Rule("r", "drop", source=IPv4Network("210.11.11.0/24"), protocol=frames.UDP, port=4500)
    assert Rule.from_json(rule.to_json()) == rule


@pytest.mark.parametrize("fields", [{}, {"name": "r"}, {"name": "r", "action": "explode"}, {"action": "drop"}])
def test_rule_without_name_or_known_action_is_refused(fields):
    with pytest.raises(RuleError):
        Rule.from_json(fields)


def test_rule_with_an_unknown_field_is_refused():
    with pytest.raises(RuleError, match="colour"):
        Rule.from_json({"name": "r", "action": "drop", "colour": "red"})


@given(st.binary(max_size=120), st.sampled_from([b"", from_tokyo(b""), from_tokyo(ipv4(TOKYO, OSAKA, 17, b""))[:30]]))
def test_no_frame_upsets_the_router(data, beginning):
    router = Router((TOKYO_LINK, OSAKA_LINK), rules=[Rule("r", "drop", port=500)])
    router.receive("tokyo", beginning + data)
    assert sum(router.counters.values()) == 1
