"""spmd's job: policies of the configuration, nothing stale, numbers that survive a restart."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace

import pytest

from ike.config.effective import effective
from ike.config.loader import load_text
from ike.config.settings import Effective
from ike.daemon.policies import PolicyTable, TooManyTunnels, numbered
from ike.daemon.service import Daemon, Options
from ike.kernel.none import NoneKernel
from ike.kernel.pfkey import PfkeyKernel
from ike.policy.sa import ESP, SecurityAssociation
from ike.policy.sa import TUNNEL as TUNNEL_MODE
from ike.policy.shared import gathered

TUNNEL = """
selector {0}_out {{ direction outbound; src 10.1.0.0/24; dst {1}; policy_index {0}; }};
selector {0}_in {{ direction inbound; src {1}; dst 10.1.0.0/24; policy_index {0}; }};
policy {0} {{ action auto_ipsec; remote_index {0}; ipsec_mode tunnel; ipsec_index {{ i; }}; ipsec_level require;
  my_sa_ipaddr 192.0.2.1; peers_sa_ipaddr 192.0.2.2; }};
remote {0} {{ acceptable_kmp {{ ikev1; }}; ikev1 {{ peers_ipaddr 192.0.2.2; kmp_enc_alg {{ 3des_cbc; }};
  kmp_hash_alg {{ sha1; }}; kmp_dh_group {{ modp2048; }}; kmp_auth_method {{ psk; }}; pre_shared_key "/psk"; }}; }};
