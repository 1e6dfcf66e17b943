"""What rules do with a packet, as nft and iptables-save print them (samples/ holds their real output)."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.iptables import read_iptables, tables_of
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.nftables import read_nftables
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.packet_filter import Fate, Filter, Packet, merge

SAMPLES = Path(__file__).parent / "samples"
NFTABLES = read_nftables((SAMPLES / "ruleset.json").read_text())
IPTABLES = read_iptables((SAMPLES / "iptables-save.txt").read_text())


def packet(source, destination, protocol, port=0, **more):
    return Packet(ipaddress.ip_network(source), ipaddress.ip_network(destination), protocol, port, **more)


PEER, OTHER, US = "210.22.22.22", "210.33.33.33", "210.11.11.11"
LAN, FAR, ELSEWHERE = "192.168.10.0/24", "192.168.20.0/24", "192.168.30.0/24"


@pytest.mark.parametrize(
    ("incoming", "verdict"),
    [
        (packet(PEER, US, "udp", 500, in_device="wan"), "accept"),
        (packet(PEER, US, "udp", 4500, in_device="wan"), "accept"),
        (packet(OTHER, US, "udp", 500, in_device="wan"), "drop"),
        (packet(PEER, US, "udp", 501, in_device="wan"), "drop"),
        (packet(PEER, US, "esp", in_device="wan"), "accept"),
        (packet(OTHER, US, "esp", in_device="wan"), "drop"),
        (packet(OTHER, US, "udp", 53, in_device="lo"), "accept"),
        (packet(OTHER, US, "udp", 53, in_device="wan", state="established"), "accept"),
        (packet(OTHER, US, "udp", 53, in_device="wan", state="invalid"), "drop"),
    ],
)
def test_nftables_at_the_input(incoming, verdict):
    fate = NFTABLES.fate(incoming, "input")
    assert (fate.verdict, fate.certain) == (verdict, True)


@pytest.mark.parametrize(
    ("forwarded", "verdict"),
    [
        (packet(LAN, FAR, "tcp", 80, ipsec=True, out_device="wan"), "accept"),
        (packet(LAN, FAR, "tcp", 80, out_device="wan"), "drop"),
        (packet(LAN, ELSEWHERE, "tcp", 80, ipsec=True, out_device="wan"), "drop"),
        (packet(LAN, ELSEWHERE, "tcp", 80, out_device="ppp0"), "accept"),
        (packet(LAN, FAR, "tcp", 80, out_device="ppp0"), "drop"),
    ],
)
def test_nftables_forwarding_through_a_jump_and_a_set(forwarded, verdict):
    assert NFTABLES.fate(forwarded, "forward").verdict == verdict


def test_a_policy_is_named_as_the_reason():
    fate = NFTABLES.fate(packet(LAN, ELSEWHERE, "tcp", 80, out_device="wan"), "forward")
    assert fate == Fate("drop", "policy of inet filter forward")


def test_what_hangs_on_a_rule_that_is_not_understood_is_in_doubt():
    fate = NFTABLES.fate(packet(OTHER, US, "tcp", 22, in_device="wan"), "input")
    assert fate.verdict == "drop" and not fate.certain
    assert fate.doubts == ("inet filter input: tcp dport 22 limit accept",)


def test_nat_and_its_exemptions():
    def translated(protocol, destination, ipsec):
        one = packet(LAN, destination, protocol, 80, out_device="wan", ipsec=ipsec)
        return NFTABLES.fate(one, "postrouting", "nat").verdict

    assert translated("udp", ELSEWHERE, False) == "nat"
    assert translated("udp", ELSEWHERE, True) == "accept"
    assert translated("tcp", FAR, False) == "accept"
    assert translated("udp", FAR, False) == "nat"


@pytest.mark.parametrize(
    ("incoming", "verdict", "certain"),
    [
        (packet(PEER, US, "udp", 500, in_device="eth0"), "accept", False),
        (packet(OTHER, US, "udp", 500, in_device="eth0"), "drop", True),
        (packet(OTHER, US, "esp", in_device="eth0"), "accept", True),
    ],
)
def test_iptables_at_the_input(incoming, verdict, certain):
    fate = IPTABLES.fate(incoming, "input")
    assert (fate.verdict, fate.certain) == (verdict, certain)


def test_iptables_forwarding_and_nat():
    assert IPTABLES.fate(packet(FAR, LAN, "tcp", 80, ipsec=True), "forward").verdict == "accept"
    assert IPTABLES.fate(packet(FAR, LAN, "tcp", 80), "forward").verdict == "drop"
    assert IPTABLES.fate(packet(FAR, LAN, "tcp", 80, state="established"), "forward").verdict == "accept"
    out = packet(LAN, FAR, "tcp", 80, out_device="wan")
    assert IPTABLES.fate(out, "postrouting", "nat").verdict == "nat"
    inside = packet(LAN, FAR, "tcp", 80, out_device="wan", ipsec=True)
    assert IPTABLES.fate(inside, "postrouting", "nat").verdict == "accept"


def test_a_network_that_a_rule_covers_in_part_is_in_doubt():
    rules = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -s 192.168.10.128/25 -j DROP\n"
    fate = read_iptables(rules).fate(packet(LAN, FAR, "tcp"), "forward")
    assert (fate.verdict, fate.certain) == ("accept", False)


def test_a_host_without_rules_lets_everything_pass():
    assert Filter().fate(packet(LAN, FAR, "tcp"), "forward") == Fate("accept")
    assert read_nftables('{"nftables": []}') == Filter()
    assert read_iptables("") == Filter()


def test_one_chain_that_drops_is_enough():
    assert merge([NFTABLES, IPTABLES]).fate(packet(FAR, LAN, "tcp", 80, ipsec=True), "forward").verdict == "accept"
    both = merge([read_iptables("*filter\n:FORWARD DROP [0:0]\n"), NFTABLES])
    assert both.fate(packet(FAR, LAN, "tcp", 80, ipsec=True), "forward").verdict == "drop"


def test_tables_that_iptables_owns_are_read_once():
    told = tables_of((SAMPLES / "iptables-save.txt").read_text())
    assert told == {"ip filter", "ip nat"}
    assert tables_of("# Generated by iptables-save v1.8.9\n*filter\n") == frozenset()
    assert not any(
        chain.table == "ip nat" for chain in read_nftables((SAMPLES / "ruleset.json").read_text(), told).chains
    )


def test_a_table_that_iptables_shows_in_part_is_read_from_nftables():
    shown = """\
