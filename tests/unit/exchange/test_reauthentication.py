"""Authenticating anew, in both versions: make before break, for a key that was rotated."""

from __future__ import annotations

import pytest

from tests.unit.exchange.world import bring_up, key_file, world


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
    outcome = reauthenticate(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert old in pair.tokyo.state.children
    pair.run(120)
    assert old not in pair.tokyo.state.children
    assert pair.established()
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