"""
COMMON = """
interface { ike { 192.0.2.1; }; spmd { unix "/run/spmif"; }; spmd_password "/pwd"; };
ipsec i { ipsec_sa_lifetime_time 1 hour; sa_index s; };
sa s { sa_protocol esp; esp_enc_alg { 3des_cbc; }; esp_auth_alg { hmac_sha1; }; };
"""


def configuration(**tunnels: str) -> Effective:
    """A configuration with a tunnel for each name and far network."""
    text = COMMON + "".join(TUNNEL.format(name, network) for name, network in tunnels.items())
    loaded = load_text(text.encode(), "test.conf")
    return numbered(effective(loaded.configuration), NoneKernel.reqids)


def table(kernel: NoneKernel) -> PolicyTable:
    return PolicyTable(kernel, lambda text: None)


def installed(kernel: NoneKernel) -> list[tuple[str, str]]:
    return sorted((state.policy.direction, state.policy.name) for state in kernel.list_policies())


def test_both_directions_and_forwarding_share_one_request_id():
    kernel = NoneKernel()
    table(kernel).apply(configuration(osaka="10.2.0.0/24"), lambda macro, family: None)
    assert installed(kernel) == [("fwd", "osaka_in"), ("in", "osaka_in"), ("out", "osaka_out")]
    reqids = {template.reqid for state in kernel.list_policies() for template in state.policy.templates}
    assert len(reqids) == 1
    assert reqids.pop() in kernel.reqids


SHARED = """
selector far_{0}_out {{ direction outbound; src 10.1.0.0/24; dst {0}.0.0.0/8; policy_index {1}; }};
selector far_{0}_in {{ direction inbound; src {0}.0.0.0/8; dst 10.1.0.0/24; policy_index {1}; }};
"""


@pytest.mark.parametrize("versions, same", [("ikev2", True), ("ikev1", False), ("ikev2; ikev1", False)])
def test_selectors_with_one_child_sa_share_a_request_id_and_are_one_tunnel(versions, same):
    """Each keeps its own policies. IKEv1 has one selector for an SA, whatever child_per says."""
    text = COMMON + TUNNEL.format("osaka", "10.2.0.0/24") + SHARED.format(11, "osaka") + SHARED.format(12, "osaka")
    text = text.replace("action auto_ipsec;", "action auto_ipsec; child_per policy;")
    text = text.replace("acceptable_kmp { ikev1; };", "acceptable_kmp { " + versions + "; };")
    meaning = numbered(effective(load_text(text.encode(), "test.conf").configuration), NoneKernel.reqids)
    kernel = NoneKernel()
    table(kernel).apply(meaning, lambda macro, family: None)
    reqids = {template.reqid for state in kernel.list_policies() for template in state.policy.templates}
    assert len(kernel.list_policies()) == 9
    assert len(reqids) == (1 if same else 3)
    names = [[member.name for member in tunnel.members] for tunnel in gathered(meaning).tunnels]
    flat = ["osaka_out", "far_11_out", "far_12_out"]
    assert names == ([flat] if same else [[name] for name in flat])


def test_request_ids_depend_on_names_alone():
    alone = configuration(osaka="10.2.0.0/24")
    among = configuration(nara="10.3.0.0/24", osaka="10.2.0.0/24")
    by_name = {tunnel.name: tunnel.reqid for tunnel in among.tunnels}
    assert by_name["osaka_out"] == alone.tunnels[0].reqid
    assert len(set(by_name.values())) == 2


def many(count: int) -> Effective:
    one = configuration(osaka="10.2.0.0/24").tunnels[0]
    return Effective(tunnels=tuple(replace(one, name="t{}".format(number), reqid=0) for number in range(count)))


@pytest.mark.parametrize("kernel", [NoneKernel, PfkeyKernel])
def test_names_that_collide_get_different_request_ids(kernel):
    """crc32 collides modulo the size of either range for some of these many names."""
    reqids = [tunnel.reqid for tunnel in numbered(many(2000), kernel.reqids).tunnels]
    assert len(set(reqids)) == 2000
    assert all(reqid in kernel.reqids for reqid in reqids)


def test_a_reqid_that_the_configuration_names_is_given_to_no_other_tunnel():
    wanted = many(2)
    number = numbered(wanted, range(1, 3)).tunnels[1].reqid
    named = replace(wanted, tunnels=(replace(wanted.tunnels[0], reqid=number), wanted.tunnels[1]))
    assert {tunnel.reqid for tunnel in numbered(named, range(1, 3)).tunnels} == {1, 2}


def test_more_tunnels_than_a_kernel_can_tell_apart_are_refused():
    assert len(numbered(many(3), range(1, 4)).tunnels) == 3
    with pytest.raises(TooManyTunnels, match="more than 3 tunnels"):
        numbered(many(4), range(1, 4))


def test_a_kernel_without_policies_for_forwarded_packets_gets_none():
    kernel = NoneKernel()
    kernel.forwards = False
    table(kernel).apply(configuration(osaka="10.2.0.0/24"), lambda macro, family: None)
    assert installed(kernel) == [("in", "osaka_in"), ("out", "osaka_out")]


def test_a_tunnel_that_left_the_configuration_leaves_the_kernel_and_no_other():
    kernel = NoneKernel()
    keeper = table(kernel)
    keeper.apply(configuration(osaka="10.2.0.0/24", nara="10.3.0.0/24"), lambda macro, family: None)
    before = len(kernel.log)
    keeper.apply(configuration(osaka="10.2.0.0/24"), lambda macro, family: None)
    assert {name for _, name in installed(kernel)} == {"osaka_in", "osaka_out"}
    assert "add_policy" not in [name for name, _ in kernel.log[before:]]


def road_warrior(mine: str = "192.0.2.1", peers: str = "IP_RW") -> Effective:
    """Osaka, whose address nobody knows, and nara."""
    text = COMMON + TUNNEL.format("nara", "10.3.0.0/24")
    text += TUNNEL.format("osaka", "10.2.0.0/24").replace("192.0.2.2", peers).replace("192.0.2.1", mine)
    return numbered(effective(load_text(text.encode(), "test.conf").configuration), NoneKernel.reqids)


def ends_of(kernel: NoneKernel, name: str) -> set[tuple[str, str, str]]:
    return {
        (state.policy.direction, str(template.source), str(template.destination))
        for state in kernel.list_policies()
        for template in state.policy.templates
        if state.policy.name.startswith(name)
    }


def additions(kernel: NoneKernel) -> int:
    return sum(name == "add_policy" for name, _ in kernel.log)


HELD_BACK = {("out", "192.0.2.1", "0.0.0.0"), ("in", "0.0.0.0", "192.0.2.1"), ("fwd", "0.0.0.0", "192.0.2.1")}
LED = {("out", "192.0.2.1", "198.51.100.7"), ("in", "198.51.100.7", "192.0.2.1"), ("fwd", "198.51.100.7", "192.0.2.1")}
WE, PEER = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("198.51.100.7")


def test_a_road_warriors_traffic_is_held_back_and_then_led_to_where_it_came_from():
    kernel, meaning = NoneKernel(), road_warrior()
    keeper = table(kernel)
    keeper.apply(meaning, lambda macro, family: None)
    assert ends_of(kernel, "osaka") == HELD_BACK
    reqid = next(tunnel.reqid for tunnel in meaning.tunnels if tunnel.name == "osaka_out")
    others, added = ends_of(kernel, "nara"), additions(kernel)
    keeper.learn(reqid, WE, PEER)
    assert ends_of(kernel, "osaka") == LED and ends_of(kernel, "nara") == others
    assert additions(kernel) == added + 3
    keeper.learn(reqid, WE, PEER)
    keeper.apply(meaning, lambda macro, family: None)
    assert ends_of(kernel, "osaka") == LED and additions(kernel) == added + 3
    keeper.remove()
    assert kernel.list_policies() == []


NAMED, NAMED_ONLY = ipaddress.ip_address("192.0.2.2"), lambda macro, family: None


def test_traffic_is_led_to_a_peer_whose_nat_has_another_address_and_back():
    """The configuration names both ends: the SAs' ends count all the same, and a reload leaves them."""
    kernel, meaning = NoneKernel(), configuration(osaka="10.2.0.0/24", nara="10.3.0.0/24")
    keeper = table(kernel)
    keeper.apply(meaning, NAMED_ONLY)
    before, others, added = ends_of(kernel, "osaka"), ends_of(kernel, "nara"), additions(kernel)
    reqid = next(tunnel.reqid for tunnel in meaning.tunnels if tunnel.name == "osaka_out")
    keeper.learn(reqid, WE, NAMED)
    assert ends_of(kernel, "osaka") == before and additions(kernel) == added
    keeper.learn(reqid, WE, PEER)
    assert ends_of(kernel, "osaka") == LED and ends_of(kernel, "nara") == others
    keeper.apply(meaning, NAMED_ONLY)
    assert ends_of(kernel, "osaka") == LED
    keeper.learn(reqid, WE, NAMED)
    assert ends_of(kernel, "osaka") == before


