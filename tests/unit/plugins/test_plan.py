"""The plan: what an inventory becomes, and what is said of one that can't become anything."""

from __future__ import annotations

import ipaddress
import time

import pytest
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError, index_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import Paths
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan, warnings
from hypothesis import given
from hypothesis import strategies as st

TOKYO = {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"]}
OSAKA = {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"]}
KYOTO = {"ipsec_address": "210.33.33.33", "ipsec_networks": ["192.168.30.0/24", "2001:db8:30::/64"]}
SITES = {"tokyo": TOKYO, "osaka": OSAKA, "kyoto": KYOTO}


def with_topology(topology: object, sites: dict = SITES) -> dict:
    return {name: {**variables, "ipsec_topology": topology} for name, variables in sites.items()}


def pairs(plan) -> list[tuple[str, str]]:
    return [(tunnel.first.name, tunnel.second.name) for tunnel in plan.tunnels]


def problems(variables: dict) -> list[str]:
    with pytest.raises(InventoryError) as caught:
        make_plan(variables)
    return [str(problem) for problem in caught.value.problems]


def test_two_sites_see_one_tunnel_from_both_ends():
    plan = make_plan({"tokyo": TOKYO, "osaka": OSAKA})
    (tokyo,), (osaka,) = plan.ends["tokyo"], plan.ends["osaka"]
    assert (tokyo.name, osaka.name) == ("osaka", "tokyo")
    assert tokyo.local == osaka.peer and tokyo.peer == osaka.local and tokyo.profile is osaka.profile
    assert tokyo.networks == [(ipaddress.ip_network("192.168.10.0/24"), ipaddress.ip_network("192.168.20.0/24"))]
    assert [tokyo.initiates, osaka.initiates] == [False, True]


def test_mesh_joins_every_pair():
    assert pairs(make_plan(SITES)) == [("kyoto", "osaka"), ("kyoto", "tokyo"), ("osaka", "tokyo")]


def test_hub_joins_every_site_to_each_hub():
    assert pairs(make_plan(with_topology({"type": "hub", "hubs": ["osaka"]}))) == [
        ("kyoto", "osaka"),
        ("osaka", "tokyo"),
    ]


def test_pairs_joins_these_only_and_each_once():
    topology = {"type": "pairs", "pairs": [["tokyo", "kyoto"], ["kyoto", "tokyo"]]}
    assert pairs(make_plan(with_topology(topology))) == [("kyoto", "tokyo")]


def test_networks_of_different_families_are_not_paired():
    (end,) = make_plan({"kyoto": KYOTO, "osaka": OSAKA}).ends["kyoto"]
    assert [(str(ours), str(theirs)) for ours, theirs in end.networks] == [("192.168.30.0/24", "192.168.20.0/24")]


def test_one_site_alone_has_no_tunnels():
    assert make_plan({"tokyo": TOKYO}).ends["tokyo"] == ()


def test_a_profile_given_as_a_number_is_its_name():
    assert make_plan({"tokyo": {**TOKYO, "ipsec_profile": 2007}}).sites["tokyo"].profile.name == "2007"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"ipsec_address": None},
            "tokyo: ipsec_address: the site has no public address; say 'unknown' where it isn't known",
        ),
        ({"ipsec_address": "210.11.11.300"}, "tokyo: ipsec_address: '210.11.11.300' is not an IPv4 or IPv6 address"),
        ({"ipsec_address": "210.22.22.22"}, "tokyo: ipsec_address: 210.22.22.22 is osaka's already"),
        ({"ipsec_networks": ["192.168.20.0/24"]}, "tokyo: ipsec_networks: 192.168.20.0/24 is osaka's already"),
        (
            {"ipsec_networks": ["192.168.10.5/24"]},
            "tokyo: ipsec_networks: '192.168.10.5/24' has host bits set: 192.168.10.0/24 is meant?",
        ),
        (
            {"ipsec_networks": ["192.168.10.0"]},
            "tokyo: ipsec_networks: '192.168.10.0' has no prefix length such as /32",
        ),
        (
            {"ipsec_networks": ["lan"]},
            "tokyo: ipsec_networks: 'lan' is not a network such as 192.168.10.0/24",
        ),
        (
            {"ipsec_networks": "192.168.10.0/24"},
            "tokyo: ipsec_networks: a list of one network or more is needed, for example [192.168.10.0/24]",
        ),
        (
            {"ipsec_networks": ["192.168.10.0/24", "192.168.10.0/24"]},
            "tokyo: ipsec_networks: 192.168.10.0/24 is listed twice",
        ),
        (
            {"ipsec_networks": ["2001:db8::/64"]},
            "tokyo: ipsec_networks: no network of the same family (IPv4, IPv6) as any of osaka's",
        ),
        (
            {"ipsec_address": "2001:db8::1"},
            "tokyo: ipsec_address: 2001:db8::1 here, 210.22.22.22 at osaka: one tunnel can't join IPv4 and IPv6",
        ),
        ({"ipsec_profile": "strong"}, "tokyo: ipsec_profile: no profile 'strong'; there are: modern, 2007, ikev1-aes"),
        (
            {"ipsec_profile": "ikev1-aes"},
            "tokyo: ipsec_profile: ikev1-aes here, modern at osaka: both ends of a tunnel need the same",
        ),
        ({"ipsec_topology": "pairs"}, "tokyo: ipsec_topology: differs from osaka's: set it once, for the whole group"),
    ],
)
def test_a_wrong_value_is_named_with_its_host_and_variable(change, message):
    assert message in problems({"tokyo": {**TOKYO, **change}, "osaka": OSAKA})


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ("star", "'star' is none of: mesh, {type: hub, hubs: […]}, {type: pairs, pairs: […]}"),
        ({"type": "hub"}, "a topology of type hub needs hubs: [NAME, …]"),
        ({"type": "hub", "hubs": ["nara"]}, "'nara' is not a site of the inventory; there are: kyoto, osaka, tokyo"),
        ({"type": "hub", "hubs": ["osaka"], "pairs": []}, "a topology of type hub has no 'pairs'"),
        ({"type": "pairs", "pairs": [["osaka", "osaka"]]}, "['osaka', 'osaka'] is not a pair of two different sites"),
        (
            {"type": "pairs", "pairs": [["osaka", "nara"]]},
            "'nara' is not a site of the inventory; there are: kyoto, osaka, tokyo",
        ),
    ],
)
def test_a_wrong_topology_is_named(topology, message):
    assert problems(with_topology(topology)) == ["all sites: ipsec_topology: " + message]


