"""A site whose address isn't known beforehand: the plan, both ends' configurations, the hand-over, the evidence."""

from __future__ import annotations

import pytest
from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_tunnels import ipsec_tunnels
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.gather import meaning_of
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import expectation, settled_by
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.watch import Watch
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.__main__ import main
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.document import fleet_document
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.handover.sheet import handover
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.lint import lint
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.overhead import maximum_segment
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import LINUX_PATHS
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan_view import plan_data, plan_text

from tests.unit.plugins.test_plan import problems

SITES = {
    "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"]},
    "nara": {"ipsec_address": "unknown", "ipsec_networks": ["192.168.30.0/24"]},
    "gifu": {
        "ipsec_address": "unknown",
        "ipsec_own_address": "10.0.0.2",
        "ipsec_networks": ["192.168.40.0/24"],
    },
    "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"]},
}


def inventory(**changes):
    """A hub, and what differs of a site."""
    topology = {"ipsec_topology": {"type": "hub", "hubs": ["tokyo"]}}
    return {name: {**site, **topology, **changes.get(name, {})} for name, site in SITES.items()}


@pytest.fixture
def plan():
    return make_plan(inventory())


def text_of(plan, name):
    return configuration_text(plan.sites[name], plan.ends[name], LINUX_PATHS)


def written(tmp_path, plan, name):
    path = tmp_path / name
    path.write_text(text_of(plan, name))
    return str(path)


def end_at(plan, site, peer):
    return next(end for end in plan.ends[site] if end.peer.name == peer)


def test_who_knows_where_the_other_one_is_begins(plan):
    begins = {(end.local.name, end.peer.name): end.initiates for ends in plan.ends.values() for end in ends}
    assert [begins["nara", "tokyo"], begins["gifu", "tokyo"]] == [True, True]
    assert [begins["tokyo", "nara"], begins["tokyo", "gifu"]] == [False, False]


def test_a_peer_that_may_come_from_anywhere_is_only_answered_and_stands_last(plan):
    meaning = meaning_of(text_of(plan, "tokyo"))
    assert [remote.name for remote in meaning.remotes] == ["osaka", "gifu", "nara"]
    remote = meaning.remote("nara").ikev2
    assert [endpoint.name for endpoint in remote.peers] == ["IP_RW"]
    assert [(one.kind, one.value) for one in remote.peers_ids] == [("fqdn", "nara")]
    tunnel = next(one for one in meaning.tunnels if one.remote == "nara")
    assert (tunnel.start_action, tunnel.close_action, tunnel.dpd_action) == ("none", "clear", "clear")
    assert (str(tunnel.my_address), tunnel.peers_address) == ("210.11.11.11", "IP_RW")
    assert next(one for one in meaning.tunnels if one.remote == "osaka").start_action == "trap"


def test_a_site_without_an_address_begins_and_calls_itself_by_its_name(plan):
    meaning = meaning_of(text_of(plan, "nara"))
    assert [(one.address, one.port) for one in meaning.listen] == [("MY_IPV4", 500), ("MY_IPV4", 4500)]
    assert [(one.kind, one.value) for one in meaning.remote("tokyo").ikev2.my_ids] == [("fqdn", "nara")]
    (tunnel,) = meaning.tunnels
    assert (tunnel.start_action, tunnel.close_action, tunnel.dpd_action) == ("start", "restart", "restart")
    assert (tunnel.my_address, str(tunnel.peers_address)) == ("MY_IPV4", "210.11.11.11")
    behind_nat = meaning_of(text_of(plan, "gifu"))
    assert {one.address for one in behind_nat.listen} == {"10.0.0.2"}


@pytest.mark.parametrize("name", ["nara", "gifu"])
def test_both_configurations_are_sound_and_agree(plan, tmp_path, capsys, name):
    hub, spoke = written(tmp_path, plan, "tokyo"), written(tmp_path, plan, name)
    assert main(["check", "--no-files", "-f", spoke, "--pair", hub]) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "differ" not in said and said.count("agree    protocol: ") == 1
    assert main(["check", "--no-files", "-f", hub]) == 0
    assert capsys.readouterr().err == ""


def test_upstream_would_take_the_first_that_may_come_from_anywhere(plan, tmp_path, capsys):
    main(["check", "--no-files", "-f", written(tmp_path, plan, "tokyo"), "--dialect", "racoon2"])
    assert "remote nara is never found for an incoming ikev2" in capsys.readouterr().err