def test_ends_that_the_configuration_names_anew_count_for_more_than_what_was_learned():
    kernel, meaning = NoneKernel(), configuration(osaka="10.2.0.0/24")
    keeper = table(kernel)
    keeper.apply(meaning, NAMED_ONLY)
    keeper.learn(meaning.tunnels[0].reqid, WE, PEER)
    other = ipaddress.ip_address("192.0.2.99")
    moved = [tuple(replace(one, peers_address=other) for one in some) for some in (meaning.tunnels, meaning.inbound)]
    keeper.apply(replace(meaning, tunnels=moved[0], inbound=moved[1]), NAMED_ONLY)
    assert {ends[2] for ends in ends_of(kernel, "osaka") if ends[0] == "out"} == {"192.0.2.99"}


@pytest.mark.parametrize(
    ("mine", "peers"), [("192.0.2.1", "IP_RW"), ("MY_IPV4", "198.51.100.7"), ("192.0.2.1", "192.0.2.2")]
)
def test_the_sas_of_an_earlier_run_say_where_an_end_is(mine, peers):
    kernel, meaning = NoneKernel(), road_warrior(mine, peers)
    reqid = next(tunnel.reqid for tunnel in meaning.tunnels if tunnel.name == "osaka_out")
    keeper = table(kernel)
    for source, destination in ((PEER, WE), (WE, PEER)):
        association = SecurityAssociation(
            source, destination, ESP, 0x1001, TUNNEL_MODE, "aes256_gcm", bytes(36), reqid=reqid
        )
        kernel.add_sa(association)
    keeper.adopt(meaning, kernel.list_sas())
    keeper.apply(meaning, lambda macro, family: None)
    assert ends_of(kernel, "osaka") == LED


