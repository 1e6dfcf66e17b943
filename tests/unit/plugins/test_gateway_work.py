"""The packet filter's rules for the tunnels' traffic: what they say, and the arithmetic of what fits a tunnel."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.gateway_script import script_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.gateway_work import (
    GatewayWork,
    Traffic,
    iptables_rules,
    nftables_rules,
    traffic_of,
)
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.overhead import inner_mtu, maximum_segment
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.profiles import PROFILES


def plan(tokyo=None, osaka=None):
    sites = {
        "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24", "fd00:10::/64"]},
        "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24", "fd00:20::/64"]},
    }
    sites["tokyo"].update(tokyo or {})
    sites["osaka"].update(osaka or {})
    return make_plan(sites)


@pytest.mark.parametrize(
    ("profile", "path_mtu", "version", "encapsulated", "mtu"),
    [
        ("modern", 1500, 4, False, 1446),
        ("modern", 1492, 4, False, 1438),
        ("modern", 1492, 4, True, 1430),
        ("modern", 1492, 6, False, 1418),
        ("ikev1-aes", 1500, 4, False, 1438),
        ("ikev1-aes", 1492, 4, False, 1422),
        ("ikev1-aes", 1492, 4, True, 1422),
        ("ikev1-aes", 1454, 4, True, 1374),
        ("2007", 1500, 4, False, 1446),
        ("2007", 1492, 4, False, 1438),
    ],
)
def test_what_a_tunnel_carries(profile, path_mtu, version, encapsulated, mtu):
    assert inner_mtu(PROFILES[profile].cryptography, path_mtu, version, encapsulated) == mtu


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("encapsulated", [False, True])
def test_the_largest_packet_fits_the_path_and_the_next_does_not(profile, encapsulated):
    """Against the format itself (RFC 4303 2): the length of the ESP packet that carries so many bytes."""
    blocks = {"modern": (4, 8, 16), "ikev1-aes": (16, 16, 16), "2007": (8, 8, 12)}
    block, iv, tag = blocks[profile]

    def length(carried):
        return 20 + 8 * encapsulated + 8 + iv + -(-(carried + 2) // block) * block + tag

    for path_mtu in range(1400, 1501):
        carried = inner_mtu(PROFILES[profile].cryptography, path_mtu, 4, encapsulated)
        assert length(carried) <= path_mtu < length(carried + 1)


def test_nat_between_the_gateways_and_the_narrower_line_count():
    (end,) = plan().ends["tokyo"]
    assert (maximum_segment(end, 4), maximum_segment(end, 6)) == (1398, 1378)
    (end,) = plan({"ipsec_own_address": "10.0.0.2"}, {"ipsec_path_mtu": 1454}).ends["osaka"]
    assert end.encapsulated and end.path_mtu == 1454 and maximum_segment(end, 4) == 1350


@pytest.mark.parametrize("value", ["fast", 575, 65536, 1500.5])
def test_a_path_mtu_that_is_none_is_refused(value):
    with pytest.raises(InventoryError, match=r"tokyo: ipsec_path_mtu: .* is not a number of bytes from 576 to 65535"):
        plan({"ipsec_path_mtu": value})


def test_tunnels_of_one_segment_size_are_one_and_networks_that_touch_too():
    hub = make_plan(
        {
            "hub": {"ipsec_address": "203.0.113.200", "ipsec_networks": ["192.168.0.0/24"]},
            **{
                f"spoke{number}": {
                    "ipsec_address": f"203.0.113.{number}",
                    "ipsec_networks": [f"10.0.{number}.0/24"],
                    "ipsec_path_mtu": 1454 if number == 9 else 1492,
                }
                for number in (2, 3, 9)
            },
        }
    )
    assert traffic_of(hub.ends["hub"]) == [
        Traffic(4, ("192.168.0.0/24",), ("10.0.9.0/24",), 1358),
        Traffic(4, ("192.168.0.0/24",), ("10.0.2.0/23",), 1398),
    ]


def test_nftables_rules():
    rules = nftables_rules(GatewayWork(ftp_helper=True), traffic_of(plan().ends["tokyo"]))
    ways = "ip saddr { 192.168.10.0/24 } ip daddr { 192.168.20.0/24 }"
    back = "ip saddr { 192.168.20.0/24 } ip daddr { 192.168.10.0/24 }"
    for line in (
        ways + " snat ip to ip saddr",
        back + " snat ip to ip saddr",
        "ip6 saddr { fd00:10::/64 } ip6 daddr { fd00:20::/64 } snat ip6 to ip6 saddr",
        ways + " tcp option maxseg size set 1398",
        back + " tcp option maxseg size set 1398",
        ways + " rt ipsec exists tcp option maxseg size set rt mtu",
        'ip6 saddr { fd00:20::/64 } ip6 daddr { fd00:10::/64 } tcp dport 21 ct helper set "ftp"',
    ):
        assert "\t\t{}\n".format(line) in rules


def test_iptables_rules():
    work, traffic = GatewayWork(ftp_helper=True), traffic_of(plan().ends["tokyo"])
    rules = iptables_rules(work, traffic, 4)
    assert rules["nat"] == [
        "-A TANUKI_IPSEC -s 192.168.10.0/24 -d 192.168.20.0/24 -j ACCEPT",
        "-A TANUKI_IPSEC -s 192.168.20.0/24 -d 192.168.10.0/24 -j ACCEPT",
    ]
    assert [rule.rpartition(" -j ")[2] for rule in rules["mangle"]] == [
        "TCPMSS --set-mss 1398",
        "TCPMSS --set-mss 1398",
        "TCPMSS --clamp-mss-to-pmtu",
    ]
    assert len(rules["raw"]) == 2
    assert not any(iptables_rules(GatewayWork(False, False), traffic, 6).values())


def test_a_hub_that_is_the_way_into_the_world_goes_on_masquerading_for_its_peers():
    """A network of 0.0.0.0/0: what comes from the peers to there leaves by the hub's own address."""
    everything = plan({"ipsec_networks": ["0.0.0.0/0"]})
    (hub,) = traffic_of(everything.ends["tokyo"])
    assert list(hub.untranslated()) == [(("0.0.0.0/0",), ("192.168.20.0/24",))]
    (spoke,) = traffic_of(everything.ends["osaka"])
    assert next(spoke.untranslated()) == (("192.168.20.0/24",), ("0.0.0.0/0",))


