# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packets between two gateways, protected by SAs and policies that this package installed."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import replace

import pytest

from ike.policy.sa import TRANSPORT, Encapsulation
from tests.kernel.samples import policies, recorded_sas, transport_policies, tunnel_sa

OUTGOING = 4  # <linux/if_packet.h>: what a site sends; what arrives is shown a second time once decrypted


class Wire:
    """All that both sites send over the cable, as (IP version, protocol, UDP destination port or 0)."""

    def __init__(self, sites):
        self._sockets = [self._listen(site) for site in sites]

    @staticmethod
    def _listen(site):
        with site.inside():
            listener = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        listener.bind(("cable", 3))
        listener.setblocking(False)
        return listener

    def seen(self) -> set[tuple[int, int, int]]:
        return {packet for listener in self._sockets for packet in self._read(listener)} - {None}

    @staticmethod
    def _read(listener):
        while True:
            try:
                data, address = listener.recvfrom(2048)
            except BlockingIOError:
                return
            if address[2] == OUTGOING:
                yield described(address[1], data)

    def close(self):
        for listener in self._sockets:
            listener.close()


def described(ethertype: int, data: bytes):
    if ethertype == 0x0800:
        return 4, data[9], int.from_bytes(data[22:24], "big") if data[9] == 17 else 0
    neighbour_discovery = ethertype == 0x86DD and data[6] in (0, 58) and data[40] not in (128, 129)
    if ethertype == 0x86DD and not neighbour_discovery:
        return 6, data[6], 0
    return None


@pytest.fixture()
def wire(gateways):
    capture = Wire(gateways)
    yield capture
    capture.close()


def join(sites, associations, **template):
    """Give both sites both SAs and their own policies."""
    for site in sites:
        for association in associations:
            site.kernel.add_sa(association)
        for policy in policies(site, **template):
            site.kernel.add_policy(policy)


def both_ways(tokyo, **suite):
    return [
        tunnel_sa(tokyo.address, tokyo.peer, 0x1234, **suite),
        tunnel_sa(tokyo.peer, tokyo.address, 0x4321, **suite),
    ]


def test_without_an_sa_nothing_leaves(gateways, wire):
    tokyo, _osaka = gateways
    for site in gateways:
        for policy in policies(site):
            site.kernel.add_policy(policy)
    assert not tokyo.ping(tokyo.far, count=1)
    assert wire.seen() == set()


def test_the_recorded_tunnel_carries_pings_and_counts_them(gateways, wire):
    tokyo, osaka = gateways
    join(gateways, recorded_sas())
    assert tokyo.ping(tokyo.far)
    assert wire.seen() == {(4, 50, 0)}
    outbound, inbound = recorded_sas()
    for kernel in (tokyo.kernel, osaka.kernel):
        for association in (outbound, inbound):
            state = kernel.query_sa(association.id)
            assert (state.packets, state.bytes) == (3, 3 * 84)
            assert state.added <= state.used


@pytest.mark.parametrize(
    "suite",
    [
        {"encryption": "aes_cbc", "bits": 256, "integrity": "hmac_sha2_256"},
        {"encryption": "aes_gcm", "bits": 128, "integrity": ""},
        {"encryption": "chacha20_poly1305", "bits": 256, "integrity": ""},
        {"encryption": "aes_ctr", "bits": 256, "integrity": "hmac_sha1"},
        {"encryption": "aes_cbc", "bits": 128, "integrity": "hmac_sha1", "esn": True, "replay_window": 128},
        {"encryption": "aes_gcm", "bits": 256, "integrity": "", "esn": True, "replay_window": 4096},
    ],
    ids=lambda suite: "{}-{}{}".format(suite["encryption"], suite["bits"], "-esn" if "esn" in suite else ""),
)
def test_traffic_by_suite(gateways, wire, suite):
    tokyo, _osaka = gateways
    join(gateways, both_ways(tokyo, **suite))
    assert tokyo.ping(tokyo.far)
    assert wire.seen() == {(4, 50, 0)}