def test_all_problems_are_reported_at_once():
    assert len(problems({"tokyo": {}, "osaka": {"ipsec_address": "x", "ipsec_networks": ["y"]}})) == 4


def test_two_names_that_become_one_index_are_refused():
    variables = {"gw.tokyo": TOKYO, "gw-tokyo": OSAKA}
    assert problems(variables) == ["gw.tokyo: inventory_hostname: the index 'gw_tokyo' is gw-tokyo's already"]


def test_weak_algorithms_and_overlaps_are_warned_about():
    wide = {"ipsec_address": "210.44.44.44", "ipsec_networks": ["192.168.0.0/16"]}
    weak = {"ipsec_profile": "2007"}
    found = warnings(make_plan({"tokyo": {**TOKYO, **weak}, "nara": {**wide, **weak}}).ends["nara"])
    assert any("3des_cbc: 64-bit block" in text for text in found)
    assert "192.168.0.0/16 of nara overlaps 192.168.10.0/24 of tokyo: the tunnel takes what lies in both" in found


@given(st.text(min_size=1, max_size=20))
def test_every_name_becomes_an_index_of_the_language(name):
    index = index_of(name)
    assert index[0] in "abcdefghijklmnopqrstuvwxyz"
    assert set(index) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


@pytest.mark.parametrize("name", ["esp", "main", "policy"])
def test_a_reserved_word_is_no_index(name):
    assert index_of(name) == "site_" + name


def test_a_thousand_spokes_are_planned_in_two_seconds():
    variables = {
        f"site{number}": {
            "ipsec_address": str(ipaddress.ip_address("100.64.0.0") + number),
            "ipsec_networks": [f"10.{number // 250}.{number % 250}.0/24"],
            "ipsec_topology": {"type": "hub", "hubs": ["site0"]},
        }
        for number in range(1000)
    }
    start = time.perf_counter()
    assert len(make_plan(variables).ends["site0"]) == 999
    assert time.perf_counter() - start < 2


def test_a_site_that_somebody_else_manages_is_planned_as_any_other():
    plan = make_plan({"kyoto": {**KYOTO, "ipsec_managed": False}, "osaka": OSAKA, "tokyo": TOKYO})
    assert pairs(plan) == [("kyoto", "osaka"), ("kyoto", "tokyo"), ("osaka", "tokyo")]
    assert [end.initiates for end in plan.ends["kyoto"]] == [False, False], "it can't be asked to"
    assert [end.initiates for end in plan.ends["osaka"]] == [True, True]


def test_esp_in_udp_that_one_end_forces_takes_its_room_at_both():
    plain = make_plan({"osaka": OSAKA, "tokyo": TOKYO})
    forced = make_plan({"osaka": OSAKA, "tokyo": {**TOKYO, "ipsec_force_encapsulation": True}})
    assert [end.encapsulated for ends in plain.ends.values() for end in ends] == [False, False]
    assert [end.encapsulated for ends in forced.ends.values() for end in ends] == [True, True]