def test_over_ipv6():
    plan = make_plan(
        inventory(
            tokyo={"ipsec_address": "2001:db8::11"},
            osaka={"ipsec_address": "2001:db8::22"},
            gifu={"ipsec_own_address": "2001:db8::44"},
        )
    )
    assert "MY_IPV6" in text_of(plan, "nara") and end_at(plan, "nara", "tokyo").family == 6
    assert str(end_at(plan, "tokyo", "nara").peer_address) == "::"


def test_two_that_nobody_can_find_are_not_joined():
    topology = {"ipsec_topology": {"type": "pairs", "pairs": [["nara", "gifu"]]}}
    assert problems(inventory(**dict.fromkeys(SITES, topology))) == [
        "nara: ipsec_address: unknown here, unknown at gifu: of two sites one has to have an address that stays"
    ]


def test_ikev1_finds_keys_by_addresses():
    profiles = {name: {"ipsec_tunnel_profiles": {"nara--tokyo": "2007"}} for name in SITES}
    assert problems(inventory(**profiles)) == [
        "nara: ipsec_address: unknown here, and 2007 is IKEv1, whose main mode finds the key by the address: "
        "tokyo needs IKEv2"
    ]


def test_an_own_address_of_another_family_is_refused():
    found = problems(inventory(gifu={"ipsec_own_address": "2001:db8::44"}))
    assert found == [
        "tokyo: ipsec_address: 210.11.11.11 here, 2001:db8::44 at gifu: one tunnel can't join IPv4 and IPv6"
    ]


def test_the_plan_is_shown_and_linted(plan):
    assert "nara   unknown" in plan_text(plan_data(plan, lint(plan, {})))


def test_nat_is_reckoned_with(plan):
    known = make_plan(inventory(nara={"ipsec_address": "210.33.33.33"}))
    both = [maximum_segment(end_at(one, "tokyo", "nara"), 4) for one in (plan, known)]
    assert both[0] == both[1] - 8


def test_another_daemon_is_told_to_begin():
    plan = make_plan(inventory(nara={"ipsec_managed": False}))
    found = {one.name: one.content.decode() for one in handover(plan.sites["nara"], plan.ends["nara"], {"tokyo": b"k"})}
    for line in ("local_addrs = %any", "remote_addrs = 210.11.11.11", "id = fqdn:nara", "start_action = start"):
        assert line in found["swanctl.conf"]
    for line in ("left=%defaultroute", "leftid=@nara", "auto=start"):
        assert line in found["ipsec.conf"]
    assert found["secret/ipsec.secrets"].startswith("@nara 210.11.11.11 : PSK")
    assert "id-1 = fqdn:nara" in found["secret/swanctl.secrets.conf"]
    assert "FQDN nara" in found["sheet.txt"] and "you\n" in found["sheet.txt"].split("who begins")[1]


def test_another_daemon_is_told_to_wait():
    plan = make_plan(inventory(tokyo={"ipsec_managed": False}))
    ends = plan.ends["tokyo"]
    found = handover(plan.sites["tokyo"], ends, {end.name: b"k" for end in ends})
    connection = next(one for one in found if one.name == "swanctl.conf").content.decode().split("    nara {")[1]
    for line in ("remote_addrs = %any", "id = fqdn:nara", "start_action = none"):
        assert line in connection


def named():
    """Nara has a DNS name."""
    return make_plan(inventory(nara={"ipsec_address": "gw.nara.example"}))


def test_a_site_with_a_dns_name_is_found_by_it_and_answered_from_anywhere():
    plan = named()
    meaning = meaning_of(text_of(plan, "tokyo"))
    peers = meaning.remote("nara").ikev2.peers
    assert [endpoint.name for endpoint in peers] == ["IP_RW", "gw.nara.example"]
    tunnel = next(one for one in meaning.tunnels if one.remote == "nara")
    assert (tunnel.peers_address, tunnel.start_action, tunnel.dpd_action) == ("IP_RW", "trap", "restart")
    (own,) = meaning_of(text_of(plan, "nara")).tunnels
    assert (own.my_address, own.start_action) == ("MY_IPV4", "trap")
    assert plan.sites["nara"].identity == ("fqdn", "nara") and plan.sites["nara"].shown_address == "gw.nara.example"


