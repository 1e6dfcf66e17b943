"""This host's own address becomes another one: what has it is left at once, and begun anew from where we are now."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import replace

import pytest

from ike.config.settings import Endpoint, Identity, Listen
from ike.exchange.effects import SourceAddress
from ike.exchange.errors import LocalError
from ike.exchange.path import Path
from tests.unit.exchange import world as worlds
from tests.unit.exchange.test_v2_tunnel import agree
from tests.unit.exchange.world import TOKYO, bring_up

world = functools.partial(worlds.world, version=2)
OTHER = ipaddress.ip_address("198.51.100.7")
IDS = {"my_ids": (Identity("fqdn", "tokyo"),)}
ANYWHERE = {"peers": (Endpoint(name="IP_RW"),), "peers_ids": (Identity("fqdn", "tokyo"),), "dpd_delay": 0}


class Line:
    """Tokyo's line, with the address that it has just now, if any."""

    def __init__(self, pair) -> None:
        self.pair = pair
        self.address = TOKYO
        self.spis: list[int] = []
        self.engine = pair.tokyo.engine
        self._perform = self.engine.host.perform
        self.engine.host.perform = self._answer

    def _answer(self, effect):
        if not isinstance(effect, SourceAddress):
            return self._perform(effect)
        if self.address is None:
            raise LocalError("no route to {}".format(effect.peer))
        return self.address

    def becomes(self, address) -> None:
        self.address = address
        if address is not None:
            self.pair.tokyo.address = address
        self.engine.addresses_changed({one for one in [address] if one is not None}, self.pair.now)

    def undisturbed(self) -> bool:
        return self.spis == [sa.spi for sa in self.pair.tokyo.installed()] != []


def up(pair) -> Line:
    """The tunnel is up, and what was under way is over."""
    line = Line(pair)
    bring_up(pair)
    pair.run(60)
    line.spis = [sa.spi for sa in pair.tokyo.installed()]
    return line


@pytest.fixture
def pair(tmp_path):
    """Tokyo's address isn't known; nobody looks after the other end."""
    tokyo, tunnels = {**IDS, "dpd_delay": 0}, ({"my_address": "MY_IP"}, {"peers_address": "IP_RW"})
    return world(tmp_path, tokyo=tokyo, osaka=ANYWHERE, tokyo_tunnel=tunnels[0], osaka_tunnel=tunnels[1])


def test_the_tunnel_is_up_again_from_the_new_address_within_seconds(pair):
    line = up(pair)
    line.becomes(OTHER)
    pair.run(2)
    assert agree(pair)
    assert {sa.source for sa in pair.tokyo.installed()} == {OTHER, pair.osaka.address}
    assert pair.tokyo.said("this host no longer has the address 210.11.11.11")
    pair.run(60)
    assert {sa.destination for sa in pair.osaka.installed()} == {OTHER, pair.osaka.address}


def test_a_line_that_comes_back_as_it_was_disturbs_nothing(pair):
    line = up(pair)
    line.becomes(None)
    pair.run(30)
    line.becomes(TOKYO)
    pair.run(30)
    assert line.undisturbed()


def test_an_address_that_the_configuration_names_is_waited_for(tmp_path):
    pair = world(tmp_path)
    line = up(pair)
    line.becomes(OTHER)
    pair.run(30)
    assert line.undisturbed()


def test_what_could_not_begin_without_an_address_begins_with_it(pair):
    line = Line(pair)
    line.address = None
    outcome = bring_up(pair)
    pair.run(1000)
    while pair.tokyo.state.retry.when < pair.now + 100:
        pair.run(10)
    assert outcome == [(False, "no route to 210.22.22.22")]
    line.becomes(OTHER)
    pair.run(2)
    assert agree(pair)


def test_a_reload_to_another_address_begins_anew_at_once(pair):
    """What was begun at the former one would be sent from a socket that is closed."""
    up(pair)
    engine, old = pair.tokyo.engine, pair.tokyo.engine.configuration
    pair.tokyo.address = OTHER
    tunnels = (replace(old.tunnels[0], my_address=OTHER),)
    engine.reconfigure(replace(old, listen=(Listen(str(OTHER), 500),), tunnels=tunnels), pair.now)
    pair.run(2)
    assert agree(pair)
    assert {sa.source for sa in pair.tokyo.installed()} == {OTHER, pair.osaka.address}


@pytest.mark.parametrize("listens", ["0.0.0.0", "MY_IP"])
def test_a_reload_that_hears_as_before_disturbs_nothing(pair, listens):
    line = up(pair)
    configuration = replace(line.engine.configuration, listen=(Listen(listens, 500),))
    line.engine.reconfigure(configuration, pair.now)
    pair.run(30)
    assert line.undisturbed()


