"""Peers' addresses by name: nobody waits for the resolver, and an answer that has aged serves until the next."""

from __future__ import annotations

import ipaddress
import threading
import time

import pytest

from ike.config.effective import effective
from ike.config.loader import load_text
from ike.daemon.names import FRESH, Names, ask_resolver
from ike.daemon.rim import Rim
from ike.exchange.effects import NamedAddress
from ike.exchange.errors import LocalError
from ike.exchange.host import Host
from ike.exchange.peers import Peers
from ike.kernel.none import NoneKernel
from tests.unit.daemon.test_policies import COMMON, TUNNEL

NAME = "gw.nara.example"
ONE, OTHER = (ipaddress.ip_address(text) for text in ("198.51.100.7", "198.51.100.8"))


class Resolver:
    """Answers when it is let; ``answer`` is an address, or an error."""

    def __init__(self) -> None:
        self.answer, self.asked, self.let = ONE, [], threading.Event()
        self.now = 0.0

    def ask(self, name, version):
        self.asked.append((name, version))
        self.let.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def names(self) -> Names:
        return Names(self.ask, lambda: self.now)


def eventually(find, wanted):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if find() == wanted:
                return True
        except LocalError as error:
            if str(error) == wanted:
                return True
        time.sleep(0.01)
    return False


@pytest.fixture
def resolver():
    return Resolver()


def test_nobody_waits_for_the_first_answer(resolver):
    names = resolver.names()
    for _time in range(3):
        with pytest.raises(LocalError, match="its address is being asked for"):
            names.find(NAME, 4)
    assert resolver.asked == [(NAME, 4)]
    resolver.let.set()
    assert eventually(lambda: names.find(NAME, 4), ONE)
    assert resolver.asked == [(NAME, 4)]


def test_an_aged_answer_serves_until_the_next_one(resolver):
    names = resolver.names()
    resolver.let.set()
    eventually(lambda: names.find(NAME, 4), ONE)
    resolver.let.clear()
    resolver.answer, resolver.now = OTHER, FRESH
    assert names.find(NAME, 4) == ONE and len(resolver.asked) == 2
    resolver.let.set()
    assert eventually(lambda: names.find(NAME, 4), OTHER)


def test_a_failure_is_told_and_an_address_that_was_known_stays(resolver):
    names, resolver.answer = resolver.names(), OSError(-2, "Name or service not known")
    resolver.let.set()
    assert eventually(lambda: names.find(NAME, 4), NAME + ": Name or service not known")
    resolver.answer, resolver.now = ONE, FRESH
    assert eventually(lambda: names.find(NAME, 4), ONE)
    resolver.answer, resolver.now = OSError(-3, "Temporary failure in name resolution"), 2 * FRESH
    assert names.find(NAME, 4) == ONE
    assert eventually(lambda: len(resolver.asked), 3) and names.find(NAME, 4) == ONE


def test_the_systems_resolver_is_asked_for_one_family():
    assert ask_resolver("127.0.0.1", 4) == ipaddress.ip_address("127.0.0.1")
    with pytest.raises(OSError, match="not supported"):
        ask_resolver("127.0.0.1", 6)


def test_a_tunnel_begins_with_the_peer_that_its_name_stands_for(resolver):
    rim = Rim(NoneKernel())
    rim._names = resolver.names()
    text = COMMON + TUNNEL.format("nara", "10.2.0.0/24")
    text = text.replace("peers_ipaddr 192.0.2.2", 'peers_ipaddr "{}"'.format(NAME)).replace("192.0.2.2", "IP_RW")
    meaning = effective(load_text(text.encode(), "test.conf").configuration)
    peers = Peers(meaning, Host(rim.perform, lambda level, text: None))
    tunnel = meaning.tunnels[0]
    with pytest.raises(LocalError, match="is being asked for"):
        peers.path(tunnel, peers.of(tunnel))
    resolver.let.set()
    assert eventually(lambda: rim.perform(NamedAddress(NAME, 4)), ONE)
    path = peers.path(tunnel, peers.of(tunnel))
    assert (str(path.local), path.peer) == ("192.0.2.1", ONE)
