"""A tunnel that an operator takes down stays down, however far its negotiation has come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.exchange.world import bring_up, world

VERSIONS = pytest.mark.parametrize("version", [1, 2])
STEPS = pytest.mark.parametrize("steps", range(6))


def take_down(pair) -> None:
    pair.tokyo.engine.down("net", pair.now)


def deliver(pair, steps: int) -> None:
    for _step in range(steps):
        pair.deliver_once()


def nothing_left(pair) -> bool:
    return not any(gateway.kernel.installed or gateway.state.children for gateway in pair.gateways())


@VERSIONS
def test_an_attempt_that_nobody_answers_ends(tmp_path, version):
    pair = world(tmp_path, version=version)
    pair.mangle = lambda datagram: []
    outcome = bring_up(pair)
    pair.run(3)
    take_down(pair)
    assert outcome == [(False, "taken down")]
    assert not pair.tokyo.engine.sessions
    pair.mangle = lambda datagram: [datagram]
    pair.run(600)
    assert nothing_left(pair)
    assert (pair.tokyo.state.summary(), pair.tokyo.state.reason) == ("down", "taken down")


@VERSIONS
@STEPS
def test_whatever_the_negotiation_makes_yet_goes_at_both_ends(tmp_path, version, steps):
    pair = world(tmp_path, version=version)
    outcome = bring_up(pair)
    deliver(pair, steps)
    take_down(pair)
    pair.run(60)
    assert nothing_left(pair)
    assert outcome in ([(True, "")], [(False, "taken down")])
    assert pair.tokyo.state.reason == "taken down"
    assert bring_up(pair) == []
    pair.exchange()
    assert pair.established()


@VERSIONS
@STEPS
def test_a_rekey_that_is_under_way_brings_nothing_back(tmp_path, version, steps):
    pair = world(tmp_path, version=version)
    bring_up(pair)
    pair.run(30)
    pair.tokyo.engine.rekey("net", pair.now, lambda *outcome: None)
    deliver(pair, steps)
    take_down(pair)
    pair.run(60)
    assert nothing_left(pair)


@VERSIONS
@STEPS
def test_who_asks_again_at_once_gets_it(tmp_path, version, steps):
    pair = world(tmp_path, version=version)
    bring_up(pair)
    deliver(pair, steps)
    take_down(pair)
    outcome = bring_up(pair)
    pair.run(60)
    assert outcome == [(True, "")]
    assert pair.established()


@VERSIONS
def test_who_asks_again_sees_no_old_reason_meanwhile(tmp_path, version):
    pair = world(tmp_path, version=version)
    take_down(pair)
    pair.mangle = lambda datagram: []
    bring_up(pair)
    assert (pair.tokyo.state.summary(), pair.tokyo.state.reason) == ("connecting", "")


@VERSIONS
def test_an_attempt_that_fails_afterwards_changes_nothing(tmp_path, version):
    pair = world(tmp_path, version=version, psk=b"another")
    bring_up(pair)
    deliver(pair, 2)
    take_down(pair)
    sent = len(pair.wire)
    pair.run(600)
    assert pair.tokyo.state.reason == "taken down"
    assert len(pair.wire) < sent + 20


@pytest.mark.parametrize("steps", [1, 2])
def test_what_the_peer_had_begun_goes_too(tmp_path, steps):
    """IKEv1's responder has the child only with the third message: until then nobody sees that there will be one."""
    pair = world(tmp_path, version=1)
    bring_up(pair)
    pair.run(30)
    pair.osaka.engine.rekey("net", pair.now, lambda *outcome: None)
    deliver(pair, steps)
    pair.now += 0.05
    take_down(pair)
    pair.run(60)
    assert nothing_left(pair)


@VERSIONS
def test_a_reload_that_renews_it_meanwhile_negotiates_it_anew(tmp_path, version):
    """A packet has asked for it, so that nothing but the negotiation itself knows that it's wanted."""
    pair = world(tmp_path, version=version)
    engine = pair.tokyo.engine
    engine.acquire(7, pair.now)
    deliver(pair, 1)
    configuration = engine.configuration
    (old,) = configuration.tunnels
    engine.reconfigure(replace(configuration, tunnels=(replace(old, lifetime_seconds=1800),)), pair.now)
    pair.run(60)
    assert pair.established()


@VERSIONS
def test_the_peer_may_ask_for_it(tmp_path, version):
    pair = world(tmp_path, version=version)
    bring_up(pair)
    deliver(pair, 1)
    take_down(pair)
    bring_up(pair, pair.osaka)
    pair.exchange()
    assert pair.established()
