"""The internet as the process that it is: two sites' sockets, its control socket, its capture, its end."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from lab import unix
from lab.internet import frames
from lab.internet.capture import count_kinds, read_capture
from lab.internet.client import Internet, InternetError
from lab.internet.frames import Arp, Packet, ethernet, ipv4, parse_ethernet
from lab.internet.rules import Rule
from lab.machine import Machine
from lab.topology import SITES

TOKYO, OSAKA = (site.outside.ip for site in SITES)
MACS = {site.name: bytes.fromhex(site.mac(1).replace(":", "")) for site in SITES}
LIMIT = 60  # seconds; a busy machine needs some of them


class Card:
    """QEMU's end of one site's link."""

    def __init__(self, machine):
        machine.directory.mkdir()
        self.mac = MACS[machine.site.name]
        self.listener = unix.listen(machine.outside_socket)
        self.listener.settimeout(LIMIT)

    def accept(self):
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(LIMIT)

    def send(self, ethertype, payload):
        frame = ethernet(frames.BROADCAST, self.mac, ethertype, payload)
        self.connection.sendall(struct.pack("!I", len(frame)) + frame)

    def receive(self):
        """(type, payload) of the next frame."""
        (length,) = struct.unpack("!I", self.connection.recv(4, socket.MSG_WAITALL))
        return parse_ethernet(self.connection.recv(length, socket.MSG_WAITALL))[2:]

    def announce(self, address):
        self.send(frames.ETHERTYPE_ARP, Arp(frames.ARP_REPLY, self.mac, address, bytes(6), address).to_bytes())

    def close(self):
        self.connection.close()
        self.listener.close()


@pytest.fixture
def world(tmp_path):
    """A running internet with both sites' cards connected: (internet, tokyo's card, osaka's card)."""
    machines = [Machine(site, tmp_path / site.name) for site in SITES]
    cards = [Card(machine) for machine in machines]
    internet = Internet(tmp_path)
    internet.start(machines)
    for card in cards:
        card.accept()
    yield internet, *cards
    internet.stop()
    for card in cards:
        card.close()


def test_frames_cross_and_are_captured_once(world):
    internet, tokyo, osaka = world
    osaka.announce(OSAKA)
    wait_until(lambda: internet.status()["counters"].get("arp") == 1)
    tokyo.send(frames.ETHERTYPE_IPV4, ipv4(TOKYO, OSAKA, frames.ESP, b"sealed twice"))
    ethertype, payload = osaka.receive()
    assert (ethertype, Packet.parse(payload).payload) == (frames.ETHERTYPE_IPV4, b"sealed twice")
    assert internet.status()["links"] == {"tokyo": True, "osaka": True}
    assert count_kinds(list(read_capture(internet.capture_path))) == {"esp": 1}


def test_what_is_dropped_is_captured_too(world):
    internet, tokyo, _ = world
    tokyo.send(frames.ETHERTYPE_IPV4, ipv4(SITES[0].client.ip, SITES[1].client.ip, frames.ICMP, bytes(8)))
    wait_until(lambda: internet.status()["counters"].get("dropped_unroutable") == 1)
    assert count_kinds(list(read_capture(internet.capture_path))) == {"cleartext": 1}


def test_rules_come_and_go(world):
    internet, tokyo, osaka = world
    osaka.announce(OSAKA)
    internet.add_rule(Rule("no-esp", "drop", protocol=frames.ESP))
    tokyo.send(frames.ETHERTYPE_IPV4, ipv4(TOKYO, OSAKA, frames.ESP, b"lost"))
    wait_until(lambda: internet.status()["rules"][0]["hits"] == 1)
    internet.remove_rule("no-esp")
    assert internet.status()["rules"] == []
    tokyo.send(frames.ETHERTYPE_IPV4, ipv4(TOKYO, OSAKA, frames.ESP, b"found"))
    assert Packet.parse(osaka.receive()[1]).payload == b"found"


def test_a_bad_request_is_answered_and_survived(world):
    internet, _, _ = world
    with pytest.raises(InternetError, match="explode"):
        internet.add_rule(Rule("r", "explode"))
    for line in (b"\n", b"[]\n", b'{"command": "dance"}\n'):
        with unix.connect(internet.control_path, LIMIT) as connection:
            connection.sendall(line)
            assert b'"error"' in connection.makefile("rb").readline()
    assert internet.status()["rules"] == []


def test_a_machine_that_goes_and_comes_is_found_again(world):
    internet, tokyo, _ = world
    tokyo.connection.close()
    tokyo.accept()
    tokyo.announce(TOKYO)
    wait_until(lambda: internet.status()["links"]["tokyo"] and internet.status()["counters"].get("arp") == 1)


def test_is_kept_while_nothing_changes(world, tmp_path):
    internet, _, _ = world
    pid = internet.pid
    machines = [Machine(site, tmp_path / site.name) for site in SITES]
    assert not internet.start(machines)
    assert internet.pid == pid


def wait_until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
