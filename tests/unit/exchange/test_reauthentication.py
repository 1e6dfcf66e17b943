"""Authenticating anew, in both versions: make before break, for a key that was rotated."""

from __future__ import annotations

import pytest

from ike.config.psk import NEXT, PREVIOUS
from tests.unit.exchange.world import bring_up, key_file, watch_gaps, world

OLD, NEW = b"the old key of both ends", b"the new key of both ends"
# A rotation's states of one end's files: current, next, previous. Each follows from the one before in one step.
BEFORE, STAGED, SWITCHED, AFTER = (OLD, None, None), (OLD, NEW, None), (NEW, None, OLD), (NEW, None, None)
TOGETHER = [
    (BEFORE, BEFORE),
    (BEFORE, STAGED),
    (STAGED, STAGED),
    (STAGED, SWITCHED),
    (SWITCHED, SWITCHED),
    (SWITCHED, AFTER),
    (AFTER, AFTER),
]
TOGETHER += [states[::-1] for states in TOGETHER if states[0] != states[1]]


def write_keys(directory, name: str, state) -> None:
    for suffix, key in zip(("", NEXT, PREVIOUS), state):
        path = directory / "{}.psk{}".format(name, suffix)
        if key is None:
            path.unlink(missing_ok=True)
        else:
            key_file(directory, path.name, key)


def reauthenticate(pair) -> list[tuple[bool, str]]:
    outcome: list[tuple[bool, str]] = []
    pair.tokyo.engine.reauthenticate("net", pair.now, lambda success, reason: outcome.append((success, reason)))
    return outcome


@pytest.mark.parametrize("version", [1, 2])
def test_a_key_that_was_rotated_at_both_ends_takes_over_without_a_gap(tmp_path, version):
    pair = world(tmp_path, version=version)
    bring_up(pair)
    pair.run(100)
    old = pair.tokyo.state.children[0]
    for name in ("tokyo.psk", "osaka.psk"):
        key_file(tmp_path, name, b"another key")
    gaps = watch_gaps(pair)
    outcome = reauthenticate(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert old in pair.tokyo.state.children
    pair.run(120)
    assert old not in pair.tokyo.state.children
    assert pair.established() and not gaps
    assert [sa.spi for sa in pair.tokyo.installed()] == [sa.spi for sa in pair.osaka.installed()]


@pytest.mark.parametrize("version", [1, 2])
def test_where_the_new_keys_differ_the_old_sas_stay_and_the_reason_is_said(tmp_path, version):
    pair = world(tmp_path, version=version)
    bring_up(pair)
    pair.run(100)
    old = pair.tokyo.state.children[0]
    key_file(tmp_path, "tokyo.psk", b"another key")
    outcome = reauthenticate(pair)
    pair.run(60)
    assert outcome[0][0] is False
    assert "pre-shared keys differ" in outcome[0][1]
    assert old.tunnel.name == "net_out"
    assert pair.established()


@pytest.mark.parametrize("states", TOGETHER)
@pytest.mark.parametrize("version", [1, 2])
def test_both_ends_authenticate_in_every_state_that_a_rotation_passes(tmp_path, version, states):
    pair = world(tmp_path, version=version)
    for name, state in zip(("tokyo", "osaka"), states):
        write_keys(tmp_path, name, state)
    bring_up(pair)
    pair.run(100)
    old = pair.tokyo.state.children[0]
    assert reauthenticate(pair) == []
    pair.run(120)
    assert pair.established() and old not in pair.tokyo.state.children
    other = states[0][0] != states[1][0]
    assert pair.osaka.said("the other key of a rotation") == other


@pytest.mark.parametrize("version", [1, 2])
def test_a_key_that_neither_end_of_a_rotation_has_is_refused(tmp_path, version):
    pair = world(tmp_path, version=version)
    write_keys(tmp_path, "osaka", STAGED)
    key_file(tmp_path, "tokyo.psk", b"somebody else's key")
    pair.tokyo.engine.up("net", pair.now, lambda success, reason: None)
    pair.run(120)
    assert not pair.established() and pair.tokyo.said("pre-shared keys differ")


@pytest.mark.parametrize("version", [1, 2])
def test_a_staged_file_that_cant_be_used_hides_no_other(tmp_path, version, caplog):
    pair = world(tmp_path, version=version)
    write_keys(tmp_path, "osaka", (b"test", NEW, None))
    (tmp_path / "osaka.psk.next").chmod(0o644)
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    assert "osaka.psk.next: mode 0644" in caplog.text and NEW.decode() not in caplog.text


def test_a_schedule_authenticates_anew_again_and_again_without_a_gap(tmp_path):
    pair = world(tmp_path, version=2, tokyo={"reauth_seconds": 600, "lifetime_seconds": 250})
    bring_up(pair)
    pair.exchange()
    hours = [session.id for session in pair.tokyo.engine.sessions]
    for _minute in range(120):
        pair.run(60)
        assert pair.established()
    assert sum("IKE SA established" in line for line in pair.tokyo.lines) >= 10
    assert len(pair.tokyo.engine.sessions) <= 2
    assert pair.tokyo.engine.sessions[-1].id not in hours
    assert not any("failed" in line for line in pair.tokyo.lines + pair.osaka.lines)


def test_a_scheduled_authentication_that_fails_leaves_what_is_up_and_is_tried_again(tmp_path):
    pair = world(tmp_path, version=2, tokyo={"reauth_seconds": 600})
    bring_up(pair)
    pair.exchange()
    key_file(tmp_path, "osaka.psk", b"another key")
    for _minute in range(30):
        pair.run(60)
        assert pair.established()
    assert any("pre-shared keys differ" in line for line in pair.tokyo.lines)
    key_file(tmp_path, "tokyo.psk", b"another key")
    before = sum("IKE SA established" in line for line in pair.tokyo.lines)
    pair.run(300)
    assert pair.established()
    assert sum("IKE SA established" in line for line in pair.tokyo.lines) == before + 1