def test_ipv6_lans_through_an_ipv4_tunnel(gateways, wire):
    tokyo, _osaka = gateways
    join(gateways, both_ways(tokyo), six=True)
    assert tokyo.ping(tokyo.far6)
    assert wire.seen() == {(4, 50, 0)}


def test_an_ipv6_tunnel(gateways, wire):
    tokyo, _osaka = gateways
    associations = [
        tunnel_sa(tokyo.address6, tokyo.peer6, 0x1234, "aes_gcm", 256, ""),
        tunnel_sa(tokyo.peer6, tokyo.address6, 0x4321, "aes_gcm", 256, ""),
    ]
    for site in gateways:
        for association in associations:
            site.kernel.add_sa(association)
        outer = ipaddress.ip_address(site.address6), ipaddress.ip_address(site.peer6)
        for policy, (source, destination) in zip(policies(site), (outer, outer[::-1], outer[::-1])):
            template = replace(policy.templates[0], source=source, destination=destination)
            site.kernel.add_policy(replace(policy, templates=(template,)))
    assert tokyo.ping(tokyo.far)
    assert wire.seen() == {(6, 50, 0)}


def test_transport_mode(gateways, wire):
    tokyo, _osaka = gateways
    associations = both_ways(tokyo, mode=TRANSPORT)
    for site in gateways:
        for association in associations:
            site.kernel.add_sa(association)
        for policy in transport_policies(site):
            site.kernel.add_policy(policy)
    assert tokyo.ping(tokyo.peer)
    assert wire.seen() == {(4, 50, 0)}


def test_esp_in_udp(gateways, wire):
    tokyo, _osaka = gateways
    ports = []
    for site in gateways:
        with site.inside():
            port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port.bind((site.address, 4500))
        site.kernel.bypass(port)
        site.kernel.encapsulate_udp(port)
        ports.append(port)
    join(gateways, both_ways(tokyo, encapsulation=Encapsulation(4500, 4500)))
    answered = tokyo.ping(tokyo.far)
    for port in ports:
        port.close()
    assert answered
    assert wire.seen() == {(4, 17, 4500)}


def test_a_wrong_key_is_counted_as_an_integrity_error(gateways):
    tokyo, osaka = gateways
    outbound, inbound = both_ways(tokyo)
    join(gateways[:1], [outbound, inbound])
    join(gateways[1:], [replace(outbound, integrity_key=bytes(20)), inbound])
    assert not tokyo.ping(tokyo.far, count=2)
    state = osaka.kernel.query_sa(outbound.id)
    assert (state.integrity_errors, state.packets) == (2, 0)


def test_an_sa_of_another_reqid_is_not_used(gateways):
    tokyo, _osaka = gateways
    join(gateways, both_ways(tokyo, reqid=1), reqid=2)
    assert not tokyo.ping(tokyo.far, count=1)


def test_a_tunnel_on_demand_leaves_no_larval_sa_behind(gateways):
    tokyo, osaka = gateways
    for site in gateways:
        for policy in policies(site, reqid=7):
            site.kernel.add_policy(policy)
    assert not tokyo.ping(tokyo.far, count=1)
    (acquire,) = tokyo.kernel.read_events()
    for initiator, responder in ((tokyo, osaka), (osaka, tokyo)):
        source, destination = ipaddress.ip_address(initiator.address), ipaddress.ip_address(initiator.peer)
        spi = responder.kernel.allocate_spi(source, destination, acquire.protocol, acquire.reqid, acquire.mode)
        association = tunnel_sa(source, destination, spi, reqid=acquire.reqid)
        responder.kernel.update_sa(association)
        initiator.kernel.add_sa(association)
    assert tokyo.ping(tokyo.far)
    for site in gateways:
        assert [state.state for state in site.kernel.list_sas()] == ["mature", "mature"]
