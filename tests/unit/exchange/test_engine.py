"""The engine's own decisions: reconfiguration by difference, half-open limits, events that were lost."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from ike.config.settings import Traffic
from ike.exchange import hooks
from ike.exchange.effects import RunScript
from ike.exchange.path import Path
from tests.unit.exchange.world import OSAKA, TOKYO, bring_up, world


def more(tunnel, number: int):
    """Another tunnel with the same peer."""
    networks = [ipaddress.ip_network("10.{}.{}.0/24".format(side, number)) for side in (1, 2)]
    return replace(tunnel, name="more_{}".format(number), selector=Traffic(*networks), reqid=100 + number)


def spis(gateway) -> set[int]:
    return {association.spi for association in gateway.kernel.installed.values()}


def test_what_did_not_change_keeps_its_sas(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    before = spis(pair.tokyo)
    old = pair.tokyo.engine.configuration
    tunnels = (more(old.tunnels[0], 1), replace(old.tunnels[0], rank=9))
    changes = pair.tokyo.engine.reconfigure(replace(old, tunnels=tunnels), pair.now)
    pair.exchange()
    assert changes == {"added": ["more_1"], "changed": [], "renewed": [], "removed": [], "kept": ["net_out"]}
    assert spis(pair.tokyo) == before
    assert pair.tokyo.engine.tunnels.get("net_out").up


def test_a_dry_run_only_tells(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    old = pair.tokyo.engine.configuration
    changes = pair.tokyo.engine.reconfigure(replace(old, tunnels=()), pair.now, dry_run=True)
    assert changes["removed"] == ["net_out"]
    assert pair.tokyo.engine.configuration is old
    assert pair.established()


def test_a_removed_tunnel_is_deleted_at_both_ends(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    old = pair.tokyo.engine.configuration
    pair.tokyo.engine.reconfigure(replace(old, tunnels=(), remotes=()), pair.now)
    pair.exchange()
    assert not spis(pair.tokyo)
    assert not spis(pair.osaka)
    assert not pair.osaka.engine.sessions


def test_a_changed_tunnel_comes_up_again_as_it_is_now(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    before = spis(pair.tokyo)
    old = pair.tokyo.engine.configuration
    changed = replace(old.tunnels[0], lifetime_seconds=600)
    changes = pair.tokyo.engine.reconfigure(replace(old, tunnels=(changed,)), pair.now)
    pair.run(5)
    assert changes["renewed"] == ["net_out"]
    assert pair.established()
    assert spis(pair.tokyo) >= before
    pair.run(120)
    assert pair.established()
    assert not spis(pair.tokyo) & before
    assert {child.lifetime_seconds for child in pair.tokyo.state.children} == {600}


def test_a_reconfigured_tunnel_does_not_take_the_child_of_its_old_self(tmp_path):
    """The old tunnel's negotiation is still on its way when the new configuration comes."""
    pair = world(tmp_path)
    bring_up(pair)
    for _ in range(4):
        pair.deliver_once()
    old = pair.tokyo.engine.configuration
    changed = replace(old.tunnels[0], lifetime_seconds=600)
    pair.tokyo.engine.reconfigure(replace(old, tunnels=(changed,)), pair.now)
    pair.run(30)
    assert {child.tunnel.lifetime_seconds for child in pair.tokyo.state.children} <= {600}


def test_an_unchanged_tunnel_that_is_just_connecting_survives(tmp_path):
    pair = world(tmp_path)
    outcome = bring_up(pair)
    pair.deliver_once()
    old = pair.tokyo.engine.configuration
    pair.tokyo.engine.reconfigure(replace(old, tunnels=(*old.tunnels, more(old.tunnels[0], 1))), pair.now)
    pair.exchange()
    assert outcome == [(True, "")]


def test_hooks_tell_of_every_event_once(tmp_path):
    scripts = tuple((event, "/hook") for event in (hooks.IKE_SA_UP, hooks.IKE_SA_DOWN, hooks.CHILD_UP))
    scripts += ((hooks.CHILD_REKEY, "/hook"), (hooks.CHILD_DOWN, "/hook"))
    pair = world(tmp_path, tokyo={"scripts": scripts})
    told = []
    perform = pair.tokyo.engine.host.perform
    pair.tokyo.engine.host.perform = lambda effect: (
        told.append(effect) if isinstance(effect, RunScript) else perform(effect)
    )
    bring_up(pair)
    pair.run(3600)
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.run(60)
    pair.tokyo.engine.close(pair.now)
    assert [effect.event for effect in told] == [
        hooks.IKE_SA_UP,
        hooks.CHILD_UP,
        hooks.CHILD_REKEY,
        hooks.CHILD_DOWN,
        hooks.IKE_SA_DOWN,
    ]
    environment = dict(told[1].environment)
    assert environment["LOCAL_NET_ADDR"] == "192.168.10.0"
    assert environment["REMOTE_NET_PREFIXLEN"] == "24"
    assert environment["SELECTOR2_INDEX"] == "net_in"


def test_half_open_sessions_are_limited_per_peer_and_do_not_stay(tmp_path):
    pair = world(tmp_path)
    pair.tokyo.engine.up("net", pair.now, lambda success, reason: None)
    first = pair.tokyo.engine.outbox[0][1]
    for number in range(200):
        forged = (number + 1).to_bytes(8, "big") + first[8:]
        pair.osaka.engine.receive(forged, Path(OSAKA, TOKYO), pair.now)
    assert len(pair.osaka.engine.sessions) == 10
    assert pair.osaka.engine.host.counters["refused_half_open"] == 190
    pair.tokyo.engine.outbox.clear()
    pair.osaka.engine.outbox.clear()
    pair.osaka.engine.run_timers(pair.now + 120)
    assert not pair.osaka.engine.sessions
    assert pair.osaka.engine.deadline() is None


def test_a_stranger_gets_no_answer(tmp_path):
    pair = world(tmp_path)
    pair.tokyo.engine.up("net", pair.now, lambda success, reason: None)
    first = pair.tokyo.engine.outbox[0][1]
    pair.osaka.engine.receive(first, Path(OSAKA, ipaddress.ip_address("198.51.100.1")), pair.now)
    assert not pair.osaka.engine.outbox
    assert not pair.osaka.engine.sessions


def test_children_that_the_kernel_lost_are_made_anew(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    before = spis(pair.tokyo)
    pair.tokyo.kernel.flush_sas()
    pair.tokyo.engine.compare([], pair.now)
    pair.run(30)
    assert pair.established()
    assert not spis(pair.tokyo) & before
