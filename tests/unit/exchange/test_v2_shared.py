"""Several selectors in one child SA (``child_per policy``), narrowed both ways (RFC 7296 2.9), and odd peers."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import replace

import pytest

from ike.config.settings import Traffic
from ike.wire.v2 import Notification, TsInitiator, TsResponder
from ike.wire.v2_numbers import Notify
from tests.unit.exchange import world as worlds
from tests.unit.exchange.test_v2_collisions import run_far_apart
from tests.unit.exchange.test_v2_tunnel import expire
from tests.unit.exchange.world import OSAKA_NET, TOKYO_NET, bring_up, watch_gaps

world = functools.partial(worlds.world, version=2)

LAB = ipaddress.ip_network("192.168.30.0/24")  # behind osaka
SHOP = ipaddress.ip_network("192.168.40.0/24")  # behind tokyo
NET, TO_LAB = Traffic(TOKYO_NET, OSAKA_NET), Traffic(TOKYO_NET, LAB)
GRID = (NET, TO_LAB, Traffic(SHOP, OSAKA_NET), Traffic(SHOP, LAB))


def give(gateway, now, selectors, shared=True) -> None:
    """An end's selectors, seen from tokyo: one policy's. Those that share a child SA share a reqid."""
    configuration = gateway.engine.configuration
    base = replace(configuration.tunnels[0], companions=(), shared=shared)
    tunnels = tuple(
        replace(
            base,
            name="net_{}".format(place),
            inbound="net_{}_in".format(place),
            selector=one if gateway.name == "tokyo" else one.reversed(),
            reqid=7 if shared else 7 + place,
            rank=place,
        )
        for place, one in enumerate(selectors)
    )
    gateway.engine.reconfigure(replace(configuration, tunnels=tunnels), now)


def several(tmp_path, here=GRID, there=GRID, tokyo_shared=True, osaka_shared=True, **changes):
    pair = world(tmp_path, **changes)
    give(pair.tokyo, pair.now, here, tokyo_shared)
    give(pair.osaka, pair.now, there, osaka_shared)
    return pair


def states(gateway, now) -> dict[str, str]:
    return {one["name"]: one["state"] for one in gateway.engine.status(now)["tunnels"]}


def traffic(gateway, now) -> tuple[list[str], list[str]]:
    (child,) = gateway.engine.status(now)["tunnels"][0]["child_sas"]
    return child["traffic"]["local"], child["traffic"]["peer"]


def paired(pair) -> bool:
    """Whether both ends have one child and the same, for everything."""
    ours, theirs = ([one for one in end.state.children if one.state == "up"] for end in pair.gateways())
    return (
        len(ours) == len(theirs) == 1
        and ours[0].spi_in == theirs[0].spi_out
        and (ours[0].local_traffic, ours[0].peer_traffic) == (theirs[0].peer_traffic, theirs[0].local_traffic)
        and not ours[0].unserved + theirs[0].unserved
    )


@pytest.mark.parametrize("pfs", [False, True])
@pytest.mark.parametrize("first", ["tokyo", "osaka"])
def test_one_child_carries_every_network_and_is_replaced_as_one(tmp_path, first, pfs):
    pair = several(tmp_path, tokyo={"need_pfs": pfs}, osaka={"need_pfs": pfs}, seed=1)
    outcome = bring_up(pair, getattr(pair, first))
    pair.run(10)
    assert outcome == [(True, "")]
    assert paired(pair)
    assert states(pair.tokyo, pair.now) == dict.fromkeys(["net_0", "net_1", "net_2", "net_3"], "up")
    assert traffic(pair.tokyo, pair.now) == (
        ["192.168.10.0/24", "192.168.40.0/24"],
        ["192.168.20.0/24", "192.168.30.0/24"],
    )
    assert {sa.reqid for sa in pair.osaka.installed()} == {7}
    gaps = watch_gaps(pair)
    for end in pair.gateways():
        expire(end, pair)
        pair.run(60)
        assert paired(pair)
    assert not gaps


@pytest.mark.parametrize("seed", range(4))
def test_both_ends_at_once_over_a_slow_line(tmp_path, seed):
    pair = several(tmp_path, seed=seed)
    for end in pair.gateways():
        end.engine.acquire(7, pair.now)
    run_far_apart(pair, 90, latency=0.2)
    assert paired(pair)
    for end in pair.gateways():
        expire(end, pair)
    run_far_apart(pair, 90, latency=0.2)
    assert paired(pair)


@pytest.mark.parametrize("first", ["tokyo", "osaka"])
def test_what_one_end_lacks_is_left_out_and_said(tmp_path, first):
    pair = several(tmp_path, there=GRID[:1])
    bring_up(pair, getattr(pair, first))
    pair.run(5)
    assert states(pair.tokyo, pair.now) == {"net_0": "up", "net_1": "down", "net_2": "down", "net_3": "down"}
    reasons = {one["name"]: one["reason"] for one in pair.tokyo.engine.status(pair.now)["tunnels"]}
    assert "child_per" in reasons["net_1"] and not reasons["net_0"]
    assert pair.tokyo.said("without net_1, net_2, net_3: the peer left it out")
    assert traffic(pair.tokyo, pair.now) == (["192.168.10.0/24"], ["192.168.20.0/24"])


def test_a_network_within_a_wider_one_is_narrowed_in_its_own_place(tmp_path):
    whole = Traffic(TOKYO_NET, ipaddress.ip_network("192.168.0.0/16"))
    pair = several(tmp_path, here=(whole,), there=(NET, TO_LAB))
    bring_up(pair)
    pair.run(5)
    assert paired(pair)
    assert traffic(pair.tokyo, pair.now) == (["192.168.10.0/24"], ["192.168.20.0/24", "192.168.30.0/24"])


def test_protocols_and_ports_side_by_side(tmp_path):
    one = (Traffic(TOKYO_NET, OSAKA_NET, 1), Traffic(TOKYO_NET, OSAKA_NET, 6, 0, 22))
    pair = several(tmp_path, here=one, there=one)
    bring_up(pair)
    pair.run(5)
    assert paired(pair)
    assert traffic(pair.osaka, pair.now)[0] == ["192.168.20.0/24 protocol 1", "192.168.20.0/24 protocol 6 port 22"]


def answers_of(pair, gateway) -> list[list[Notification]]:
    """The notifications of each message that an end has sealed."""
    session = gateway.engine.sessions[0]
    found = []
    seal = session.runner._sealed

    def sealed(exchange, flags, message_id, payloads):
        found.append([one for one in payloads if isinstance(one, Notification)])
        return seal(exchange, flags, message_id, payloads)

    session.runner._sealed = sealed
    return found


def test_an_end_with_a_child_for_each_selector_says_that_there_is_more(tmp_path):
    """ADDITIONAL_TS_POSSIBLE, and both ends' logs name the setting that they differ in."""
    pair = several(tmp_path, osaka_shared=False)
    bring_up(pair)
    pair.deliver_once()
    said = answers_of(pair, pair.osaka)
    pair.run(5)
    assert Notify.ADDITIONAL_TS_POSSIBLE in [one.kind for one in said[0]]
    assert states(pair.tokyo, pair.now)["net_1"] == "down"
    assert pair.osaka.said("gets net_0's, not net_1, net_2, net_3's (see child_per)")