def test_both_configurations_with_a_dns_name_agree(tmp_path, capsys):
    plan = named()
    hub, spoke = written(tmp_path, plan, "tokyo"), written(tmp_path, plan, "nara")
    assert main(["check", "--no-files", "-f", spoke, "--pair", hub]) == 0, capsys.readouterr()
    assert main(["check", "--no-files", "-f", hub]) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if "gw.nara" not in line] == []


def test_two_sites_with_the_same_dns_name():
    found = problems(inventory(**{name: {"ipsec_address": "gw.nara.example"} for name in ("nara", "gifu")}))
    assert found == ["nara: ipsec_address: gw.nara.example is gifu's already"]


def test_another_daemon_is_told_the_dns_name():
    plan = make_plan(inventory(tokyo={"ipsec_managed": False}, nara={"ipsec_address": "gw.nara.example"}))
    ends = plan.ends["tokyo"]
    files = {one.name: one.content.decode() for one in handover(plan.sites["tokyo"], ends, dict.fromkeys(KEYS, b"k"))}
    connection = files["swanctl.conf"].split("    nara {")[1]
    for line in ("remote_addrs = gw.nara.example", "id = fqdn:nara", "start_action = trap"):
        assert line in connection
    assert "right=gw.nara.example" in files["ipsec.conf"] and "gw.nara.example" in files["sheet.txt"]


KEYS = ("gifu", "nara", "osaka")


def policy(destination, network="192.168.30.0/24"):
    return {
        "direction": "out",
        "selector": {"source": "192.168.10.0/24", "destination": network},
        "templates": [{"source": "210.11.11.11", "destination": destination}],
    }


def expected(plan, site, peer):
    variables = inventory()
    return expectation(next(one for one in ipsec_tunnels(variables, site, list(variables)) if one["name"] == peer))


def test_evidence_is_judged_by_where_the_policies_lead(plan):
    tunnel = expected(plan, "tokyo", "nara")
    assert tunnel.is_open
    known = settled_by(tunnel, [policy("210.22.22.22", "192.168.20.0/24"), policy("198.51.100.7")])
    assert (str(known.local), str(known.peer), known.is_open) == ("210.11.11.11", "198.51.100.7", False)
    assert settled_by(tunnel, [policy("0.0.0.0")]).is_open
    fixed = expected(plan, "tokyo", "osaka")
    assert settled_by(fixed, [policy("198.51.100.7", "192.168.20.0/24")]) == fixed


def test_who_can_only_answer_is_not_asked_to_begin(plan):
    class Daemon:
        asked: list = []

        def bring_up(self, name, seconds):
            self.asked.append(name)

    tunnels = tuple(expected(plan, "tokyo", name) for name in ("nara", "osaka"))
    watch = Watch(None, Daemon(), tunnels, frozenset({"nara", "osaka"}), bring_up=True, timeout=1)
    watch._ask({"nara", "osaka"}, 0.0, set())
    assert Daemon.asked == ["osaka"]


def test_the_fleets_page_counts_its_traffic(plan):
    def sa(source, destination, spi):
        return {"source": source, "destination": destination, "spi": spi, "bytes": 7}

    child = {
        "state": "up", "encryption": "aes256_gcm", "integrity": "", "pfs": "", "age": 1, "lifetime": 9,
        "spi_in": "0x1", "spi_out": "0x2",
    }  # fmt: skip
    tunnel = {
        "policy": "nara", "state": "up", "reason": "", "child_sas": [child],
        "selector": {"local": "192.168.10.0/24", "peer": "192.168.30.0/24"},
    }  # fmt: skip
    sas = [sa("198.51.100.7", "210.11.11.11", "0x1"), sa("210.11.11.11", "198.51.100.7", "0x2")]
    answer = {"daemon": {"answers": True}, "tunnels": [tunnel], "ike_sas": [], "sas": sas}
    document = fleet_document(plan, {"tokyo": answer}, "now")
    assert next(site for site in document["sites"] if site["name"] == "nara")["address"] == "unknown"
    shown = next(one for one in document["tunnels"] if one["sites"] == ["nara", "tokyo"])
    pair = next(end for end in shown["ends"] if end["site"] == "tokyo")["networks"][0]
    assert (pair["child"]["bytes_in"], pair["child"]["bytes_out"]) == (7, 7)
