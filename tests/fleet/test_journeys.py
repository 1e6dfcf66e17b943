# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's journeys with a fleet, in their order: each test goes on where the one before it ended.

What each test asserts has to hold; the seconds are only told.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.fleet import figures
from tests.fleet.controller import ROOT, Run
from tests.fleet.fleet import ANSWER_LIMIT, FEW, Fleet
from tests.fleet.gateway import Gateway
from tests.fleet.pings import Pings

EXECUTIONS = 3
PATTERN = str(ROOT / "tests/fleet/per_peer_pattern.yml")
PLAYBOOK = str(ROOT / "playbooks/{}.yml")
AIMS = {"deploy": 10, "no-op": 30}  # for a hub: how many times as long the per-peer task pattern takes
COMPARED_FROM = 20  # spokes: the aims are for so many
DEPLOYED = (
    "etc/racoon2",
    "usr/local/lib/tanuki-ipsec",
    "var/lib/tanuki-ipsec",
    "etc/systemd/system/tanuki-iked.service",
)

runs: dict[str, Run] = {}  # of earlier journeys, for later ones to compare with


def deploy(fleet: Fleet, limit: Gateway | None = None) -> Run:
    """Deploy: no more remote executions than are promised, whatever the number of tunnels."""
    run = fleet.play(limit=limit)
    assert max(run.executions.values()) <= EXECUTIONS
    return run


def deploy_again(fleet: Fleet, limit: Gateway | None = None) -> Run:
    """Deploy what is there already: one remote execution for each host, and no change."""
    run = fleet.play(limit=limit)
    assert set(run.changed.values()) == {0}, run.told
    assert {name: run.executions[name] for name in run.changed} == dict.fromkeys(run.changed, 1)
    return run


def remove_everything(fleet: Fleet) -> Run:
    """Take all tunnels away: no policy or SA is left."""
    run = fleet.play(PLAYBOOK.format("remove"))
    assert_removed(fleet.gateways, fleet.hub)
    return run


def assert_removed(gateways: Iterable[Gateway], hub: Gateway) -> None:
    for gateway in gateways:
        assert gateway.place.policies() == 0
        assert gateway.place.spis(hub.place) == frozenset()
        assert [path for path in DEPLOYED if (gateway.layer / path).exists()] == []


def test_the_hub_alone_with_few_peers(fleet):
    fleet.grow(FEW)
    runs["few peers, deploy"] = deploy(fleet, fleet.hub)
    runs["few peers, no-op"] = deploy_again(fleet, fleet.hub)
    deploy(fleet)
    with fleet.pings(fleet.spokes) as pings:
        pings.wait_for_all(ANSWER_LIMIT)
    remove_everything(fleet)


def test_first_deployment(fleet):
    fleet.grow(fleet.sites)
    spokes = fleet.spokes
    with fleet.pings(spokes) as pings:
        run = deploy(fleet)
        pings.wait_for_all(ANSWER_LIMIT)
    seconds = [stream.seconds for stream in pings.streams().values()]
    assert None not in seconds
    figures.add("first deployment, hub and {} spokes".format(len(spokes)), run.seconds, "s")
    figures.add("... first ping from LAN to LAN, after the play's start", min(seconds), "s")
    figures.add("... every spoke's first ping, after the play's start", max(seconds), "s")
    figures.add("... remote executions at a host, at most", max(run.executions.values()), "", EXECUTIONS)
    figures.add("... at the hub, to and from it", _kilobytes(run)["hub"], "KB")
    figures.add("... at a spoke", _kilobytes(run)["spoke01"], "KB")


def test_nothing_changed(fleet):
    with fleet.undisturbed(fleet.spokes) as streams:
        run = deploy_again(fleet)
    figures.add("no-op, hub and {} spokes".format(len(fleet.spokes)), run.seconds, "s")
    figures.add("... remote executions at a host", max(run.executions.values()), "", 1)
    figures.add("... at the hub, to and from it", _kilobytes(run)["hub"], "KB")
    lost_of_others(streams)


def test_add_a_spoke(fleet):
    others = fleet.spokes
    fleet.grow(fleet.sites + 1)
    added = fleet.spokes[-1]
    with fleet.undisturbed(others) as streams, fleet.pings([added]) as pings:
        run = deploy(fleet)
        pings.wait_for_all(ANSWER_LIMIT)
    assert pings.streams()[added.name].seconds is not None
    figures.add("add a spoke to {}".format(len(others)), run.seconds, "s")
    figures.add("... its first ping, after the play's start", pings.streams()[added.name].seconds, "s")
    lost_of_others(streams)


def test_move_a_tunnel_to_another_profile(fleet):
    moved, others = fleet.spokes[1], [fleet.spokes[0], *fleet.spokes[2:]]
    spis = frozenset().union(*fleet.spis([moved])[moved.name])
    fleet.variables["ipsec_tunnel_profiles"] = {"hub--{}".format(moved.name): "ikev1-aes"}
    with fleet.undisturbed(others) as streams, fleet.pings([moved]) as pings:
        pings.wait_for_all(ANSWER_LIMIT)
        run = deploy(fleet)
        pings.settle()
    assert fleet.eventually(lambda: all(len(now) == 2 and not now & spis for now in fleet.spis([moved])[moved.name]))
    figures.add("move a tunnel of {} from modern to ikev1-aes".format(len(fleet.spokes)), run.seconds, "s")
    lost_of_its_own(pings, moved)
    lost_of_others(streams)


