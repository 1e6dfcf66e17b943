"""Identities of every kind, in both versions: they are checked, shown, and select the peer's tunnel."""

from __future__ import annotations

import pytest

from ike.config.settings import Identity
from tests.unit.exchange.world import bring_up, world

KINDS = {
    "fqdn": ("tokyo.example", "osaka.example"),
    "email": ("noc@tokyo.example", "noc@osaka.example"),
    "keyid": ("site 10", "site 20"),
}


def named(tmp_path, version, kind, osaka_wants=None):
    tokyo, osaka = (Identity(kind, value) for value in KINDS[kind])
    return world(
        tmp_path,
        version=version,
        tokyo={"my_ids": (tokyo,), "peers_ids": (osaka,)},
        osaka={"my_ids": (osaka,), "peers_ids": (osaka_wants or tokyo,)},
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_names_instead_of_addresses(tmp_path, version, kind):
    pair = named(tmp_path, version, kind)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    (session,) = pair.osaka.engine.sessions
    assert session.peer_id == "{} {}".format(kind, KINDS[kind][0])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_words_of_another_kind_are_another_identity(tmp_path, version, kind):
    other = "fqdn" if kind == "keyid" else "keyid"
    pair = named(tmp_path, version, kind, osaka_wants=Identity(other, KINDS[kind][0]))
    bring_up(pair)
    pair.exchange()
    assert not pair.osaka.kernel.installed
    assert pair.osaka.said("{} {}".format(kind, KINDS[kind][0]))
    assert pair.osaka.said("{} {}".format(other, KINDS[kind][0]))
