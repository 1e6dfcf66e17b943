# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs in a real kernel: what was asked for is what it has, by its own account and by iproute2's."""

from __future__ import annotations

import errno
import ipaddress
from dataclasses import replace

import pytest

from ike.kernel.base import SPI_MAXIMUM, SPI_MINIMUM, KernelError
from ike.policy.sa import AH, ESP, TRANSPORT, Encapsulation, Lifetime, SaId, TrafficSelector
from tests.kernel.samples import recorded_sas, tunnel_sa

SUITES = (
    ("3des_cbc", 192, "hmac_sha1", 96),
    ("3des_cbc", 192, "hmac_md5", 96),
    ("aes_cbc", 128, "hmac_sha1", 96),
    ("aes_cbc", 192, "hmac_sha2_384", 192),
    ("aes_cbc", 256, "hmac_sha2_256", 128),
    ("aes_cbc", 256, "hmac_sha2_256_96", 96),
    ("aes_cbc", 256, "hmac_sha2_512", 256),
    ("aes_cbc", 128, "aes_xcbc", 96),
    ("aes_cbc", 128, "aes_cmac", 96),
    ("aes_ctr", 128, "hmac_sha2_256", 128),
    ("aes_gcm", 128, "", 128),
    ("aes_gcm_12", 256, "", 96),
    ("aes_gcm_8", 256, "", 64),
    ("chacha20_poly1305", 256, "", 128),
    ("blowfish_cbc", 128, "hmac_sha1", 96),
    ("cast128_cbc", 128, "hmac_sha1", 96),
    ("null_enc", 0, "hmac_sha1", 96),
)


def test_the_recorded_tunnel_is_installed_in_both_directions(gateways):
    tokyo, _osaka = gateways
    for association in recorded_sas():
        tokyo.kernel.add_sa(association)
    assert {state.id for state in tokyo.kernel.list_sas()} == {sa.id for sa in recorded_sas()}
    shown = tokyo.run("ip xfrm state")
    for association in recorded_sas():
        assert "src {} dst {}".format(association.source, association.destination) in shown
        assert "proto esp spi {:#010x} reqid 0 mode tunnel".format(association.spi) in shown
        assert "enc cbc(des3_ede) 0x" + association.encryption_key.hex() in shown
        assert "auth-trunc hmac(sha1) 0x{} 96".format(association.integrity_key.hex()) in shown
    assert shown.count("replay-window 4 ") == 2


@pytest.mark.parametrize(("encryption", "bits", "integrity", "icv"), SUITES)
def test_each_suite_reads_back_as_it_was_installed(gateways, encryption, bits, integrity, icv):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, encryption, bits, integrity, reqid=7)
    tokyo.kernel.add_sa(association)
    state = tokyo.kernel.query_sa(association.id)
    assert (state.encryption, state.encryption_bits) == (encryption, bits)
    assert (state.integrity, state.integrity_bits) == (integrity, 8 * len(association.integrity_key))
    assert (state.icv_bits, state.reqid, state.state, state.mode) == (icv, 7, "mature", "tunnel")


def test_ah_without_encryption(gateways):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, protocol=AH, encryption_key=b"")
    try:
        tokyo.kernel.add_sa(association)
    except KernelError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            pytest.skip("this kernel has no AH")
        raise
    state = tokyo.kernel.query_sa(association.id)
    assert (state.protocol, state.encryption, state.integrity) == (AH, "", "hmac_sha1")


def test_an_allocated_spi_is_larval_until_it_is_updated(gateways):
    tokyo, _osaka = gateways
    source, destination = ipaddress.ip_address(tokyo.peer), ipaddress.ip_address(tokyo.address)
    spi = tokyo.kernel.allocate_spi(source, destination, ESP, reqid=5)
    assert SPI_MINIMUM <= spi <= SPI_MAXIMUM
    state = tokyo.kernel.query_sa(SaId(destination, ESP, spi))
    assert (state.state, state.source, state.reqid, state.mode) == ("larval", source, 5, "tunnel")
    tokyo.kernel.update_sa(tunnel_sa(source, destination, spi, reqid=5))
    assert [state.state for state in tokyo.kernel.list_sas()] == ["mature"]