def test_rotate_a_key(fleet):
    rotated, others = fleet.spokes[0], fleet.spokes[1:]
    key, spis = fleet.key(rotated), fleet.spis([rotated])
    with fleet.undisturbed(others) as streams, fleet.pings([rotated]) as pings:
        pings.wait_for_all(ANSWER_LIMIT)
        pair = "hub--{}".format(rotated.name)
        run = fleet.play(PLAYBOOK.format("rotate_psk"), ipsec_rotate_pairs=[pair])
        pings.settle()
    assert fleet.key(rotated) != key
    assert fleet.spis([rotated]) != spis
    figures.add("rotate a key of {}".format(len(fleet.spokes)), run.seconds, "s")
    lost_of_its_own(pings, rotated)
    lost_of_others(streams)


def test_rebuild_a_gateway(fleet):
    """A reinstalled gateway gets its old key, by a run for it alone, and its tunnel comes back."""
    rebuilt, others = fleet.spokes[0], fleet.spokes[1:]
    key = fleet.key(rebuilt)
    with fleet.undisturbed(others) as streams:
        fleet.reinstall(rebuilt)
        assert_removed([rebuilt], fleet.hub)
        with fleet.pings([rebuilt]) as pings:
            run = deploy(fleet, rebuilt)
            pings.wait_for_all(ANSWER_LIMIT)
    assert fleet.key(rebuilt) == key
    assert pings.streams()[rebuilt.name].seconds is not None
    figures.add("rebuild a gateway of {}, a run for it alone".format(len(fleet.gateways)), run.seconds, "s")
    figures.add("... its first ping, after the play's start", pings.streams()[rebuilt.name].seconds, "s")
    lost_of_others(streams)


def test_remove_a_spoke(fleet):
    """It leaves the inventory, the others are deployed, and remove.yml cleans it with the inventory of before."""
    removed, others = fleet.spokes[-1], fleet.spokes[:-1]
    with fleet.undisturbed(others) as streams:
        fleet.gateways.remove(removed)
        run = deploy(fleet)
        assert fleet.hub.place.spis(removed.place) == frozenset()
        fleet.gateways.append(removed)
        cleaning = fleet.play(PLAYBOOK.format("remove"), removed)
        fleet.gateways.remove(removed)
    assert_removed([removed], fleet.hub)
    figures.add("remove a spoke of {}, from the others".format(len(others) + 1), run.seconds, "s")
    figures.add("... and everything from its gateway", cleaning.seconds, "s")
    lost_of_others(streams)


def test_remove_everything(fleet):
    run = remove_everything(fleet)
    figures.add("remove everything from {} hosts".format(len(fleet.gateways)), run.seconds, "s")


def test_the_hub_alone_with_all_its_peers(fleet):
    """A host's cost doesn't grow with its peers."""
    fleet.grow(fleet.sites)
    runs["deploy"] = deploy(fleet, fleet.hub)
    runs["no-op"] = deploy_again(fleet, fleet.hub)
    for name in AIMS:
        run, few = runs[name], runs["few peers, " + name]
        figures.add("the hub alone with {} peers, {}".format(len(fleet.spokes), name), run.seconds, "s")
        figures.add("... as a part of that with {}".format(FEW), run.seconds / few.seconds, "", 1.2)
        figures.add("... bytes, likewise", run.bytes["hub"] / few.bytes["hub"], "")
        figures.add("... remote executions", run.executions["hub"], "", EXECUTIONS)
        assert run.executions["hub"] == few.executions["hub"]


def test_the_hub_by_the_per_peer_task_pattern(fleet):
    """What today's roles do, at the same hub with the same peers, and how much of its time ours takes."""
    for name, aim in AIMS.items():
        pattern = fleet.play(PATTERN, fleet.hub)
        assert (pattern.changed["hub"] == 0) == (name == "no-op")
        compared = len(fleet.spokes) >= COMPARED_FROM
        figures.add("per-peer task pattern, {} peers, {}".format(len(fleet.spokes), name), pattern.seconds, "s")
        figures.add("... remote executions", pattern.executions["hub"], "")
        figures.add(
            "... ours as a part of its time (aim 1/{})".format(aim),
            runs[name].seconds / pattern.seconds,
            "",
            1 / aim if compared else None,
        )


def lost_of_others(streams) -> None:
    sent, lost = (sum(getattr(stream, name) for stream in streams.values()) for name in ("sent", "lost"))
    figures.add("... pings lost on unrelated tunnels, of {}".format(sent), lost, "", 0)


def lost_of_its_own(pings: Pings, spoke: Gateway) -> None:
    stream = pings.streams()[spoke.name]
    assert stream.lost == 0
    figures.add("... pings lost on its own tunnel, of {}".format(stream.sent), stream.lost, "", 0)


def _kilobytes(run: Run) -> dict[str, float]:
    return {name: octets / 1000 for name, octets in run.bytes.items()}
