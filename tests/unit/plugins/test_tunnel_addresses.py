"""A site with several WAN addresses: which tunnel runs from which, at both ends."""

from __future__ import annotations

import pytest
from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_tunnels import ipsec_tunnels
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.gather import meaning_of
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.__main__ import main
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.config.grammar import RACOON2, TANUKI
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import LINUX_PATHS
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan

from tests.unit.plugins.test_plan import OSAKA, SITES, TOKYO, problems

SECOND = "203.0.113.7"


def inventory(addresses, **site):
    sites = {name: {**variables, "ipsec_profile": "ikev1-aes"} for name, variables in SITES.items()}
    sites["tokyo"].update(site, ipsec_tunnel_addresses=addresses)
    return sites


@pytest.fixture
def sites():
    return inventory({"osaka": SECOND})


def addresses_of(plan, name, dialect):
    meaning = meaning_of(configuration_text(plan.sites[name], plan.ends[name], LINUX_PATHS, dialect))
    ends = {tunnel.remote: (str(tunnel.my_address), str(tunnel.peers_address)) for tunnel in meaning.tunnels}
    said = {remote.name: str(remote.ikev1.my_ids[0].value) for remote in meaning.remotes}
    return {one.address for one in meaning.listen}, ends, said


@pytest.mark.parametrize("dialect", [TANUKI, RACOON2])
def test_one_tunnel_has_the_second_address_at_both_ends(sites, dialect):
    plan = make_plan(sites)
    first = TOKYO["ipsec_address"]
    listens, ends, said = addresses_of(plan, "tokyo", dialect)
    assert listens == {first, SECOND}
    assert ends == {"kyoto": (first, "210.33.33.33"), "osaka": (SECOND, OSAKA["ipsec_address"])}
    assert said == {"kyoto": first, "osaka": SECOND}
    assert addresses_of(plan, "osaka", dialect)[1]["tokyo"] == (OSAKA["ipsec_address"], SECOND)
    assert addresses_of(plan, "kyoto", dialect)[1]["tokyo"] == ("210.33.33.33", first)


@pytest.mark.parametrize("peer", ["osaka", "kyoto"])
def test_both_ends_agree(sites, tmp_path, capsys, peer):
    plan = make_plan(sites)
    for name in ("tokyo", peer):
        (tmp_path / name).write_text(configuration_text(plan.sites[name], plan.ends[name], LINUX_PATHS))
    code = main(["check", "--no-files", "-f", str(tmp_path / "tokyo"), "--pair", str(tmp_path / peer)])
    assert code == 0, capsys.readouterr()


def test_the_proof_looks_for_it(sites):
    found = {one["name"]: (one["local"], one["peer"]) for one in ipsec_tunnels(sites, "tokyo", list(sites))}
    assert found["osaka"] == (SECOND, OSAKA["ipsec_address"])


def test_a_second_line_may_help_a_site_whose_first_address_is_unknown():
    plan = make_plan(inventory({"osaka": SECOND, "kyoto": SECOND}, ipsec_address="unknown"))
    assert {str(end.peer_address) for end in (*plan.ends["osaka"], *plan.ends["kyoto"])} >= {SECOND}


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        ({"nara": SECOND}, "tokyo: ipsec_tunnel_addresses: 'nara' is no site that it is joined to"),
        ({"osaka": "line2"}, "tokyo: ipsec_tunnel_addresses: 'line2' is not an IPv4 or IPv6 address"),
        ([SECOND], "tokyo: ipsec_tunnel_addresses: a dictionary is needed: {PEER: ADDRESS}"),
        ({"kyoto": OSAKA["ipsec_address"]}, "tokyo: ipsec_address: 210.22.22.22 is osaka's already"),
        (
            {"osaka": "2001:db8::7"},
            "tokyo: ipsec_address: 2001:db8::7 here, 210.22.22.22 at osaka: one tunnel can't join IPv4 and IPv6",
        ),
    ],
)
def test_a_wrong_value_is_named(addresses, message):
    assert problems(inventory(addresses)) == [message]