def test_what_a_site_decides_for_itself_is_in_its_configuration_alone():
    own = {"ipsec_close": "restart", "ipsec_dpd": "clear", "ipsec_reauth_seconds": "7200"}
    plan = make_plan({"osaka": OSAKA, "tokyo": {**TOKYO, **own}})
    texts = {name: configuration_text(plan.sites[name], plan.ends[name], Paths()) for name in ("osaka", "tokyo")}
    said = ["close_action restart;", "dpd_action clear;", "kmp_sa_reauth_time 7200 sec;"]
    assert [line in texts["tokyo"] for line in said] == [True] * 3
    assert [line in texts["osaka"] for line in said] == [False] * 3


def test_what_others_have_between_them_is_not_planned():
    sites = {"kyoto": {**KYOTO, "ipsec_managed": "no"}, "osaka": {**OSAKA, "ipsec_managed": False}, "tokyo": TOKYO}
    assert pairs(make_plan(sites)) == [("kyoto", "tokyo"), ("osaka", "tokyo")]


def test_a_site_behind_nat_has_an_address_of_its_own_and_begins():
    plan = make_plan({"tokyo": {**TOKYO, "ipsec_own_address": "10.0.0.2"}, "osaka": OSAKA})
    (end,) = plan.ends["tokyo"]
    assert (str(end.local.own_address), str(end.local.address), end.initiates) == ("10.0.0.2", "210.11.11.11", True)
    assert plan.sites["osaka"].own_address == plan.sites["osaka"].address


def test_a_tunnel_may_have_a_profile_of_its_own():
    sites = {
        name: {**site, "ipsec_tunnel_profiles": {"tokyo--osaka": "ikev1-aes"}, "ipsec_profile": "2007"}
        for name, site in SITES.items()
    }
    profiles = {(tunnel.first.name, tunnel.second.name): tunnel.profile.name for tunnel in make_plan(sites).tunnels}
    assert profiles == {("kyoto", "osaka"): "2007", ("kyoto", "tokyo"): "2007", ("osaka", "tokyo"): "ikev1-aes"}


def test_a_tunnels_own_profile_joins_sites_of_different_ones():
    sites = {"tokyo": {**TOKYO, "ipsec_profile": "ikev1-aes"}, "osaka": OSAKA}
    shared = {"ipsec_tunnel_profiles": {"osaka--tokyo": 2007}}
    (tunnel,) = make_plan({name: {**site, **shared} for name, site in sites.items()}).tunnels
    assert tunnel.profile.name == "2007"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["x"], "a dictionary is needed: {SITE--SITE: PROFILE}"),
        ({"tokyo--nara": "2007"}, "'tokyo--nara' is not SITE--SITE of two sites that are joined"),
        ({"tokyo": "2007"}, "'tokyo' is not SITE--SITE of two sites that are joined"),
        ({"tokyo--osaka": "2007", "osaka--tokyo": "2007"}, "'osaka--tokyo' is there twice"),
        ({"tokyo--osaka": "x"}, "tokyo--osaka: no profile 'x'; there are: modern, 2007, ikev1-aes"),
    ],
)
def test_wrong_profiles_of_tunnels_are_named(value, message):
    sites = {name: {**site, "ipsec_tunnel_profiles": value} for name, site in SITES.items()}
    assert problems(sites) == ["all sites: ipsec_tunnel_profiles: " + message]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ipsec_managed": "perhaps"}, "tokyo: ipsec_managed: 'perhaps' is neither true nor false"),
        ({"ipsec_start": "now"}, "tokyo: ipsec_start: 'now' is neither trap nor start"),
        ({"ipsec_close": "start"}, "tokyo: ipsec_close: 'start' is neither trap nor restart nor clear"),
        ({"ipsec_dpd": "none"}, "tokyo: ipsec_dpd: 'none' is neither trap nor restart nor clear"),
        ({"ipsec_reauth_seconds": "1h"}, "tokyo: ipsec_reauth_seconds: '1h' is no number from 0 to 31536000"),
        ({"ipsec_replay_window": 9999}, "tokyo: ipsec_replay_window: 9999 is no number from 0 to 4096"),
        ({"ipsec_replay_window": True}, "tokyo: ipsec_replay_window: True is no number from 0 to 4096"),
        ({"ipsec_force_encapsulation": 7}, "tokyo: ipsec_force_encapsulation: 7 is neither true nor false"),
        ({"ipsec_own_address": "lan"}, "tokyo: ipsec_own_address: 'lan' is not an IPv4 or IPv6 address"),
        ({"ipsec_own_address": "fd00::1"}, "tokyo: ipsec_own_address: fd00::1 is not of the family of 210.11.11.11"),
    ],
)
def test_wrong_values_of_unusual_sites_are_named(change, message):
    assert message in problems({"tokyo": {**TOKYO, **change}, "osaka": OSAKA})
