"""Overlapping selectors are found, whichever way round, and without comparing each with each."""

import ipaddress
import random
import time

import pytest

from ike.config.checks.overlaps import Overlap, overlaps
from ike.config.settings import Traffic, Tunnel


def tunnel(name, source, destination, rank=0, protocol=0, port=0):
    traffic = Traffic(ipaddress.ip_network(source), ipaddress.ip_network(destination), protocol, 0, port)
    return Tunnel(name, "", name, name, "ipsec", True, "tunnel", "require", traffic, rank=rank)


def found(*tunnels):
    return {(one.name, other.name, kind) for one, other, kind in overlaps(tunnels)}


WIDE = ("10.0.0.0/8", "172.16.0.0/12")


@pytest.mark.parametrize(
    "source, destination, kind",
    [
        ("10.0.0.0/8", "172.16.0.0/12", Overlap.SAME),
        ("10.1.0.0/16", "172.16.0.0/12", Overlap.COVERED),
        ("10.0.0.0/8", "172.16.5.0/24", Overlap.COVERED),
        ("10.1.0.0/16", "172.16.5.0/24", Overlap.COVERED),
        ("10.1.0.0/16", "172.0.0.0/8", Overlap.CROSSING),
        ("11.0.0.0/8", "172.16.0.0/12", None),
        ("10.0.0.0/8", "172.32.0.0/12", None),
        ("fd00::/8", "fd00:1::/32", None),
    ],
)
def test_kinds(source, destination, kind):
    expected = {("b", "a", kind)} if kind else set()
    assert found(tunnel("a", *WIDE, rank=0), tunnel("b", source, destination, rank=1)) == expected


def test_crossing_the_other_way_round():
    assert found(tunnel("a", "10.1.0.0/16", "172.0.0.0/8", 0), tunnel("b", *WIDE, 1)) == {("a", "b", Overlap.CROSSING)}


def test_other_protocols_and_ports_do_not_overlap():
    web, dns = tunnel("web", *WIDE, 0, 6, 443), tunnel("dns", *WIDE, 1, 17, 53)
    assert found(web, dns) == set()
    assert found(web, tunnel("all", *WIDE, 2)) == {("web", "all", Overlap.COVERED)}


def covers(wide, narrow):
    return narrow.subnet_of(wide)


def brute_force(tunnels):
    """(who is covered, who is crossed by a narrower destination), asked of each pair."""
    covered, crossed = set(), set()
    for one in tunnels:
        for other in tunnels:
            mine, theirs = one.selector, other.selector
            if not covers(theirs.source, mine.source):
                continue
            if covers(theirs.destination, mine.destination) and (mine != theirs or other.rank < one.rank):
                covered.add(one.name)
            elif covers(mine.destination, theirs.destination) and mine.source != theirs.source:
                crossed.add(one.name)
    return covered, crossed


def test_agrees_with_comparing_each_with_each():
    generator = random.Random(7)
    networks = ["10.{}.0.0/16".format(n) for n in range(3)] + ["10.0.0.0/8", "10.0.0.0/14", "10.1.2.0/24"]
    for _ in range(200):
        pairs = [(generator.choice(networks), generator.choice(networks)) for _ in range(6)]
        tunnels = tuple(tunnel(str(rank), *pair, rank=rank) for rank, pair in enumerate(pairs))
        reported = found(*tunnels)
        covered = {one for one, _, kind in reported if kind != Overlap.CROSSING}
        crossed = {one for one, _, kind in reported if kind == Overlap.CROSSING}
        assert (covered, crossed) == brute_force(tunnels)


def test_ten_thousand_selectors_take_no_time():
    tunnels = tuple(
        tunnel(str(n), "192.168.{}.0/24".format(n % 256), "10.{}.{}.0/24".format(n >> 8, n & 255), rank=n)
        for n in range(10000)
    )
    start = time.process_time()
    assert list(overlaps(tunnels)) == []
    assert time.process_time() - start < 2