# Table `nat' contains incompatible base-chains, use 'nft' tool to list them.
# Generated by iptables-nft-save v1.8.9 (nf_tables)
*nat
:POSTROUTING ACCEPT [0:0]
COMMIT
# Generated by iptables-nft-save v1.8.9 (nf_tables)
*filter
:INPUT ACCEPT [0:0]
"""
    assert tables_of(shown) == {"ip filter"}
    assert tables_of(shown, 6) == {"ip6 filter"}


@pytest.mark.parametrize("text", ["no json", '{"nftables": '])
def test_what_is_not_json_is_an_error(text):
    with pytest.raises(ValueError):
        read_nftables(text)


def test_chains_that_jump_in_circles_end():
    rules = "*filter\n:FORWARD ACCEPT [0:0]\n:a - [0:0]\n-A FORWARD -j a\n-A a -j a\n"
    assert read_iptables(rules).fate(packet(LAN, FAR, "tcp"), "forward").verdict == "accept"


GATEWAY = read_nftables((SAMPLES / "gateway.json").read_text())  # what the role loads, as nft 1.0.6 prints it


def test_the_gateways_own_rules_are_understood():
    leaving = packet(LAN, FAR, "tcp", 80, out_device="wan", ipsec=True)
    assert GATEWAY.fate(leaving, "postrouting", "nat").certain
    for one in (leaving, packet(FAR, LAN, "tcp", 80)):
        assert GATEWAY.clamps(one) and GATEWAY.fate(one, "forward").verdict == "accept"
    assert not GATEWAY.clamps(packet(LAN, OTHER, "tcp", 80))
    (clamp,) = (chain for chain in GATEWAY.chains if chain.name == "clamp")
    assert clamp.rules[0].text == "tcp flags & { syn, rst } != syn return"


def exempted(*, priority):
    """The gateway's own exemption, as nft prints it, beside a masquerade in iptables' nat table (priority 100)."""
    saddr, daddr = ({"payload": {"protocol": "ip", "field": field}} for field in ("saddr", "daddr"))
    networks = ({"prefix": {"addr": address, "len": 24}} for address in ("192.168.10.0", "192.168.20.0"))
    match = [{"match": {"op": "==", "left": left, "right": right}} for left, right in zip((saddr, daddr), networks)]
    names = {"family": "inet", "table": "tanuki_ipsec"}
    chain = {**names, "name": "exempt", "type": "nat", "hook": "postrouting", "prio": priority, "policy": "accept"}
    rule = {**names, "chain": "exempt", "expr": [*match, {"snat": {"family": "ip", "addr": saddr}}]}
    masquerade = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n"
    return merge(
        [read_nftables(json.dumps({"nftables": [{"chain": chain}, {"rule": rule}]})), read_iptables(masquerade)]
    )


def test_a_source_that_is_kept_first_is_not_masqueraded_later():
    leaving = packet(LAN, FAR, "tcp", 80, out_device="wan")
    assert exempted(priority=90).fate(leaving, "postrouting", "nat").verdict == "accept"
    assert (
        exempted(priority=90).fate(packet(LAN, OTHER, "tcp", 80, out_device="wan"), "postrouting", "nat").verdict
        == "nat"
    )


def test_a_source_that_was_masqueraded_first_can_not_be_kept_later():
    leaving = packet(LAN, FAR, "tcp", 80, out_device="wan")
    assert exempted(priority=110).fate(leaving, "postrouting", "nat").verdict == "nat"
