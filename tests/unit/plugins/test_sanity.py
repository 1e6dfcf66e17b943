"""What around a tunnel keeps traffic out of it: each check holds, fails, or says that it doesn't know."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace

import pytest
from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_tunnels import ipsec_tunnels
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.conntrack import read_translated
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.iptables import read_iptables
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.network import (
    Link,
    Lookup,
    Route,
    Surroundings,
    read_addresses,
    read_filter,
    read_links,
    read_routes,
    sample,
)
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.packet_filter import Filter
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.sanity import check_segments, check_tunnel, ways
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.survey import survey
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import expectation

from tests.unit.plugins.told import INVENTORY, policies, policy

(DATA,) = ipsec_tunnels(INVENTORY, "tokyo", list(INVENTORY))
EXPECTED = expectation(DATA)
INNER_NETWORK, FAR = "192.168.10.0/24", "192.168.20.0/24"
INNER = ("192.168.10.1", "192.168.20.254")
OUTER = ("210.11.11.11", "210.22.22.22")
HEALTHY = Surroundings(
    links=(Link("wan", mtu=1500, up=True), Link("lan", mtu=1500, up=True), Link("tunl0", "ipip")),
    addresses=(
        ("wan", ipaddress.ip_interface("210.11.11.11/24")),
        ("lan", ipaddress.ip_interface("192.168.10.1/24")),
    ),
    routes={FAR: ()},
    lookups={
        INNER: Lookup(Route("192.168.20.254", device="wan", gateway="210.11.11.1")),
        OUTER: Lookup(Route("210.22.22.22", device="wan", gateway="210.11.11.1")),
    },
    settings={
        "net/ipv4/ip_forward": "1",
        "net/ipv4/conf/all/rp_filter": "0",
        "net/ipv4/conf/wan/rp_filter": "1",
        "net/ipv4/conf/wan/disable_xfrm": "0",
    },
    filter=Filter(),
    policies=tuple(policies("tokyo")),
)


def states(around):
    return {(check.name, check.state) for check in check_tunnel(around, EXPECTED) if check.state != "holds"}


def failing(around):
    return sorted(name for name, state in states(around) if state == "fails")


def with_settings(**values):
    return replace(HEALTHY, settings={**HEALTHY.settings, **values})


def rules(text):
    return replace(HEALTHY, filter=read_iptables(text))


def test_a_healthy_gateway_passes_every_check():
    checks = check_tunnel(HEALTHY, EXPECTED)
    assert {check.state for check in checks} == {"holds"}
    assert {check.name for check in checks} == {
        "leftover_tunnel", "route", "forwarding", "rp_filter",
        "masquerade", "forward_filter", "ike_filter", "esp_filter",
    }  # fmt: skip


@pytest.mark.parametrize(
    "link",
    [Link("gif0", "ipip", "210.22.22.22"), Link("vti0", "vti", "210.22.22.22"), Link("g", "gre", "210.22.22.22")],
)
def test_a_device_that_leads_to_the_peer_is_left_over(link):
    assert failing(replace(HEALTHY, links=(*HEALTHY.links, link))) == ["leftover_tunnel"]


def test_a_device_that_leads_elsewhere_is_not():
    assert failing(replace(HEALTHY, links=(*HEALTHY.links, Link("gre1", "gre", "198.51.100.1")))) == []


def test_a_device_without_a_far_end_is_left_over_where_a_route_goes_through_it():
    around = replace(HEALTHY, links=(*HEALTHY.links, Link("gif0", "ipip")), routes={FAR: (Route(FAR, device="gif0"),)})
    assert failing(around) == ["leftover_tunnel"]


@pytest.mark.parametrize(
    "route", [Route(FAR, "unreachable"), Route("192.168.20.0/25", "blackhole"), Route("192.168.20.1", "local", "lan")]
)
def test_a_route_that_takes_the_far_network_away(route):
    assert failing(replace(HEALTHY, routes={FAR: (route,)})) == ["route"]


def test_a_plain_route_to_the_far_network_does_no_harm():
    """The policy applies whatever the next hop: seen in tests/faults."""
    assert failing(replace(HEALTHY, routes={FAR: (Route(FAR, device="wan", gateway="210.11.11.1"),)})) == []


def test_no_route_at_all():
    around = replace(HEALTHY, lookups={**HEALTHY.lookups, INNER: Lookup(error="RTNETLINK answers: No route to host")})
    assert failing(around) == ["route"]


def test_a_device_where_no_policy_applies():
    assert failing(with_settings(**{"net/ipv4/conf/wan/disable_xfrm": "1"})) == ["xfrm_disabled"]


def test_forwarding():
    assert failing(with_settings(**{"net/ipv4/ip_forward": "0"})) == ["forwarding"]
    unread = replace(HEALTHY, settings={})
    assert ("forwarding", "unsure") in states(unread)


@pytest.mark.parametrize(
    ("everywhere", "own", "harmful"), [("0", "1", True), ("1", "0", True), ("2", "1", False), ("0", "0", False)]
)
def test_a_strict_reverse_path_filter_harms_where_the_way_back_is_another(everywhere, own, harmful):
    values = {"net/ipv4/conf/all/rp_filter": everywhere, "net/ipv4/conf/wan/rp_filter": own}
    away = {**HEALTHY.lookups, OUTER: Lookup(Route("210.22.22.22", device="backup"))}
    assert failing(replace(with_settings(**values), lookups=away)) == (["rp_filter"] if harmful else [])
    assert failing(with_settings(**values)) == []


def shadow(**changes):
    wide = policy("out", "192.168.0.0/16", "192.168.0.0/16", OUTER)
    return replace(HEALTHY, policies=(*HEALTHY.policies, {**wide, "action": "bypass", "priority": 1, **changes}))


def test_a_policy_that_wins_over_the_tunnels():
    assert failing(shadow()) == ["policy_shadowed"]


@pytest.mark.parametrize(
    "changes",
    [
        {"priority": 5000},
        {"action": "ipsec"},
        {"selector": {"source": "192.168.10.0/25", "destination": "192.168.0.0/16", "protocol": 0}},
        {"selector": {"source": "192.168.0.0/16", "destination": "192.168.0.0/16", "protocol": 1}},
        {"selector": {"source": "::/0", "destination": "::/0", "protocol": 0}},
    ],
)
def test_policies_that_do_not(changes):
    assert failing(shadow(**changes)) == []


MASQUERADE = "*nat\n:POSTROUTING ACCEPT [0:0]\n{}-A POSTROUTING -o wan -j MASQUERADE\n"


@pytest.mark.parametrize(
    "rule", ["-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1398", "-j TCPMSS --clamp-mss-to-pmtu"]
)
@pytest.mark.parametrize("ways_clamped", [(), (INNER_NETWORK, FAR), (FAR, INNER_NETWORK)])
def test_segments_that_are_made_to_fit_in_one_direction_only(rule, ways_clamped):
    (way,) = ways(EXPECTED)
    where = "-s {} -d {} ".format(*ways_clamped) if ways_clamped else ""
    text = "*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD {}{}\nCOMMIT\n".format(where, rule)
    found = check_segments(replace(HEALTHY, filter=read_iptables(text)), way)
    assert sum(check.state == "unsure" for check in found) == (1 if ways_clamped else 0)


def test_segments_that_nobody_makes_fit_are_a_doubt():
    (way,) = ways(EXPECTED)
    assert {check.state for check in check_segments(HEALTHY, way)} == {"unsure"}
    assert {check.state for check in check_segments(replace(HEALTHY, filter=None), way)} == {"unsure"}


STALE = (
    "ipv4     2 udp      17 29 src=192.168.10.2 dst=192.168.20.2 sport=40000 dport=9 [UNREPLIED] "
    "src=192.168.20.2 dst=210.11.11.11 sport=9 dport=40000 mark=0 zone=0 use=2"
)


@pytest.mark.parametrize(
    ("line", "stale"),
    [
        (STALE, True),
        (STALE.removeprefix("ipv4     2 "), True),  # conntrack -L
        (STALE.replace("dst=210.11.11.11", "dst=192.168.10.2"), False),
        (STALE.replace("192.168.20.2", "8.8.8.8"), False),
        ("ipv4     2 icmp     1 29 src=192.168.10.2 dst=192.168.20.2 type=8 src=192.168.20.2 dst=210.11.11.11", False),
        ("", False),
    ],
)
def test_a_connection_that_is_still_translated(line, stale):
    around = replace(HEALTHY, translated=tuple(read_translated([line])))
    assert failing(around) == (["stale_translation"] if stale else [])


def test_masquerade_ahead_of_the_policy():
    assert failing(rules(MASQUERADE.format(""))) == ["masquerade"]


@pytest.mark.parametrize(
    "exemption",
    ["-m policy --dir out --pol ipsec -j ACCEPT", "-d 192.168.20.0/24 -j ACCEPT", "-d 192.168.0.0/16 -j RETURN"],
)
def test_masquerade_with_an_exemption(exemption):
    assert failing(rules(MASQUERADE.format("-A POSTROUTING {}\n".format(exemption)))) == []


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("-A INPUT -p udp --dport 500 -j DROP", "ike_filter"),
        ("-A OUTPUT -d 210.22.22.22 -p udp -j REJECT", "ike_filter"),
        ("-A INPUT -p esp -j DROP", "esp_filter"),
        ("-A FORWARD -i wan -j DROP", "forward_filter"),
    ],
)
def test_filters_that_drop(rule, name):
    chains = "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n"
    assert failing(rules(chains + rule + "\n")) == [name]


def test_a_filter_that_could_not_be_read_is_not_fine():
    unread = replace(HEALTHY, filter=None)
    assert states(unread) == {
        (name, "unsure") for name in ("masquerade", "forward_filter", "ike_filter", "esp_filter")
    }  # fmt: skip


# ---- The host's own words -------------------------------------------------------------------------------------------


def test_what_ip_prints():
    links = read_links(
        [
            {"ifname": "lo", "flags": ["LOOPBACK", "UP"], "mtu": 65536},
            {"ifname": "gif0", "flags": [], "mtu": 1480,
             "linkinfo": {"info_kind": "ipip", "info_data": {"remote": "210.22.22.22"}}},
            {"ifname": "tunl0", "linkinfo": {"info_kind": "ipip", "info_data": {"remote": "any"}}},
        ]
    )  # fmt: skip
    assert links == (
        Link("lo", mtu=65536, up=True), Link("gif0", "ipip", "210.22.22.22", 1480), Link("tunl0", "ipip"),
    )  # fmt: skip
    addresses = [{"ifname": "lan", "addr_info": [{"family": "inet", "local": "192.168.10.1", "prefixlen": 24}]}]
    assert read_addresses(addresses) == (("lan", ipaddress.ip_interface("192.168.10.1/24")),)
    assert read_routes([{"type": "unreachable", "dst": "192.168.20.0/25", "flags": []}]) == (
        Route("192.168.20.0/25", "unreachable"),
    )
    via = {"dst": "default", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "wan"}
    assert read_routes([via])[0].gateway == "fe80::1"


def test_a_host_where_no_command_runs_is_unsure_of_everything():
    look = Look(lambda words: (127, "", ""))
    around = survey(look, ways(EXPECTED), [])
    found = {check.state for check in check_tunnel(around, EXPECTED) if check.name in ("route", "rp_filter")}
    assert found == {"unsure"}
    assert "ip -j address show: not installed" in look.unseen


def test_output_that_is_no_json_is_noted():
    look = Look(lambda words: (0, "Usage: ip ...", ""))
    assert look.data("ip", "-j", "link") is None
    assert look.unseen[0].startswith("ip -j link: its output is no JSON")


def test_the_survey_asks_for_each_way_once():
    asked = []

    def run(words):
        asked.append(" ".join(words))
        addresses = [{"ifname": "lan", "addr_info": [{"local": "192.168.10.1", "prefixlen": 24}]}]
        return 0, json.dumps(addresses if "address" in words else []), ""

    survey(Look(run), ways(EXPECTED), [])
    assert "ip -j route get 192.168.20.254 from 192.168.10.1" in asked
    assert "ip -j route get 210.22.22.22 from 210.11.11.11" in asked
    assert len(asked) == len(set(asked))


def test_a_filter_that_one_may_not_read_is_not_taken_for_none(monkeypatch):
    def read_text(path, encoding):
        if path.name == "ip_tables_names":
            raise PermissionError(13, "Permission denied", str(path))
        raise FileNotFoundError(2, "No such file", str(path))

    monkeypatch.setattr("pathlib.Path.read_text", read_text)
    look = Look(lambda words: (0, '{"nftables": []}' if words[0] == "nft" else "", ""))
    assert read_filter(look) is None
    assert "Permission denied" in look.unseen[0]


def test_a_sample_of_a_network():
    assert str(sample(ipaddress.ip_network("10.0.0.0/8"))) == "10.255.255.254"
    assert str(sample(ipaddress.ip_network("10.0.0.1/32"))) == "10.0.0.1"