def test_spis_differ(gateways):
    tokyo, _osaka = gateways
    source, destination = ipaddress.ip_address(tokyo.peer), ipaddress.ip_address(tokyo.address)
    spis = {tokyo.kernel.allocate_spi(source, destination, ESP) for _number in range(20)}
    assert len(spis) == 20


def test_what_is_not_there(gateways):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234)
    assert tokyo.kernel.query_sa(association.id) is None
    assert tokyo.kernel.delete_sa(association.id) is False
    with pytest.raises(KernelError) as caught:
        tokyo.kernel.update_sa(association)
    assert caught.value.errno == errno.ESRCH


def test_delete_and_the_same_spi_twice(gateways):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234)
    tokyo.kernel.add_sa(association)
    with pytest.raises(KernelError) as caught:
        tokyo.kernel.add_sa(association)
    assert caught.value.errno == errno.EEXIST
    assert tokyo.kernel.delete_sa(association.id) is True
    assert tokyo.kernel.list_sas() == []


@pytest.mark.parametrize(
    ("window", "esn"), [(0, False), (4, False), (32, False), (33, False), (64, False), (128, True), (4096, True)]
)
def test_replay_window_and_esn_are_what_was_asked_for(gateways, window, esn):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, replay_window=window, esn=esn)
    tokyo.kernel.add_sa(association)
    state = tokyo.kernel.query_sa(association.id)
    assert (state.replay_window, state.esn) == (window, esn)
    assert ("esn" in tokyo.run("ip xfrm state")) == (esn or window > 32)


def test_esn_without_a_window_is_refused_with_the_kernels_reason(gateways):
    tokyo, _osaka = gateways
    with pytest.raises(KernelError) as caught:
        tokyo.kernel.add_sa(tunnel_sa(tokyo.address, tokyo.peer, 0x1234, replay_window=0, esn=True))
    assert caught.value.errno == errno.EINVAL
    assert str(caught.value).startswith("add SA: Invalid argument")


def test_a_wrong_key_length_is_refused_without_showing_the_key(gateways):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, encryption_key=b"secret")
    with pytest.raises(KernelError) as caught:
        tokyo.kernel.add_sa(association)
    assert caught.value.errno == errno.EINVAL
    assert b"secret".hex() not in str(caught.value)


def test_lifetimes(gateways):
    tokyo, _osaka = gateways
    lifetime = Lifetime(2880, 3600, 1 << 30, 1 << 31, 1000, 2000)
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, lifetime=lifetime)
    tokyo.kernel.add_sa(association)
    assert tokyo.kernel.query_sa(association.id).lifetime == lifetime


def test_udp_encapsulation(gateways):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, encapsulation=Encapsulation(4500, 61000))
    tokyo.kernel.add_sa(association)
    assert tokyo.kernel.query_sa(association.id).encapsulation == Encapsulation(4500, 61000)
    assert "encap type espinudp sport 4500 dport 61000" in tokyo.run("ip xfrm state")


def test_transport_mode_with_a_selector(gateways):
    tokyo, _osaka = gateways
    selector = TrafficSelector(ipaddress.ip_network(tokyo.address), ipaddress.ip_network(tokyo.peer), 6, 0, 22)
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, mode=TRANSPORT, selector=selector)
    tokyo.kernel.add_sa(association)
    state = tokyo.kernel.query_sa(association.id)
    assert (state.mode, state.selector) == ("transport", selector)


def test_ipv6(gateways):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address6, tokyo.peer6, 0x1234, "aes_gcm", 256, "")
    tokyo.kernel.add_sa(association)
    (state,) = tokyo.kernel.list_sas()
    assert (str(state.source), str(state.destination)) == (tokyo.address6, tokyo.peer6)
    assert state.selector is None


def test_each_site_has_its_own_sad(gateways):
    tokyo, osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234)
    tokyo.kernel.add_sa(association)
    assert osaka.kernel.list_sas() == []
    osaka.kernel.add_sa(replace(association, reqid=9))
    assert osaka.kernel.query_sa(association.id).reqid == 9


def test_a_table_longer_than_a_datagram(gateways):
    tokyo, _osaka = gateways
    for number in range(200):
        tokyo.kernel.add_sa(tunnel_sa(tokyo.address, tokyo.peer, 0x1000 + number))
    assert len({state.spi for state in tokyo.kernel.list_sas()}) == 200
    tokyo.kernel.flush_sas()
    assert tokyo.kernel.list_sas() == []
