# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies in a real kernel (any Linux with XFRM has them, with ESP or without)."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import replace

import pytest

from ike.kernel.base import KernelError
from ike.policy.sa import AH, ESP, FWD, IN, OUT, TRANSPORT, TUNNEL, Policy, Template, TrafficSelector
from tests.kernel.samples import policies, transport_policies


def installed(site) -> set[Policy]:
    return {state.policy for state in site.kernel.list_policies()}


def test_a_tunnels_three_policies_read_back_as_they_were_installed(sites):
    tokyo, _osaka = sites
    for policy in policies(tokyo, reqid=16385):
        tokyo.kernel.add_policy(policy)
    assert installed(tokyo) == set(policies(tokyo, reqid=16385))
    shown = tokyo.run("ip xfrm policy")
    assert "src 192.168.10.0/24 dst 192.168.20.0/24 \n\tdir out priority 1000" in shown
    assert "tmpl src 210.11.11.11 dst 210.22.22.22\n\t\tproto esp reqid 16385 mode tunnel" in shown
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("\tdir")] == ["fwd", "in", "out"]


def test_ipv6_inside_ipv4(sites):
    tokyo, _osaka = sites
    for policy in policies(tokyo, six=True):
        tokyo.kernel.add_policy(policy)
    assert installed(tokyo) == set(policies(tokyo, six=True))


@pytest.mark.parametrize("action", ["bypass", "discard"])
@pytest.mark.parametrize("direction", [IN, OUT, FWD])
def test_bypass_and_discard(sites, action, direction):
    tokyo, _osaka = sites
    selector = TrafficSelector(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("10.0.0.0/8"), 6, 0, 22)
    tokyo.kernel.add_policy(Policy(selector, direction, action, priority=5))
    assert installed(tokyo) == {Policy(selector, direction, action, priority=5)}


def test_transport_and_an_ah_esp_bundle(sites):
    tokyo, _osaka = sites
    bundle = (Template(ESP, TRANSPORT, reqid=3), Template(AH, TRANSPORT, reqid=3))
    wanted = {replace(policy, templates=bundle) for policy in transport_policies(tokyo)}
    for policy in wanted:
        tokyo.kernel.add_policy(policy)
    assert installed(tokyo) == wanted


def test_level_use_is_an_optional_template(sites):
    tokyo, _osaka = sites
    inbound = policies(tokyo, level="use")[1]
    tokyo.kernel.add_policy(inbound)
    assert installed(tokyo) == {inbound}
    assert "level use" in tokyo.run("ip xfrm policy")


def test_a_second_insert_replaces_the_first(sites):
    tokyo, _osaka = sites
    policy = policies(tokyo)[0]
    tokyo.kernel.add_policy(policy)
    changed = replace(policy, action="discard", templates=())
    tokyo.kernel.add_policy(changed)
    assert installed(tokyo) == {changed}


def test_delete(sites):
    tokyo, _osaka = sites
    policy = policies(tokyo)[0]
    tokyo.kernel.add_policy(policy)
    assert tokyo.kernel.delete_policy(policy) is True
    assert tokyo.kernel.delete_policy(policy) is False
    assert installed(tokyo) == set()


def test_a_refusal_carries_the_kernels_own_words(sites):
    tokyo, _osaka = sites
    policy = policies(tokyo)[0]
    mixed = Template(ESP, TUNNEL, ipaddress.ip_address("::1"), ipaddress.ip_address("::2"))
    transport = Template(ESP, TRANSPORT)
    with pytest.raises(KernelError) as caught:
        tokyo.kernel.add_policy(replace(policy, templates=(mixed, transport)))
    assert str(caught.value).startswith("add policy: Invalid argument")


def test_a_sockets_own_policies_are_not_listed(sites):
    tokyo, _osaka = sites
    with tokyo.inside():
        ike = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with ike:
        tokyo.kernel.bypass(ike)
        assert "socket in" in tokyo.run("ip xfrm policy")
        assert "socket out" in tokyo.run("ip xfrm policy")
        assert installed(tokyo) == set()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_bypassed_socket_is_not_held_by_a_discard(sites, family):
    tokyo, osaka = sites
    near, far = (tokyo.address, tokyo.peer) if family == socket.AF_INET else (tokyo.address6, tokyo.peer6)
    everything = TrafficSelector(ipaddress.ip_network(near), ipaddress.ip_network(far), protocol=17)
    with tokyo.inside():
        ike = socket.socket(family, socket.SOCK_DGRAM)
    with osaka.inside():
        peer = socket.socket(family, socket.SOCK_DGRAM)
    with ike, peer:
        ike.bind((near, 500))
        peer.bind((far, 500))
        peer.settimeout(2)
        tokyo.kernel.add_policy(Policy(everything, OUT, "discard"))
        tokyo.kernel.add_policy(Policy(everything.reversed(), IN, "discard"))
        with pytest.raises(PermissionError):
            ike.sendto(b"blocked", (far, 500))
        tokyo.kernel.bypass(ike)
        ike.sendto(b"hello", (far, 500))
        assert peer.recv(100) == b"hello"
        ike.settimeout(2)
        peer.sendto(b"answer", (near, 500))
        assert ike.recv(100) == b"answer"


def test_udp_encapsulation_is_accepted_by_a_udp_socket_and_refused_by_another(sites):
    tokyo, _osaka = sites
    with tokyo.inside():
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with datagrams, stream:
        datagrams.bind((tokyo.address, 4500))
        tokyo.kernel.encapsulate_udp(datagrams)
        with pytest.raises(KernelError):
            tokyo.kernel.encapsulate_udp(stream)
