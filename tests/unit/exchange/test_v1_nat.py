"""NAT traversal in IKEv1: RFC 3947, the drafts that old peers speak, transport mode behind NAT."""

from __future__ import annotations

import ipaddress

import pytest

from ike.config.settings import Endpoint, Traffic
from ike.exchange.v1 import vendor
from ike.policy import v1_proposals
from ike.wire.v1_numbers import Encapsulation
from tests.unit.exchange.world import OSAKA, TOKYO, bring_up, world

NAT = ipaddress.ip_address("203.0.113.7")


def behind_nat(tmp_path, **changes):
    """tokyo sits behind NAT; osaka knows it by the NAT's address."""
    pair = world(
        tmp_path,
        osaka={"peers": (Endpoint(NAT, port=500),)},
        osaka_tunnel={"peers_address": NAT, **changes.pop("osaka_tunnel", {})},
        **changes,
    )
    pair.nat = {"tokyo": NAT}
    return pair


def only(monkeypatch, *vendors):
    """Let both ends announce nothing else."""
    monkeypatch.setattr(vendor, "_KNOWN", vendors)


def test_a_nat_is_found_and_esp_travels_in_udp(tmp_path):
    pair = behind_nat(tmp_path)
    assert bring_up(pair) == []
    pair.exchange()
    assert pair.established()
    session = pair.tokyo.engine.sessions[0]
    assert (session.local_nat, session.peer_nat) == (True, False)
    assert (session.path.local_port, session.path.peer_port) == (4500, 4500)
    for gateway in pair.gateways():
        assert all(sa.encapsulation is not None for sa in gateway.installed())


@pytest.mark.parametrize("draft", [vendor.NAT_TRAVERSAL_02, vendor.NAT_TRAVERSAL_03])
def test_a_peer_that_knows_only_a_draft_gets_its_numbers(tmp_path, monkeypatch, draft):
    only(monkeypatch, draft)
    offered, encapsulation = [], v1_proposals._encapsulation
    monkeypatch.setattr(
        v1_proposals, "_encapsulation", lambda *arguments: offered.append(encapsulation(*arguments)) or offered[-1]
    )
    pair = behind_nat(tmp_path)
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    assert offered == [Encapsulation.DRAFT_UDP_TUNNEL]
    assert pair.osaka.engine.sessions[0].peer_nat


def test_the_rfc_wins_over_its_drafts(tmp_path):
    pair = behind_nat(tmp_path)
    bring_up(pair)
    pair.exchange()
    assert vendor.NAT_TRAVERSAL_03 not in pair.tokyo.engine.sessions[0].vendors
    assert vendor.NAT_TRAVERSAL in pair.tokyo.engine.sessions[0].vendors


def test_without_a_common_way_nothing_is_translated(tmp_path):
    pair = behind_nat(tmp_path, tokyo={"nat_traversal": False})
    bring_up(pair)
    pair.exchange()
    assert not pair.tokyo.engine.sessions[0].behind_nat
    assert not pair.osaka.engine.sessions[0].behind_nat


def host_to_host(local, peer):
    networks = [ipaddress.ip_network(address) for address in (local, peer)]
    return {"mode": "transport", "selector": Traffic(*networks)}


@pytest.mark.parametrize("starter", ["tokyo", "osaka"])
def test_transport_mode_names_original_addresses_and_takes_the_seen_ones(tmp_path, starter):
    pair = behind_nat(tmp_path, tokyo_tunnel=host_to_host(TOKYO, OSAKA), osaka_tunnel=host_to_host(OSAKA, NAT))
    outcome = bring_up(pair, getattr(pair, starter))
    pair.exchange()
    if starter == "osaka":
        # The NAT in front of tokyo lets osaka's packets in here; its selectors name the NAT's address.
        assert outcome == [(True, "")]
    assert pair.established()
    (selector,) = {sa.selector for sa in pair.osaka.installed() if sa.source == OSAKA}
    assert (selector.source, selector.destination) == (ipaddress.ip_network(OSAKA), ipaddress.ip_network(NAT))


def test_transport_mode_between_other_hosts_is_still_refused(tmp_path):
    stranger = ipaddress.ip_address("198.51.100.9")
    pair = behind_nat(tmp_path, tokyo_tunnel=host_to_host(TOKYO, OSAKA), osaka_tunnel=host_to_host(OSAKA, stranger))
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(False, "the peer refused: INVALID-ID-INFORMATION")]
