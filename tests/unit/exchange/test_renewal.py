"""A tunnel moves to another profile: its old SAs carry the traffic until new ones do, however late the peer follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ike.config.settings import Remote, Traffic
from tests.unit.exchange.world import (
    ESP_3DES,
    ESP_GCM,
    OSAKA_NET,
    TOKYO_NET,
    bring_up,
    key_file,
    settings,
    unreceivable,
    watch_gaps,
    world,
)

PROPOSALS = {1: (ESP_3DES,), 2: (ESP_GCM,)}


def connected(tmp_path, version: int = 1):
    pair = world(tmp_path, version=version)
    bring_up(pair)
    pair.run(100)
    assert pair.established()
    return pair


def move(gateway, now, version: int, **changes) -> dict:
    """Give one end the other version's profile."""
    engine = gateway.engine
    (old,) = engine.configuration.remotes
    former = old.settings(old.acceptable[0])
    ike = settings(former.my_ids[0].value, former.peers[0].address, former.pre_shared_key, version)
    remote = Remote(old.name, (ike.protocol,), **{ike.protocol: ike})
    tunnels = tuple(replace(one, proposals=PROPOSALS[version], **changes) for one in engine.configuration.tunnels)
    return engine.reconfigure(replace(engine.configuration, remotes=(remote,), tunnels=tunnels), now)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("late", [0, 7, 300])
def test_an_ike_version_is_left_behind_without_a_moment_without_sas(tmp_path, before, after, late):
    pair = connected(tmp_path, before)
    old, gaps = set(pair.tokyo.kernel.installed), watch_gaps(pair)
    assert move(pair.tokyo, pair.now, after)["renewed"] == ["net_out"]
    pair.run(late)
    assert set(pair.tokyo.kernel.installed) == old
    move(pair.osaka, pair.now, after)
    for _second in range(90):
        pair.run(1)
        assert not unreceivable(pair)
    pair.run(60)
    assert not gaps
    assert not set(pair.tokyo.kernel.installed) & old and not set(pair.osaka.kernel.installed) & old
    for gateway in pair.gateways():
        assert {session.version for session in gateway.engine.sessions} == {after}
        assert len(gateway.installed()) == 2


def test_the_old_sas_are_deleted_at_a_peer_that_has_followed(tmp_path):
    pair = connected(tmp_path)
    move(pair.tokyo, pair.now, 2)
    pair.run(5)
    move(pair.osaka, pair.now, 2)
    pair.run(20)
    assert [len(gateway.installed()) for gateway in pair.gateways()] == [2, 2]


def test_a_tunnel_that_nobody_wants_only_takes_its_new_profile(tmp_path):
    pair = world(tmp_path)
    assert move(pair.tokyo, pair.now, 2)["renewed"] == ["net_out"]
    pair.run(60)
    assert not pair.wire
    move(pair.osaka, pair.now, 2)
    bring_up(pair)
    pair.run(1)
    assert pair.established() and {one.version for one in pair.tokyo.engine.sessions} == {2}


def test_other_networks_are_no_renewal(tmp_path):
    pair = connected(tmp_path)
    changes = move(pair.tokyo, pair.now, 1, selector=Traffic(OSAKA_NET, TOKYO_NET))
    assert changes["changed"] == ["net_out"] and changes["renewed"] == []


def test_a_negotiation_of_the_former_profile_changes_nothing(tmp_path):
    pair = connected(tmp_path)
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.deliver_once()
    for gateway in pair.gateways():
        move(gateway, pair.now, 2)
    pair.run(120)
    assert pair.established()
    assert {child.encryption for gateway in pair.gateways() for child in gateway.state.children} == {"aes_gcm"}


def test_a_profile_may_change_back_before_the_peer_has_followed(tmp_path):
    pair = connected(tmp_path)
    old = set(pair.tokyo.kernel.installed)
    move(pair.tokyo, pair.now, 2)
    pair.run(30)
    assert set(pair.tokyo.kernel.installed) == old
    move(pair.tokyo, pair.now, 1)
    pair.run(120)
    assert pair.established() and not unreceivable(pair)


def test_a_peer_that_never_follows_keeps_the_tunnel_until_its_lifetime_is_over(tmp_path):
    pair = connected(tmp_path)
    move(pair.tokyo, pair.now, 2)
    key_file(tmp_path, "osaka.psk", b"whatever the peer does")
    pair.run(1800)
    assert not unreceivable(pair)
