"""What's questionable in a plan, and how the plan is shown."""

from __future__ import annotations

import ipaddress
import json

import pytest
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.controller import NoPlace, beside_inventory, management
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.lint import Management, lint
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan_view import plan_data, plan_text

HUB = {"type": "hub", "hubs": ["tokyo"]}
ADDRESSES = {"tokyo": "210.11.11.11", "osaka": "210.22.22.22", "nara": "210.33.33.33"}


def plan_with(topology="mesh", **networks):
    return make_plan(
        {
            name: {
                "ipsec_address": ADDRESSES[name],
                "ipsec_networks": list(own),
                "ipsec_topology": topology,
                "ipsec_profile": "ikev1-aes",
            }
            for name, own in networks.items()
        }
    )


def texts(plan, **ways):
    found = {
        name: Management(*(ipaddress.ip_address(address) if address else None for address in way))
        for name, way in ways.items()
    }
    return [str(finding) for finding in lint(plan, found)]


PLAIN = {"tokyo": ["192.168.10.0/24"], "osaka": ["192.168.20.0/24"]}


def test_a_plain_plan_has_no_finding():
    assert texts(plan_with(**PLAIN), tokyo=("210.11.11.11", "203.0.113.1"), osaka=("192.168.20.1", None)) == []


def test_a_selector_that_captures_the_controllers_way_is_found():
    plan = plan_with(tokyo=["192.168.10.0/24"], osaka=["192.168.20.0/24", "10.9.0.0/16"])
    (found,) = texts(plan, tokyo=("192.168.10.1", "10.9.0.7"))
    assert found == (
        "warning: tokyo: the selector 192.168.10.0/24 to 10.9.0.0/16 captures the management address 192.168.10.1: "
        "without a tunnel to osaka, the site is out of reach"
    )
    assert texts(plan, tokyo=("192.168.10.1", "10.8.0.7")) == [], "the controller is elsewhere"
    assert texts(plan, tokyo=("203.0.113.5", "10.9.0.7")) == [], "it is reached by another address"


def test_everything_through_the_hub_captures_a_controller_wherever_it_is():
    plan = plan_with(HUB, tokyo=["0.0.0.0/0"], osaka=["192.168.20.0/24"])
    (found,) = texts(plan, osaka=("192.168.20.1", None))
    assert "the selector 192.168.20.0/24 to 0.0.0.0/0 captures" in found


def test_a_tunnel_around_its_own_gateways_is_found():
    (found,) = texts(plan_with(tokyo=["210.11.0.0/16"], osaka=["210.22.0.0/16"]))
    assert "covers the gateways themselves, 210.22.22.22 and 210.11.11.11" in found


def test_networks_inside_others_are_found_whoever_is_joined():
    plan = plan_with(HUB, tokyo=["172.16.0.0/24"], osaka=["10.0.0.0/8"], nara=["10.1.0.0/16", "10.1.2.0/24"])
    assert texts(plan) == [
        "warning: nara: 10.1.0.0/16 lies in 10.0.0.0/8 of osaka: a site that knows both sends to the more specific one"
    ]


def test_a_default_route_overlaps_nobody():
    assert texts(plan_with(HUB, tokyo=["0.0.0.0/0"], osaka=["192.168.20.0/24"])) == []


def test_a_weak_profile_is_said_once_with_the_number_of_its_tunnels():
    weak = {"ipsec_profile": "2007"}
    sites = {name: {"ipsec_address": ADDRESSES[name], "ipsec_networks": PLAIN[name], **weak} for name in PLAIN}
    plan = make_plan(sites)
    found = texts(plan)
    assert found and all(text.startswith("warning: profile 2007: ") for text in found)
    assert any("3des_cbc" in text and text.endswith("(tunnels: 1)") for text in found)


def test_lonely_sites_and_networks_are_noted_after_the_warnings():
    pairs = {"type": "pairs", "pairs": [["tokyo", "osaka"]]}
    plan = plan_with(pairs, tokyo=["10.1.0.0/16", "2001:db8::/64"], osaka=["10.0.0.0/8"], nara=["172.16.0.0/24"])
    assert [text.partition(":")[0] for text in texts(plan)] == ["warning", "note", "note"]
    assert texts(plan)[1:] == [
        "note: nara: no tunnel: the topology joins it to nobody",
        "note: tokyo: 2001:db8::/64 is in no tunnel: no peer has a network of its family",
    ]


def test_the_text_shows_what_the_data_holds():
    plan = plan_with(**PLAIN)
    data = plan_data(plan, lint(plan, {}))
    assert json.loads(json.dumps(data)) == data
    assert plan_text(data) == (
        "Sites (2)\n"
        "  osaka  210.22.22.22  192.168.20.0/24\n"
        "  tokyo  210.11.11.11  192.168.10.0/24\n"
        "\n"
        "Tunnels (1)\n"
        "  osaka -- tokyo  ikev1-aes  192.168.20.0/24 = 192.168.10.0/24\n"
        "\n"
        "Findings (0)\n"
    )


def test_sites_are_managed_at_their_addresses_not_at_names():
    found = management({"tokyo": {"ansible_host": "127.0.0.1"}, "osaka": {"ansible_host": "gw.example"}, "nara": {}})
    assert found == {"tokyo": Management(ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("127.0.0.1"))}


def test_a_relative_folder_needs_an_inventory_with_one(tmp_path):
    assert beside_inventory("psk", {"inventory_dir": str(tmp_path)}) == tmp_path / "psk"
    with pytest.raises(NoPlace, match="'psk' is relative"):
        beside_inventory("psk", {})