def test_policies_of_an_earlier_run_are_taken_over_or_removed():
    kernel = NoneKernel()
    table(kernel).apply(configuration(osaka="10.2.0.0/24", nara="10.3.0.0/24"), lambda macro, family: None)
    table(kernel).apply(configuration(osaka="10.2.0.0/24"), lambda macro, family: None)
    assert {name for _, name in installed(kernel)} == {"osaka_in", "osaka_out"}


def test_a_foreign_policy_is_left_alone():
    kernel = NoneKernel()
    foreign = configuration(osaka="10.2.0.0/24")
    table(kernel).apply(foreign, lambda macro, family: None)
    state = kernel.list_policies()[0]
    template = replace(state.policy.templates[0], reqid=42)
    selector = replace(state.policy.selector, source=ipaddress.ip_network("10.9.0.0/24"))
    kernel.add_policy(replace(state.policy, selector=selector, templates=(template,)))
    keeper = table(kernel)
    keeper.apply(foreign, lambda macro, family: None)
    keeper.remove()
    assert len(kernel.list_policies()) == 1


def test_one_refused_policy_is_said_and_does_not_stop_the_others():
    kernel = NoneKernel()
    kernel.fail("add_policy")
    said: list[str] = []
    PolicyTable(kernel, said.append).apply(configuration(osaka="10.2.0.0/24"), lambda macro, family: None)
    assert len(kernel.list_policies()) == 2
    assert "osaka_out" in said[0]


TWO_IN_ONE = """
interface { ike { 127.0.0.1 port 51500; }; };
selector one_out { direction outbound; src 10.1.0.0/24; dst 10.2.0.0/24; policy_index osaka; };
selector two_out { direction outbound; src 10.1.0.0/24; dst 10.3.0.0/24; policy_index osaka; };
selector one_in { direction inbound; src 10.2.0.0/24; dst 10.1.0.0/24; policy_index osaka; };
selector two_in { direction inbound; src 10.3.0.0/24; dst 10.1.0.0/24; policy_index osaka; };
policy osaka { action auto_ipsec; child_per policy; remote_index osaka; ipsec_mode tunnel; ipsec_level require;
  ipsec_index { i; }; my_sa_ipaddr 127.0.0.1; peers_sa_ipaddr 192.0.2.2; };
remote osaka { acceptable_kmp { ikev2; }; ikev2 { my_id ipaddr 127.0.0.1; peers_id ipaddr 192.0.2.2;
  peers_ipaddr 192.0.2.2; kmp_enc_alg { aes256_gcm; }; kmp_prf_alg { hmac_sha2_256; }; kmp_dh_group { curve25519; };
  kmp_auth_method { psk; }; pre_shared_key "/psk"; }; };
ipsec i { ipsec_sa_lifetime_time 1 hour; sa_index s; };
sa s { sa_protocol esp; esp_enc_alg { aes256_gcm; }; };
"""


def test_a_reload_keeps_the_policies_of_selectors_that_share_a_child(tmp_path):
    file, kernel = tmp_path / "racoon2.conf", NoneKernel()
    file.write_text(TWO_IN_ONE)
    daemon = Daemon(Options(str(file)), kernel)

    async def reload():
        daemon._loop = asyncio.get_running_loop()
        daemon._apply_policies()
        before = installed(kernel)
        daemon._reload()
        return before

    assert asyncio.run(reload()) == installed(kernel)
    assert {("out", "one_out"), ("out", "two_out")} <= set(installed(kernel))
    for listener in daemon._listeners:
        listener.close()