@pytest.mark.parametrize(
    ("work", "there", "absent"),
    [
        (GatewayWork(), ("in nftables iptables nothing;", "snat", "-j ACCEPT", "maxseg"), ("ct helper",)),
        (GatewayWork(packet_filter="nftables"), ("in nftables;", "snat"), ("-j ACCEPT",)),
        (GatewayWork(packet_filter="iptables", ftp_helper=True), ("-j CT", "-j ACCEPT"), ("snat",)),
        (GatewayWork(nat_exemption=False), ("maxseg",), ("snat", "-j ACCEPT")),
        (GatewayWork(False, False), ("in nothing;",), ("snat", "maxseg", "-j ACCEPT")),
    ],
)
def test_the_script_holds_what_is_asked_for_and_is_sound(work, there, absent):
    text = script_text(work, traffic_of(plan().ends["tokyo"]))
    assert [word for word in there if word not in text] == [] and [word for word in absent if word in text] == []
    checked = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_other_rules_have_another_mark():
    traffic = traffic_of(plan().ends["tokyo"])
    texts = {script_text(work, traffic) for work in (GatewayWork(), GatewayWork(mss_clamp=False))}
    marks = {text.partition("chain loaded_")[2].partition(" ")[0] for text in texts}
    assert len(marks) == 2 and all(len(mark) == 12 for mark in marks)
