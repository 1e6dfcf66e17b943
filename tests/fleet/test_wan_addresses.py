# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites whose address isn't known or changes, NAT, IPv6, and a hub with two lines. It goes after the journeys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from tests.fleet import figures
from tests.fleet.dns import NameServer
from tests.fleet.fleet import ANSWER_LIMIT, Fleet
from tests.fleet.gateway import Gateway
from tests.fleet.network import Place
from tests.fleet.pings import Pings
from tests.fleet.test_journeys import deploy, deploy_again, lost_of_others

ANOTHER = "198.18.200.1"  # no site's
NAME = "gw.spoke.example"
Way = Callable[[Fleet, Gateway], Pings]
BACK_LIMIT = 2 * ANSWER_LIMIT  # seconds until a tunnel whose site has moved is back: its silence is found out first


@pytest.fixture
def spoke(few):
    """The one whose address is another matter than usual; afterwards it has the usual one again."""
    one = few.spokes[0]
    usual = one.place
    yield one
    if one.place.own:
        one.place.leave_home(usual)
    elif one.place != usual:
        one.place.move(usual.address)
    one.place = usual


@pytest.fixture
def names(few):
    """A name server that the hub asks."""
    directory = few.controller.directory / "dns"
    directory.mkdir()
    server = NameServer(directory)
    server.start()
    server.serve(few.hub)
    yield server
    server.stop()


def test_a_spoke_whose_address_is_not_known(few, spoke):
    """It begins; its line comes back with another address, and so does its tunnel."""
    few.overrides = {spoke.name: {"ipsec_address": "unknown"}}
    with deployed(few, "a spoke of {} without a known address, deployed"):
        reached(few, spoke, "... both LANs reach each other, after the play")
        old = spoke.place
        spoke.place = old.move(ANOTHER)
        reached(few, spoke, "... its address is another one: they do again after")
        assert_forgotten(few, old)


def test_a_spoke_that_is_found_by_its_dns_name(few, spoke, names):
    """Its address changes while it's off, and its name's with it. It only waits, so that the hub is who finds it."""
    names.say(NAME, spoke.place.address)
    few.overrides = {spoke.name: {"ipsec_address": NAME}}
    with deployed(few, "a spoke of {} with a DNS name, deployed"):
        reached(few, spoke, "... the hub's LAN reaches its, after the play", [from_hub])
        old = spoke.place
        spoke.daemon("stop")
        spoke.place = old.move(ANOTHER)
        spoke.daemon("start")
        names.say(NAME, ANOTHER)
        reached(few, spoke, "... its address is another one, its name's too: again after", [from_hub])
        assert_forgotten(few, old)


def test_a_spoke_behind_nat(few, spoke):
    """It begins, through its router, which forwards nothing; then the router's line has another address, and back."""
    spoke.place = spoke.place.behind_nat()
    few.overrides = {spoke.name: {"ipsec_own_address": spoke.place.own}}
    with deployed(few, "a spoke of {} behind NAT, deployed"):
        reached(few, spoke, "... both LANs reach each other, after the play")
        old = spoke.place
        spoke.place = old.renumber(ANOTHER)
        reached(few, spoke, "... its router's address is another one: they do again after")
        assert_forgotten(few, old)
        spoke.place = spoke.place.renumber(old.address)
        reached(few, spoke, "... it's the usual one again: they do after")


def test_a_spoke_over_ipv6(few, spoke):
    """Its tunnel runs between addresses of IPv6, and carries networks of both kinds."""
    hub6, spoke6 = few.hub.place.add_ipv6(), spoke.place.add_ipv6()
    networks = {one.name: [one.place.network, one.place.network6] for one in (few.hub, spoke)}
    few.overrides = {
        few.hub.name: {
            "ipsec_networks": networks[few.hub.name],
            "ipsec_tunnel_addresses": {spoke.name: hub6.address},
        },
        spoke.name: {"ipsec_networks": networks[spoke.name], "ipsec_address": spoke6.address},
    }
    with deployed(few, "a spoke of {} over IPv6, deployed"):
        seconds = answered(few, spoke, from_spoke(few, spoke), from_hub(few, spoke))
        figures.add("... both LANs reach each other in IPv4, after the play", seconds, "s")
        directory = few.controller.directory
        pings = Pings(directory, [spoke.place], hub6.client6), Pings(directory, [few.hub.place], spoke6.client6)
        figures.add("... in IPv6, once they have", answered(few, spoke, *pings), "s")
        assert few.eventually(lambda: len(hub6.spis(spoke6)) == 4 and hub6.spis(spoke6) == spoke6.spis(hub6))
        assert_forgotten(few, spoke.place)


def test_a_hub_with_two_lines(few, spoke):
    """One spoke uses the second one's address; the others stay where they are."""
    second = few.hub.place.add_line()
    few.overrides = {few.hub.name: {"ipsec_tunnel_addresses": {spoke.name: second.address}}}
    with deployed(few, "move a tunnel of {} to the hub's second line"):
        reached(few, spoke, "... both LANs reach each other, after the play", hub=second)
        assert_forgotten(few, spoke.place)


@contextmanager
def deployed(few: Fleet, title: str) -> Iterator[None]:
    """Deploy. The others stay undisturbed, by what follows too; and then nothing differs."""
    with few.undisturbed(few.spokes[1:]) as streams:
        figures.add(title.format(len(few.spokes)), deploy(few).seconds, "s")
        yield
    deploy_again(few)
    lost_of_others(streams)


def reached(
    few: Fleet, spoke: Gateway, title: str, ways: Sequence[Way] | None = None, hub: Place | None = None
) -> None:
    """The LANs reach each other in these ways, usually both, and both kernels come to have the same two SAs."""
    figures.add(title, answered(few, spoke, *(way(few, spoke) for way in ways or (from_spoke, from_hub))), "s")
    hub = hub or few.hub.place
    assert few.eventually(lambda: len(hub.spis(spoke.place)) == 2 and hub.spis(spoke.place) == spoke.place.spis(hub))


def assert_forgotten(few: Fleet, place: Place) -> None:
    """Between the hub's usual address and the one of this place nothing is left."""
    assert few.eventually(lambda: not few.hub.place.spis(place))


def from_spoke(few: Fleet, spoke: Gateway) -> Pings:
    return few.pings([spoke])


def from_hub(few: Fleet, spoke: Gateway) -> Pings:
    return Pings(few.controller.directory, [few.hub.place], spoke.place.client)


def answered(few: Fleet, spoke: Gateway, *both: Pings) -> float:
    """Seconds until each of these had an answer. Where one had none, what the two daemons said."""
    with ExitStack() as running:
        for pings in both:
            running.enter_context(pings)
        for pings in both:
            pings.wait_for_all(BACK_LIMIT)
    seconds = [stream.seconds for pings in both for stream in pings.streams().values()]
    assert None not in seconds, "\n".join(gateway.journal()[-6000:] for gateway in (few.hub, spoke))
    return max(seconds)
