# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PF_KEY against Linux's af_key, checked through XFRM's view of the same tables, and with real packets."""

from __future__ import annotations

import errno
import ipaddress
import select
import socket
from dataclasses import replace

import pytest

from ike.kernel.base import SPI_MAXIMUM, SPI_MINIMUM, Acquire, Expire, KernelError
from ike.kernel.pfkey import PfkeyKernel
from ike.policy.sa import ESP, FWD, IN, OUT, TRANSPORT, TUNNEL, Encapsulation, Lifetime, Policy, SaId, TrafficSelector
from tests.kernel.conftest import unavailable
from tests.kernel.samples import policies, recorded_sas, transport_policies, tunnel_sa

pytestmark = pytest.mark.usefixtures("no_module_loading")


@pytest.fixture()
def keys(gateways):
    """The PF_KEY backends of (tokyo, osaka)."""
    kernels = []
    for site in gateways:
        with site.inside():
            try:
                kernels.append(PfkeyKernel())
            except KernelError as error:
                unavailable("this kernel has no PF_KEY ({}): use tests/kernel/run".format(error))
    yield kernels
    for kernel in kernels:
        kernel.close()


def next_event(kernel, seconds=5):
    ready, _, _ = select.select([kernel], [], [], seconds)
    assert ready, "no event within {} s".format(seconds)
    return kernel.read_events()


@pytest.mark.parametrize(
    ("encryption", "bits", "integrity"),
    [
        ("3des_cbc", 192, "hmac_sha1"),
        ("3des_cbc", 192, "hmac_md5"),
        ("aes_cbc", 128, "hmac_sha1"),
        ("aes_cbc", 256, "hmac_sha2_256_96"),
        ("aes_cbc", 256, "hmac_sha2_384"),
        ("aes_cbc", 256, "hmac_sha2_512"),
        ("aes_cbc", 128, "aes_xcbc"),
        ("aes_ctr", 256, "hmac_sha1"),
        ("blowfish_cbc", 128, "hmac_sha1"),
        ("cast128_cbc", 128, "hmac_sha1"),
        ("null_enc", 0, "hmac_sha1"),
    ],
)
def test_each_suite_is_what_xfrm_sees(gateways, keys, encryption, bits, integrity):
    tokyo, _osaka = gateways
    association = tunnel_sa(
        tokyo.address, tokyo.peer, 0x1234, encryption, bits, integrity,
        reqid=7, replay_window=32, lifetime=Lifetime(2880, 3600, 1 << 30, 1 << 31, 1000, 2000),
    )  # fmt: skip
    keys[0].add_sa(association)
    (state,) = tokyo.kernel.list_sas()
    assert (state.encryption, state.encryption_bits, state.integrity) == (encryption, bits, integrity)
    assert (state.reqid, state.replay_window, state.lifetime, state.mode) == (7, 32, association.lifetime, TUNNEL)
    assert keys[0].list_sas() == [state]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encryption": "aes_gcm", "integrity": ""}, "add SA: PF_KEY of linux has no aes_gcm"),
        ({"integrity": "hmac_sha2_256"}, "add SA: PF_KEY of linux has no hmac_sha2_256"),
        ({"esn": True}, "add SA: PF_KEY of linux has no extended sequence numbers"),
        ({"replay_window": 64}, "add SA: a replay window of 64: PF_KEY of linux has 32 at most"),
    ],
)
def test_what_linuxes_pfkey_cannot_say_is_refused(gateways, keys, changes, words):
    tokyo, _osaka = gateways
    association = replace(tunnel_sa(tokyo.address, tokyo.peer, 0x1234, replay_window=32), **changes)
    with pytest.raises(KernelError) as caught:
        keys[0].add_sa(association)
    assert str(caught.value) == words
    assert keys[0].list_sas() == []


def test_the_kernel_says_which_algorithms_it_has(gateways, keys):
    assert all(keys[0].supports(name) for name in ("3des_cbc", "aes_cbc", "hmac_sha1", "hmac_sha2_512"))
    assert not keys[0].supports("aes_gcm")


def test_a_larval_sa_becomes_mature(gateways, keys):
    tokyo, _osaka = gateways
    source, destination = ipaddress.ip_address(tokyo.peer), ipaddress.ip_address(tokyo.address)
    spi = keys[0].allocate_spi(source, destination, ESP, reqid=5)
    assert SPI_MINIMUM <= spi <= SPI_MAXIMUM
    assert keys[0].query_sa(SaId(destination, ESP, spi)).state == "larval"
    keys[0].update_sa(tunnel_sa(source, destination, spi, reqid=5, replay_window=4))
    (state,) = keys[0].list_sas()
    assert (state.state, state.spi, state.reqid) == ("mature", spi, 5)


def test_what_is_there_and_what_is_not(gateways, keys):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, replay_window=4)
    assert keys[0].query_sa(association.id) is None
    assert keys[0].delete_sa(association.id) is False
    with pytest.raises(KernelError) as caught:
        keys[0].update_sa(association)
    assert caught.value.errno == errno.ESRCH
    keys[0].add_sa(association)
    with pytest.raises(KernelError) as caught:
        keys[0].add_sa(association)
    assert caught.value.errno == errno.EEXIST
    assert keys[0].delete_sa(association.id) is True
    assert keys[0].list_sas() == []


