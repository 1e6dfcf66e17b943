"""What the journeys left in build/fleet.json: each of them, and no ping lost on a tunnel that it wasn't about."""

from __future__ import annotations

import json

import pytest

from lab.lab import ROOT

FOR_ALL = (  # during which there's no tunnel to disturb
    "first deployment, hub and 3 spokes",
    "remove everything from 4 hosts",
)
FOR_ONE = (
    "no-op, hub and 3 spokes",
    "add a spoke to 3",
    "move a tunnel of 4 from modern to ikev1-aes",
    "rotate a key of 4",
    "rebuild a gateway of 5, a run for it alone",
    "remove a spoke of 4, from the others",
    "a deployment that cuts the controller off, undone after 30 s",
    "add an unmanaged strongSwan to 2 spokes, modern",
    "add an unmanaged Libreswan to 2 spokes, modern",
    "add an unmanaged stand-in for racoon2 to 2 spokes, ikev1-aes",
    "a spoke of 2 without a known address, deployed",
    "a spoke of 2 with a DNS name, deployed",
    "a spoke of 2 behind NAT, deployed",
    "a spoke of 2 over IPv6, deployed",
    "move a tunnel of 2 to the hub's second line",
)


@pytest.fixture(scope="module")
def rows():
    return json.loads((ROOT / "build/fleet.json").read_text())


@pytest.fixture(scope="module")
def journeys(rows):
    """Each journey's figures by their names; those that begin with dots are the one's above them."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        figures = found[list(found)[-1]] if row["name"].startswith("...") else found.setdefault(row["name"], {})
        figures[row["name"]] = row["value"]
    return found


@pytest.mark.parametrize("journey", FOR_ALL)
def test_each_journey_for_all_was_made(journeys, journey):
    assert journey in journeys


@pytest.mark.parametrize("journey", FOR_ONE)
def test_no_ping_was_lost_on_an_unrelated_tunnel(journeys, journey):
    lost = [value for name, value in journeys[journey].items() if "pings lost on unrelated tunnels" in name]
    assert lost == [0]


def test_no_ping_was_lost_on_a_tunnel_whose_key_or_profile_changed(rows):
    assert [row["value"] for row in rows if "pings lost on its own tunnel" in row["name"]] == [0, 0]


def test_every_figure_is_within_its_aim(rows):
    assert [row for row in rows if not row["holds"]] == []
