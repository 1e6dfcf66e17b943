"""spmd's job: policies of the configuration, nothing stale, numbers that survive a restart."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from ike.config.effective import effective
from ike.config.loader import load_text
from ike.config.settings import Effective
from ike.daemon.policies import PolicyTable, TooManyTunnels, numbered
from ike.kernel.none import NoneKernel
from ike.kernel.pfkey import PfkeyKernel

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
