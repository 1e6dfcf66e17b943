"""What watchers are told, in the order in which it happens."""

from __future__ import annotations

import ipaddress
import itertools

import pytest

from ike.config.settings import Endpoint
from ike.wire.header import decode_header
from tests.unit.exchange.world import bring_up, world

NAT, ELSEWHERE = ipaddress.ip_address("203.0.113.7"), ipaddress.ip_address("203.0.113.8")


def watched(gateway) -> list[dict]:
    events: list[dict] = []
    gateway.engine.host.watchers.append(lambda event: events.append(event.fields()))
    return events


def kinds(events: list[dict]) -> list[str]:
    return [event["event"] for event in events]


@pytest.mark.parametrize("version", [1, 2])
def test_up_rekeyed_and_down(tmp_path, version):
    pair = world(tmp_path, version=version)
    tokyo, osaka = watched(pair.tokyo), watched(pair.osaka)
    bring_up(pair)
    pair.exchange()
    assert kinds(tokyo) == kinds(osaka) == ["ike_sa_up", "child_up"]
    assert tokyo[1]["tunnel"] == "net_out"
    assert (tokyo[1]["spi_in"], tokyo[1]["spi_out"]) == (osaka[1]["spi_out"], osaka[1]["spi_in"])
    pair.tokyo.engine.rekey("net", pair.now, lambda *outcome: None)
    pair.run(120)
    assert kinds(tokyo)[2:] == kinds(osaka)[2:] == ["child_rekey"]
    pair.tokyo.engine.down("net", pair.now)
    pair.exchange()
    assert (tokyo[-1]["event"], tokyo[-1]["reason"]) == ("child_down", "taken down")
    assert (osaka[-1]["event"], osaka[-1]["reason"]) == ("child_down", "deleted by the peer")


def test_an_ike_sa_that_was_rekeyed_is_neither_down_nor_failed(tmp_path):
    pair = world(tmp_path, version=2, tokyo={"lifetime_seconds": 100})
    tokyo, osaka = watched(pair.tokyo), watched(pair.osaka)
    bring_up(pair)
    pair.run(230)  # replaced after 80 to 90 seconds, twice
    assert kinds(tokyo) == kinds(osaka) == ["ike_sa_up", "child_up", "ike_sa_rekey", "ike_sa_rekey"]


@pytest.mark.parametrize("version", [1, 2])
def test_failures_have_their_reasons(tmp_path, version):
    pair = world(tmp_path, version=version, psk=b"another")
    tokyo = watched(pair.tokyo)
    bring_up(pair)
    pair.run(40)
    assert kinds(tokyo)[:2] == ["ike_sa_failed", "child_failed"]
    assert all("probably the pre-shared keys differ" in event["reason"] for event in tokyo)


def test_spoofed_failures_are_told_once_a_minute(tmp_path):
    pair = world(tmp_path, version=2, osaka={"encryption": (("aes_gcm", 128),)})
    osaka = watched(pair.osaka)
    for _attempt in range(50):
        bring_up(pair)
        pair.exchange()
    assert kinds(osaka) == ["ike_sa_failed"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_dead_peer(tmp_path, version):
    pair = world(tmp_path, version=version, tokyo={"dpd_delay": 10})
    tokyo = watched(pair.tokyo)
    bring_up(pair)
    pair.exchange()
    pair.mangle = lambda datagram: []
    pair.run(60)
    assert tokyo[2]["event"] == "peer_dead"
    assert sorted(kinds(tokyo)[3:5]) == ["child_down", "ike_sa_down"]
    assert tokyo[2]["reason"]


@pytest.mark.parametrize("version", [1, 2])
def test_an_address_that_changed_behind_nat_is_told_and_followed(tmp_path, version):
    anywhere = {"peers": (Endpoint(name="IP_ANY"),)}
    pair = world(tmp_path, version=version, tokyo={"dpd_delay": 10}, osaka=anywhere)
    pair.nat["tokyo"] = NAT
    events = watched(pair.osaka)
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    assert kinds(events) == ["ike_sa_up", "child_up"]
    pair.nat["tokyo"] = ELSEWHERE
    pair.run(120)
    assert (events[2]["event"], events[2]["peer"]) == ("address_changed", "{}[4500]".format(ELSEWHERE))
    assert kinds(events)[3:] == ["child_rekey"]
    assert {sa.destination for sa in pair.osaka.installed()} == {pair.osaka.address, ELSEWHERE}
    assert pair.established()


@pytest.mark.parametrize("rekeys", ["osaka", "both"])
@pytest.mark.parametrize("version", [1, 2])
def test_after_a_nat_began_anew_traffic_goes_there_at_once(tmp_path, version, rekeys):
    """The old child can't carry it meanwhile. Where only the port is another one, too."""
    pair = world(tmp_path, version=version, osaka={"peers": (Endpoint(name="IP_ANY"),)})
    pair.nat["tokyo"] = NAT
    bring_up(pair)
    pair.run(60)
    pair.nat["tokyo"] = ELSEWHERE
    if rekeys == "both":
        pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    else:
        pair.tokyo.engine.sessions[0].liveness.doubt() if version == 2 else pair.tokyo.engine.sessions[0].inform([])
    pair.exchange()
    assert ELSEWHERE in {sa.destination for sa in pair.osaka.installed()}
    pair.run(0.1)
    if version == 2 or rekeys == "osaka":  # else tokyo has its own proof to wait for
        assert pair.tokyo.state.youngest.outbound in pair.tokyo.kernel.installed


def test_a_nat_that_changes_all_the_time_is_no_storm(tmp_path):
    """Each of its addresses in turn: a fresh child isn't given up for the next one at once."""
    pair = world(tmp_path, version=2, osaka={"peers": (Endpoint(name="IP_ANY"),)})
    places = itertools.cycle(ipaddress.ip_address("203.0.113.{}".format(number)) for number in range(10, 15))
    pair.nat["tokyo"] = next(places)
    bring_up(pair)
    pair.run(60)

    def elsewhere(datagram):
        pair.nat["tokyo"] = next(places)
        assert len(pair.wire) < 400, "a storm"
        return [datagram]

    pair.mangle = elsewhere
    pair.tokyo.engine.sessions[0].liveness.doubt()
    pair.run(30)


def test_a_lost_proof_after_a_nat_began_anew_costs_no_child(tmp_path):
    """IKEv1's peer has only the old child until it comes again: no delete may be there first."""
    pair = world(tmp_path, version=1, osaka={"peers": (Endpoint(name="IP_ANY"),)})
    pair.nat["tokyo"] = NAT
    bring_up(pair)
    pair.run(60)
    pair.nat["tokyo"] = ELSEWHERE
    lost = []

    def lose_proof(datagram):
        proof = pair.wire[-1][0] == "osaka" and decode_header(datagram).exchange == 32 and len(datagram) < 80
        if proof and not lost:
            lost.append(datagram)
            return []
        return [datagram]

    pair.mangle = lose_proof
    events = watched(pair.tokyo)
    pair.tokyo.engine.sessions[0].inform([])
    pair.run(60)
    assert lost
    assert "child_down" not in kinds(events)
    assert pair.established()
