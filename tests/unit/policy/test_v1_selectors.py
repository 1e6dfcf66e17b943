"""Quick mode's client identities: addresses, subnets and ranges are networks, and nothing else is."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.policy.v1_selectors import SelectorError, decode_client, describe_client, encode_client, traffic_of
from ike.wire.numbers import IdType
from ike.wire.v1 import Identification


def address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def client(kind: int, *addresses: str, protocol: int = 0, port: int = 0) -> Identification:
    return Identification(kind, protocol, port, b"".join(map(address, addresses)))


@pytest.mark.parametrize(
    "identification, network, text",
    [
        (client(IdType.IPV4_ADDR, "192.168.10.7"), "192.168.10.7/32", "ipaddr 192.168.10.7"),
        (client(IdType.IPV6_ADDR, "fd00:10::7"), "fd00:10::7/128", "ipaddr fd00:10::7"),
        (client(IdType.IPV4_ADDR_SUBNET, "192.168.10.0", "255.255.255.0"), "192.168.10.0/24", "192.168.10.0/24"),
        (client(IdType.IPV4_ADDR_SUBNET, "192.168.10.9", "255.255.255.0"), "192.168.10.0/24", "192.168.10.9/24"),
        (client(IdType.IPV4_ADDR_SUBNET, "0.0.0.0", "0.0.0.0"), "0.0.0.0/0", "0.0.0.0/0"),
        (client(IdType.IPV6_ADDR_SUBNET, "fd00:10::", "ffff:ffff:ffff:ffff::"), "fd00:10::/64", "fd00:10::/64"),
        (
            client(IdType.IPV4_ADDR_RANGE, "192.168.10.0", "192.168.10.255"),
            "192.168.10.0/24",
            "192.168.10.0-192.168.10.255",
        ),
        (client(IdType.IPV6_ADDR_RANGE, "fd00:10::4", "fd00:10::7"), "fd00:10::4/126", "fd00:10::4-fd00:10::7"),
    ],
)
def test_addresses_subnets_and_ranges(identification, network, text):
    assert decode_client(identification) == ipaddress.ip_network(network)
    assert describe_client(identification) == text


@pytest.mark.parametrize(
    "identification, complaint",
    [
        (client(IdType.IPV4_ADDR_RANGE, "192.168.10.1", "192.168.10.9"), "192.168.10.1-192.168.10.9: the range is no"),
        (client(IdType.IPV4_ADDR_RANGE, "192.168.10.9", "192.168.10.1"), "the range is no prefix"),
        (client(IdType.IPV4_ADDR_SUBNET, "192.168.10.0", "255.0.255.0"), "the mask has holes"),
        (client(IdType.IPV4_ADDR_SUBNET, "192.168.10.0"), "is no address"),
        (client(IdType.IPV6_ADDR, "192.168.10.7"), "is no address"),
        (Identification(IdType.FQDN, 0, 0, b"tokyo.example"), "fqdn tokyo.example is no address"),
        (Identification(IdType.KEY_ID, 0, 0, b"7"), "keyid 7 is no address"),
    ],
)
def test_what_names_no_network_is_refused_by_its_name(identification, complaint):
    with pytest.raises(SelectorError, match=complaint):
        decode_client(identification)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 128))
def test_what_we_say_is_what_we_hear(one, prefix):
    network = ipaddress.ip_network((one, min(prefix, one.max_prefixlen)), strict=False)
    assert decode_client(encode_client(network, 0, 0)) == network


def test_both_ends_give_one_selector():
    local = client(IdType.IPV4_ADDR, "192.168.10.7", protocol=6, port=25)
    peer = client(IdType.IPV4_ADDR_SUBNET, "192.168.20.0", "255.255.255.0", protocol=6)
    selector = traffic_of(local, peer)
    assert (str(selector.source), str(selector.destination)) == ("192.168.10.7/32", "192.168.20.0/24")
    assert (selector.protocol, selector.source_port, selector.destination_port) == (6, 25, 0)
    assert describe_client(local) == "ipaddr 192.168.10.7 protocol 6 port 25"


@pytest.mark.parametrize(
    "peer, complaint",
    [
        (client(IdType.IPV4_ADDR, "192.168.20.7", protocol=17), "differ in protocol: 6 and 17"),
        (client(IdType.IPV6_ADDR, "fd00:20::7", protocol=6), "differ in family"),
    ],
)
def test_ends_that_do_not_belong_together_are_refused(peer, complaint):
    with pytest.raises(SelectorError, match=complaint):
        traffic_of(client(IdType.IPV4_ADDR, "192.168.10.7", protocol=6), peer)
