"""What brings a tunnel up, and back: start, close and DPD actions, in both versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.exchange.world import bring_up, world

VERSIONS = pytest.mark.parametrize("version", [1, 2])


def both(**changes) -> dict:
    return {"tokyo_tunnel": changes, "osaka_tunnel": changes}


def went_silent(tmp_path, version, action):
    """A pair that was up, and whose link then died; tokyo has found out."""
    pair = world(tmp_path, version=version, tokyo={"dpd_delay": 10}, tokyo_tunnel={"dpd_action": action})
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    pair.mangle = lambda datagram: []
    pair.run(120)
    assert not pair.tokyo.state.children
    pair.mangle = lambda datagram: [datagram]
    return pair


@VERSIONS
def test_start_needs_no_packet(tmp_path, version):
    pair = world(tmp_path, version=version, tokyo_tunnel={"start_action": "start"})
    pair.tokyo.engine.start(pair.now)
    pair.run(5)
    assert pair.established()


@VERSIONS
def test_start_goes_on_trying_until_the_peer_is_there(tmp_path, version):
    pair = world(tmp_path, version=version, tokyo_tunnel={"start_action": "start"})
    pair.mangle = lambda datagram: []
    pair.tokyo.engine.start(pair.now)
    pair.run(3600)
    pair.mangle = lambda datagram: [datagram]
    pair.run(400)  # the longest back-off
    assert pair.established()


@VERSIONS
def test_start_respects_an_operator_across_a_reload(tmp_path, version):
    pair = world(tmp_path, version=version, tokyo_tunnel={"start_action": "start"})
    engine = pair.tokyo.engine
    engine.start(pair.now)
    pair.run(5)
    engine.down("net", pair.now)
    engine.reconfigure(engine.configuration, pair.now)
    pair.run(60)
    assert not pair.established()


@VERSIONS
def test_trap_waits_for_a_packet(tmp_path, version):
    pair = world(tmp_path, version=version)
    pair.tokyo.engine.start(pair.now)
    pair.run(60)
    assert not pair.wire
    pair.tokyo.engine.acquire(7, pair.now)
    pair.exchange()
    assert pair.established()


@VERSIONS
def test_none_waits_for_an_operator(tmp_path, version):
    pair = world(tmp_path, version=version, tokyo_tunnel={"start_action": "none"})
    pair.tokyo.engine.acquire(7, pair.now)
    pair.run(10)
    assert not pair.wire
    assert pair.tokyo.state.reason == "nobody has asked for it yet"
    bring_up(pair)
    pair.exchange()
    assert pair.established()


@VERSIONS
@pytest.mark.parametrize(("action", "back", "by_packet"), [("trap", False, True), ("clear", False, False)])
def test_a_tunnel_that_the_peer_took_down_waits(tmp_path, version, action, back, by_packet):
    pair = world(tmp_path, version=version, **both(close_action=action))
    bring_up(pair)
    pair.exchange()
    pair.osaka.engine.down("net", pair.now)
    pair.run(60)
    assert pair.established() is back
    pair.tokyo.engine.acquire(7, pair.now)
    pair.run(10)
    assert pair.established() is by_packet


@VERSIONS
def test_a_tunnel_that_the_peer_took_down_comes_back_by_itself_where_that_is_wanted(tmp_path, version):
    pair = world(tmp_path, version=version, tokyo_tunnel={"close_action": "restart"})
    bring_up(pair)
    pair.exchange()
    pair.osaka.engine.down("net", pair.now)
    pair.exchange()
    assert not pair.established()
    pair.run(10)
    assert pair.established()


@VERSIONS
def test_a_silent_peer_is_tried_again_until_it_answers(tmp_path, version):
    pair = went_silent(tmp_path, version, "restart")
    pair.run(400)
    assert pair.established()


@VERSIONS
@pytest.mark.parametrize(("action", "by_packet"), [("trap", True), ("clear", False)])
def test_after_a_silent_peer_it_waits(tmp_path, version, action, by_packet):
    pair = went_silent(tmp_path, version, action)
    sent = len(pair.wire)
    pair.run(60)
    assert not [name for name, _datagram in pair.wire[sent:] if name == "tokyo"]
    pair.tokyo.engine.acquire(7, pair.now)
    pair.run(100)
    assert pair.tokyo.state.up is by_packet


@VERSIONS
def test_clear_still_lets_the_peer_begin(tmp_path, version):
    pair = went_silent(tmp_path, version, "clear")
    pair.osaka.engine.reauthenticate("net", pair.now, lambda *outcome: None)
    pair.exchange()
    assert pair.established()


@VERSIONS
@pytest.mark.parametrize("change", [{"replay_window": 1024}, {"dpd_action": "trap"}, {"lifetime_packets": 1 << 20}])
def test_a_reload_that_changes_them_renews_the_tunnel_without_a_gap(tmp_path, version, change):
    pair = world(tmp_path, version=version)
    bring_up(pair)
    pair.run(100)
    old = pair.tokyo.engine.configuration
    changes = pair.tokyo.engine.reconfigure(replace(old, tunnels=(replace(old.tunnels[0], **change),)), pair.now)
    assert changes["renewed"] == ["net_out"]
    assert pair.established()
    pair.run(300)
    (child,) = pair.tokyo.state.children
    assert getattr(child.tunnel, next(iter(change))) == next(iter(change.values()))
