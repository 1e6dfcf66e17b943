"""Traffic selectors: narrowing never widens, and people can read the outcome."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.policy import v2_selectors as ts
from ike.policy.sa import TrafficSelector
from ike.wire.v2 import Selector


def network(text: str):
    return ipaddress.ip_network(text)


def end(text: str, protocol: int = 0, port: int = 0) -> Selector:
    return ts.encode_end(network(text), protocol, port)


def test_a_network_is_a_range_from_its_first_to_its_last_address():
    one = end("192.168.10.0/24")
    assert (one.kind, one.first_port, one.last_port) == (7, 0, 65535)
    assert (one.first, one.last) == (bytes([192, 168, 10, 0]), bytes([192, 168, 10, 255]))
    assert end("2001:db8::/32").kind == 8


@pytest.mark.parametrize(
    "theirs, ours, expected",
    [
        ("0.0.0.0/0", "192.168.10.0/24", "192.168.10.0/24"),
        ("192.168.10.16/28", "192.168.10.0/24", "192.168.10.16/28"),
        ("192.168.20.0/24", "192.168.10.0/24", "nothing"),
        ("::/0", "192.168.10.0/24", "nothing"),
        ("::/0", "2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_narrowing(theirs, ours, expected):
    assert ts.describe(ts.narrowed([end(theirs)], [end(ours)])) == expected


def test_narrowing_keeps_every_part_that_fits_in_the_peers_order():
    theirs = [end("10.0.0.0/8"), end("192.168.10.5/32"), end("192.168.0.0/16")]
    assert ts.describe(ts.narrowed(theirs, [end("192.168.10.0/24")])) == "192.168.10.5/32, 192.168.10.0/24"


@pytest.mark.parametrize(
    "theirs, ours, expected",
    [
        ((0, 0), (6, 80), "10.0.0.0/8 protocol 6 port 80"),
        ((6, 0), (0, 0), "10.0.0.0/8 protocol 6"),
        ((6, 80), (6, 443), "nothing"),
        ((6, 80), (17, 80), "nothing"),
    ],
)
def test_protocols_and_ports(theirs, ours, expected):
    assert ts.describe(ts.narrowed([end("10.0.0.0/8", *theirs)], [end("10.0.0.0/8", *ours)])) == expected


def test_an_icmp_type_and_code_stand_in_the_port():
    traffic = TrafficSelector(network("10.0.0.0/8"), network("11.0.0.0/8"), 1, 8, 0)
    assert [(one.first_port, one.last_port) for one in ts.ends(traffic)] == [(0x800, 0x800)] * 2


ranges = st.builds(
    lambda protocol, ports, addresses: Selector(
        7, protocol, min(ports), max(ports), *(number.to_bytes(4, "big") for number in sorted(addresses))
    ),
    st.sampled_from([0, 1, 6, 17]),
    st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
)


@given(st.lists(ranges, max_size=5), st.lists(ranges, max_size=3))
def test_what_is_narrowed_lies_within_both(theirs, ours):
    common = ts.narrowed(theirs, ours)
    assert all(ts.within([one], ours) for one in common)
    assert all(ts.within([one], theirs) for one in common)


def test_an_answer_that_widens_or_leaves_nothing_is_refused():
    assert ts.within([end("192.168.10.0/28")], [end("192.168.10.0/24")])
    assert not ts.within([end("192.168.0.0/16")], [end("192.168.10.0/24")])
    assert not ts.within([], [end("192.168.10.0/24")])
    backwards = Selector(7, 0, 0, 65535, bytes([192, 168, 10, 9]), bytes([192, 168, 10, 1]))
    assert not ts.within([backwards], [end("192.168.10.0/24")])
    assert ts.describe([backwards]) == "192.168.10.9-192.168.10.1"


def both_ends(*pairs):
    return ts.Ends(tuple((end(*local), end(*peer)) for local, peer in pairs))


def test_pairs_without_anything_at_one_end_are_left_out_with_their_other_end():
    ours = both_ends(
        (("10.1.0.0/16",), ("10.2.0.0/16",)), (("10.3.0.0/16",), ("10.4.0.0/16",)), (("10.5.0.0/16",), ("10.2.0.0/16",))
    )
    local, peer = [end("10.0.0.0/8")], [end("10.2.0.0/24"), end("172.16.0.0/12")]
    assert ours.unserved(local, peer) == [1]
    assert tuple(map(ts.describe, ours.narrowed(local, peer))) == ("10.1.0.0/16, 10.5.0.0/16", "10.2.0.0/24")
    assert ts.describe(ours.peer) == "10.2.0.0/16, 10.4.0.0/16"


def test_a_pairs_protocol_keeps_to_itself():
    """What one end has for one protocol goes with no other protocol of the other end."""
    ours = both_ends((("10.1.0.0/16", 1), ("10.2.0.0/16", 1)), (("10.1.0.0/16", 6), ("10.2.0.0/16", 6, 22)))
    local, peer = [end("10.1.0.0/16", 6)], [end("10.2.0.0/16")]
    assert ours.unserved(local, peer) == [0]
    assert ts.describe(ours.narrowed(local, peer)[1]) == "10.2.0.0/16 protocol 6 port 22"


def test_single_addresses_are_translated_and_others_are_not():
    seen = ipaddress.ip_address("203.0.113.7")
    assert ts.describe(ts.translated([end("10.0.0.1/32"), end("10.0.0.0/8")], seen)) == "203.0.113.7/32, 10.0.0.0/8"
