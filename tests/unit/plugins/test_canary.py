"""The canary for clear text: what it takes for a leak, and that the kernel's filter shows it every one.

The filter's program is run here by the few lines of BPF's machine that it uses; tests/faults runs it in a kernel, on
real packets.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence import bpf
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.canary import Watched
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import Expectation
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.wiretap import read_packet
from hypothesis import given
from hypothesis import strategies as st

LOCAL, PEER, PEER6 = ip_address("210.11.11.11"), ip_address("210.22.22.22"), ip_address("2001:db8::22")


def tunnel(*networks, peer=PEER):
    pairs = tuple((ip_network("192.168.10.0/24"), ip_network(far)) for far in networks)
    return Expectation("osaka", LOCAL, peer, pairs, ("aes256_cbc",))


def packet(source, destination, protocol=17, ports=(0, 0)):
    source, destination = ip_address(source), ip_address(destination)
    ends, payload = source.packed + destination.packed, struct.pack("!HH", *ports)
    if destination.version == 6:
        return struct.pack("!IHBB", 6 << 28, 4, protocol, 64) + ends + payload
    return struct.pack("!BBHHHBBH", 0x45, 0, 24, 0, 0, 64, protocol, 0) + ends + payload


def shown(program, data):
    """Whether BPF's machine lets a packet through; of its instructions those that the programs use."""
    counter, value = 0, 0
    while True:
        code, if_true, if_false, operand = program[counter]
        counter += 1
        if code == bpf.RETURN:
            return operand > 0
        if code == bpf.LOAD and operand == bpf.PROTOCOL:
            value = bpf.IPV6 if data[0] >> 4 == 6 else bpf.IPV4
        elif code == bpf.LOAD:
            (value,) = struct.unpack_from("!I", data, operand)
        elif code == bpf.AND:
            value &= operand
        elif code == bpf.EQUAL:
            counter += if_true if value == operand else if_false
        elif code == bpf.ALWAYS:
            counter += operand
        else:
            pytest.fail("instruction {:#x}".format(code))


@pytest.mark.parametrize(
    ("source", "destination", "protocol", "ports", "leak"),
    [
        ("192.168.10.2", "192.168.20.2", 1, (0, 0), True),
        ("210.11.11.11", "192.168.20.2", 6, (40000, 80), True),  # masqueraded
        ("192.168.10.2", "192.168.30.2", 1, (0, 0), False),
        ("192.168.10.2", "8.8.8.8", 17, (40000, 53), False),
        ("210.11.11.11", "210.22.22.22", 50, (0, 0), False),
        ("210.11.11.11", "210.22.22.22", 17, (500, 500), False),
        ("210.11.11.11", "192.168.20.2", 50, (0, 0), True),  # not to the peer
        ("fd00:10::2", "fd00:20::2", 58, (0, 0), True),
        ("fd00:10::2", "fd00:30::2", 58, (0, 0), False),
    ],
)
def test_what_is_a_leak(source, destination, protocol, ports, leak):
    watched = Watched.of([tunnel("192.168.20.0/24", "fd00:20::/64")])
    data = packet(source, destination, protocol, ports)
    assert watched.leak(read_packet(data)) is leak
    assert shown(bpf.to_networks(watched.networks), data) or not leak


@pytest.mark.parametrize(
    ("protocol", "port", "leak"),
    [(50, 0, False), (51, 0, False), (17, 500, False), (17, 4500, False), (17, 53, True), (1, 0, True)],
)
def test_where_all_the_world_is_behind_the_peer_its_own_packets_are_none(protocol, port, leak):
    watched = Watched.of([tunnel("0.0.0.0/0")])
    assert watched.leak(read_packet(packet(LOCAL, PEER, protocol, (4500, port)))) is leak


def test_a_leak_is_told_by_its_kind():
    web, odd = (packet("192.168.10.2", "192.168.20.2", *carried) for carried in ((6, (40000, 80)), (99,)))
    assert str(read_packet(web)) == "tcp port 80 192.168.10.2 -> 192.168.20.2"
    assert str(read_packet(odd)) == "protocol 99 192.168.10.2 -> 192.168.20.2"


@given(st.binary(max_size=100))
def test_any_bytes_are_a_packet_or_none(data):
    read = read_packet(data)
    assert read is None or read.destination.version in (4, 6)


NETWORKS = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda one: ip_network(one, strict=False)),
    st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(lambda one: ip_network(one, strict=False)),
)


@given(st.lists(NETWORKS, min_size=1, max_size=5), st.data())
def test_the_kernel_shows_what_goes_to_the_networks_and_nothing_else(networks, data):
    chosen = data.draw(st.sampled_from(networks))
    offset = data.draw(st.integers(0, chosen.num_addresses - 1))
    other = data.draw(st.integers(0, 2**chosen.max_prefixlen - 1))
    program = bpf.to_networks(networks)
    for destination in (chosen[offset], type(chosen.network_address)(other)):
        inside = any(destination in network for network in networks if network.version == destination.version)
        source = "::1" if destination.version == 6 else "127.0.0.1"
        assert shown(program, packet(source, destination)) is inside


def test_more_networks_than_a_program_can_hold_are_left_to_us():
    assert bpf.to_networks([ip_network((number << 12, 20)) for number in range(2000)]) == []