def test_udp_encapsulation_transport_mode_and_ipv6(gateways, keys):
    tokyo, _osaka = gateways
    ports = Encapsulation(4500, 61000)
    associations = [
        tunnel_sa(tokyo.address, tokyo.peer, 0x1000, encapsulation=ports, replay_window=4),
        tunnel_sa(tokyo.address, tokyo.peer, 0x2000, mode=TRANSPORT, replay_window=4),
        tunnel_sa(tokyo.address6, tokyo.peer6, 0x3000, replay_window=4),
    ]
    for association in associations:
        keys[0].add_sa(association)
    states = {state.spi: state for state in keys[0].list_sas()}
    assert states == {state.spi: state for state in tokyo.kernel.list_sas()}
    assert states[0x1000].encapsulation == ports
    assert (states[0x2000].mode, str(states[0x3000].source)) == (TRANSPORT, tokyo.address6)


def test_a_table_longer_than_the_buffer(gateways, keys):
    tokyo, _osaka = gateways
    for number in range(300):
        keys[0].add_sa(tunnel_sa(tokyo.address, tokyo.peer, 0x1000 + number, replay_window=4))
    assert len({state.spi for state in keys[0].list_sas()}) == 300
    keys[0].flush_sas()
    keys[0].flush_sas()
    assert keys[0].list_sas() == []


def test_policies_are_what_xfrm_sees(gateways, keys):
    tokyo, _osaka = gateways
    selector = TrafficSelector(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("10.0.0.0/8"), 6, 0, 22)
    wanted = {*policies(tokyo, reqid=9), *policies(tokyo, six=True), *transport_policies(tokyo)}
    wanted |= {Policy(selector, IN, "discard", priority=3), Policy(selector, FWD, "bypass", priority=4)}
    for policy in wanted:
        keys[0].add_policy(policy)
    assert {state.policy for state in tokyo.kernel.list_policies()} == wanted
    by_index = {state.index: state for state in tokyo.kernel.list_policies()}
    assert {state.index: state for state in keys[0].list_policies()} == by_index
    for policy in wanted:
        assert keys[0].delete_policy(policy) is True
        assert keys[0].delete_policy(policy) is False
    assert keys[0].list_policies() == []


def test_a_second_insert_replaces_the_first(gateways, keys):
    tokyo, _osaka = gateways
    outbound = policies(tokyo)[0]
    keys[0].add_policy(outbound)
    keys[0].add_policy(replace(outbound, action="discard", templates=()))
    assert [state.policy.action for state in keys[0].list_policies()] == ["discard"]
    keys[0].flush_policies()
    keys[0].flush_policies()
    assert keys[0].list_policies() == []


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({"reqid": 16384}, "add policy: reqid 16384: PF_KEY takes 16383 at most"),
        ({"reqid": 1, "level": "use"}, "add policy: PF_KEY binds no policy of level use to a reqid"),
    ],
)
def test_templates_that_pfkey_cannot_say(gateways, keys, template, words):
    tokyo, _osaka = gateways
    with pytest.raises(KernelError) as caught:
        keys[0].add_policy(policies(tokyo, **template)[1])
    assert str(caught.value) == words


def test_an_acquire_is_told_from_the_policys_id(gateways, keys):
    tokyo, _osaka = gateways
    for policy in policies(tokyo, reqid=9):
        keys[0].add_policy(policy)
    tokyo.ping(tokyo.far, count=1)
    events = next_event(keys[0])
    index = next(state.index for state in keys[0].list_policies() if state.policy.direction == OUT)
    selector = policies(tokyo)[0].selector
    assert events == [
        Acquire(
            policy=selector,
            packet=selector,
            source=ipaddress.ip_address(tokyo.address),
            destination=ipaddress.ip_address(tokyo.peer),
            protocol=ESP,
            mode=TUNNEL,
            reqid=9,
            policy_index=index,
            sequence=events[0].sequence,
        )
    ]


def test_an_sa_expires_softly_then_hard(gateways, keys):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, reqid=9, replay_window=4, lifetime=Lifetime(1, 3))
    keys[0].add_sa(association)
    events = []
    while len(events) < 2:
        events += next_event(keys[0])
    assert events == [Expire(association.id, hard, 9) for hard in (False, True)]


def test_the_recorded_tunnel_carries_pings(gateways, keys):
    tokyo, _osaka = gateways
    for site, kernel in zip(gateways, keys):
        for association in recorded_sas():
            kernel.add_sa(association)
        for policy in policies(site):
            kernel.add_policy(policy)
    assert tokyo.ping(tokyo.far)
    assert [state.packets for state in keys[0].list_sas()] == [3, 3]


def test_esp_in_udp_and_a_bypassed_socket(gateways, keys):
    tokyo, osaka = gateways
    associations = [
        tunnel_sa(here, there, spi, encapsulation=Encapsulation(4500, 4500), replay_window=4)
        for here, there, spi in ((tokyo.address, tokyo.peer, 0x1234), (tokyo.peer, tokyo.address, 0x4321))
    ]
    ports = []
    for site, kernel in zip(gateways, keys):
        everything = TrafficSelector(ipaddress.ip_network(site.address), ipaddress.ip_network(site.peer), 17)
        kernel.add_policy(Policy(everything, OUT, "discard"))
        with site.inside():
            port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port.bind((site.address, 4500))
        kernel.bypass(port)
        kernel.encapsulate_udp(port)
        ports.append(port)
        for association in associations:
            kernel.add_sa(association)
        for policy in policies(site):
            kernel.add_policy(policy)
    ports[0].sendto(b"\0\0\0\0IKE", (osaka.address, 4500))
    ports[1].settimeout(2)
    assert ports[1].recv(100) == b"\0\0\0\0IKE"
    assert tokyo.ping(tokyo.far)
    for port in ports:
        port.close()