@pytest.fixture
def older(tmp_path):
    """The same pair with IKEv1, where a child may outlive its ISAKMP SA."""
    tunnels = {"my_address": "MY_IP"}, {"peers_address": "IP_RW"}
    osaka = {**ANYWHERE, "peers_ids": (Identity("ipaddr", TOKYO),), "verify_id": False}
    ends = {"tokyo_tunnel": tunnels[0], "osaka_tunnel": tunnels[1]}
    return worlds.world(tmp_path, tokyo={"dpd_delay": 0}, osaka=osaka, **ends)


def test_a_child_without_isakmp_sa_follows_the_address(older):
    line = up(older)
    line.engine.sessions[0].abandon("its lifetime is over")
    older.run(30)
    assert line.undisturbed()
    line.becomes(OTHER)
    older.run(2)
    assert {sa.source for sa in older.tokyo.installed()} == {OTHER, older.osaka.address}


def test_what_is_at_the_new_address_already_stays(older):
    line = up(older)
    line.address = older.tokyo.address = OTHER
    tunnel, (session,) = older.tokyo.state.tunnel, line.engine.sessions
    line.engine._open(session.remote, Path(OTHER, older.osaka.address), tunnel)
    older.run(6)
    young = older.tokyo.state.youngest
    assert {session.path.local for session in line.engine.sessions} == {TOKYO, OTHER}
    line.engine.addresses_changed({OTHER}, older.now)
    older.run(5)
    assert older.tokyo.state.children == [young]
    assert [session.path.local for session in line.engine.sessions] == [OTHER]


def failing(pair) -> Line:
    """A tunnel whose peer is silent, and that waits long before its next attempt."""
    line = Line(pair)
    line.becomes(TOKYO)
    pair.mangle = lambda datagram: []
    bring_up(pair)
    while pair.tokyo.state.retry is None or pair.tokyo.state.retry.when < pair.now + 100:
        pair.run(10)
    return line


def test_an_address_of_no_tunnel_leaves_the_back_off_alone(pair):
    line = failing(pair)
    due = pair.tokyo.state.retry.when
    for addresses in ({TOKYO, OTHER}, {TOKYO}, {TOKYO, OTHER}):
        line.engine.addresses_changed(addresses, pair.now)
    assert (pair.tokyo.state.retry.when, pair.tokyo.state.failures > 3) == (due, True)


@pytest.mark.parametrize("address", [TOKYO, OTHER])
def test_an_address_that_the_tunnel_begins_at_ends_the_wait_once(pair, address):
    line = failing(pair)
    line.becomes(None)
    line.becomes(address)
    assert pair.tokyo.state.retry.when < pair.now + 2
    while pair.tokyo.state.retry is None or pair.tokyo.state.failures < 3:
        pair.run(1)
    due = pair.tokyo.state.retry.when
    line.becomes(address)  # a later look
    assert (pair.tokyo.state.retry.when, pair.tokyo.state.failures) == (due, 3)


def test_a_route_that_comes_after_its_address_ends_the_wait_too(pair):
    line = failing(pair)
    line.becomes(None)
    line.engine.addresses_changed({TOKYO}, pair.now)
    assert pair.tokyo.state.retry.when > pair.now + 2
    line.becomes(TOKYO)  # a later look: nothing has changed but the route
    assert pair.tokyo.state.retry.when < pair.now + 2


@pytest.mark.parametrize("version", [1, 2])
def test_where_a_session_has_another_address_of_ours_the_back_off_stays(tmp_path, version):
    """The route would have us begin elsewhere; but what is negotiated goes with the session that is there."""
    pair = worlds.world(tmp_path, version=version, tokyo_tunnel={"my_address": "MY_IP"})
    line = up(pair)
    line.address = OTHER
    line.engine.addresses_changed({TOKYO, OTHER}, pair.now)
    state = pair.tokyo.state
    state.begun_at, state.failures = TOKYO, 5
    line.engine.tunnels._retry_after(state, 200)
    due = state.retry.when
    for addresses in ({TOKYO, OTHER}, {TOKYO, OTHER, ipaddress.ip_address("172.17.0.1")}):
        line.engine.addresses_changed(addresses, pair.now)
    assert (state.retry.when, state.failures) == (due, 5)


def test_another_address_more_disturbs_nothing(pair):
    line = up(pair)
    line.engine.addresses_changed({TOKYO, OTHER}, pair.now)
    pair.run(30)
    assert line.undisturbed()