def test_a_peer_with_a_child_for_each_selector_doesnt_take_the_others_traffic_away(tmp_path):
    """Its second child would get the packets of all: it's refused, and the first one works on."""
    pair = several(tmp_path, tokyo_shared=False)
    bring_up(pair)
    pair.run(5)
    pair.tokyo.engine.acquire(8, pair.now)
    pair.run(5)
    assert states(pair.tokyo, pair.now)["net_0"] == states(pair.osaka, pair.now)["net_0"] == "up"
    assert pair.osaka.said("one for each selector? (see child_per)")
    assert len(pair.osaka.installed()) == 2


def test_a_peer_that_starts_anew_with_fewer_networks_is_believed(tmp_path):
    pair = several(tmp_path)
    bring_up(pair)
    pair.run(5)
    give(pair.tokyo, pair.now, GRID[:1])
    pair.run(90)
    assert states(pair.tokyo, pair.now) == {"net_0": "up"}
    assert states(pair.osaka, pair.now)["net_3"] == "down"


def test_single_pair_required_names_the_setting(tmp_path):
    pair = several(tmp_path)
    outcome = bring_up(pair)
    pair.deliver_once()
    session = pair.osaka.engine.sessions[0]
    seal = session.runner._sealed

    def sealed(exchange, flags, message_id, payloads):
        """As Cisco's answer: no child, but the IKE SA."""
        kept = [one for one in payloads if not isinstance(one, (TsInitiator, TsResponder)) and one.TYPE != 33]
        return seal(exchange, flags, message_id, [*kept, Notification(Notify.SINGLE_PAIR_REQUIRED)])

    session.runner._sealed = sealed
    pair.exchange()
    assert outcome == [(False, "the peer refused the child: SINGLE_PAIR_REQUIRED (see child_per)")]


def test_scripts_run_for_each_selector(tmp_path):
    pair = several(tmp_path, tokyo={"scripts": (("child_up", "/hook"),)})
    seen = []
    perform = pair.tokyo.engine.host.perform

    def noting(effect):
        if type(effect).__name__ == "RunScript":
            seen.append(dict(effect.environment))
            return None
        return perform(effect)

    pair.tokyo.engine.host.perform = noting
    bring_up(pair)
    pair.run(5)
    assert [(one["LOCAL_NET_ADDR"], one["REMOTE_NET_ADDR"]) for one in seen] == [
        (str(one.source.network_address), str(one.destination.network_address)) for one in GRID
    ]


@pytest.mark.parametrize("name", ["net_3", "net_2_in", "net"])
def test_any_selectors_name_is_the_tunnels(tmp_path, name):
    pair = several(tmp_path)
    outcome = []
    assert pair.tokyo.engine.up(name, pair.now, lambda success, reason: outcome.append(success)) == 1
    pair.run(5)
    assert outcome == [True]


def test_another_network_takes_the_tunnel_down_and_up_again(tmp_path):
    pair = several(tmp_path, here=GRID[:1], there=GRID[:2])
    bring_up(pair)
    pair.run(5)
    assert states(pair.osaka, pair.now) == {"net_0": "up", "net_1": "down"}
    give(pair.tokyo, pair.now, GRID[:2])
    pair.run(30)
    assert states(pair.osaka, pair.now) == {"net_0": "up", "net_1": "up"}
    assert paired(pair)
