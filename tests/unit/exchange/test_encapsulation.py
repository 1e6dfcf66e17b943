"""UDP encapsulation that is forced, the replay window, and lifetimes in packets: what reaches the kernel."""

from __future__ import annotations

import pytest

from tests.unit.exchange.world import bring_up, world

VERSIONS = pytest.mark.parametrize("version", [1, 2])


@VERSIONS
@pytest.mark.parametrize("end", ["tokyo", "osaka"])
@pytest.mark.parametrize("begins", ["tokyo", "osaka"])
def test_either_end_can_force_it_whoever_begins(tmp_path, version, end, begins):
    pair = world(tmp_path, version=version, **{end: {"force_encapsulation": True}})
    bring_up(pair, getattr(pair, begins))
    pair.exchange()
    assert pair.established()
    ports = {
        (one.encapsulation.source_port, one.encapsulation.destination_port)
        for gateway in pair.gateways()
        for one in gateway.installed()
    }
    assert ports == {(4500, 4500)}
    (session,) = getattr(pair, end).engine.sessions
    assert session.local_nat


@VERSIONS
def test_without_it_there_is_none(tmp_path, version):
    pair = world(tmp_path, version=version)
    bring_up(pair)
    pair.exchange()
    assert {one.encapsulation for one in pair.tokyo.installed()} == {None}


@VERSIONS
@pytest.mark.parametrize("window", [0, 32, 128, 1024])
def test_the_replay_window_is_the_tunnel_s(tmp_path, version, window):
    pair = world(tmp_path, version=version, tokyo_tunnel={"replay_window": window})
    bring_up(pair)
    pair.exchange()
    assert {one.replay_window for one in pair.tokyo.installed()} == {window}
    assert {one.replay_window for one in pair.osaka.installed()} == {128}
    assert not window or not any(one.esn for one in pair.tokyo.installed())


@VERSIONS
def test_limits_in_bytes_and_packets_ask_for_a_rekey_before_they_end_the_sa(tmp_path, version):
    pair = world(tmp_path, version=version, tokyo_tunnel={"lifetime_bytes": 1 << 30, "lifetime_packets": 1000000})
    bring_up(pair)
    pair.exchange()
    for one in pair.tokyo.installed():
        limits = one.lifetime
        assert limits.hard_bytes == 1 << 30
        assert 0.7 * limits.hard_bytes < limits.soft_bytes < limits.hard_bytes
        assert limits.hard_packets == 1000000
        assert 0.7 * limits.hard_packets < limits.soft_packets < limits.hard_packets
    old = pair.tokyo.state.children[0]
    pair.tokyo.engine.expire(old.outbound, False, pair.now)
    pair.run(120)
    (young,) = pair.tokyo.state.children
    assert young is not old
    assert pair.established()
