# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quick mode's client identities: between traffic selectors and identification payloads (RFC 2407 4.6.2)."""

from __future__ import annotations

import ipaddress

from ..config.settings import Traffic, Tunnel
from ..wire.numbers import IdType
from ..wire.v1 import Identification
from .identity import describe_identity
from .sa import Address, Network, TrafficSelector

_SUBNETS = {IdType.IPV4_ADDR_SUBNET: 4, IdType.IPV6_ADDR_SUBNET: 16}
_RANGES = {IdType.IPV4_ADDR_RANGE: 4, IdType.IPV6_ADDR_RANGE: 16}
_ADDRESSES = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}


class SelectorError(Exception):
    """Client identities that name no traffic selector we could install."""


def encode_client(network: Network, protocol: int, port: int) -> Identification:
    """A network as racoon2 sends it: an address where it is a single host, else a subnet."""
    wide = network.version == 6
    if network.prefixlen == network.max_prefixlen:
        kind, data = (IdType.IPV6_ADDR if wide else IdType.IPV4_ADDR), network.network_address.packed
    else:
        kind = IdType.IPV6_ADDR_SUBNET if wide else IdType.IPV4_ADDR_SUBNET
        data = network.network_address.packed + network.netmask.packed
    return Identification(kind, protocol, port, data)


def decode_client(identification: Identification) -> Network:
    """The network that a client identity names. Raises SelectorError on names, and on ranges that are no prefix."""
    kind, data = identification.kind, identification.data
    try:
        if len(data) == _ADDRESSES.get(kind):
            return ipaddress.ip_network(data)
        if kind in _SUBNETS and len(data) == 2 * _SUBNETS[kind]:
            return _subnet(data)
        if kind in _RANGES and len(data) == 2 * _RANGES[kind]:
            return _range(data)
    except ValueError as error:
        raise SelectorError("client identity {}: {}".format(describe_client(identification), error)) from error
    raise SelectorError("client identity {} is no address".format(describe_client(identification)))


def _subnet(data: bytes) -> Network:
    half = len(data) // 2
    ones = int.from_bytes(data[half:], "big")
    prefix = bin(ones).count("1")
    if ones != ((1 << prefix) - 1) << (half * 8 - prefix):
        raise ValueError("the mask has holes")
    return ipaddress.ip_network((data[:half], prefix), strict=False)


def _range(data: bytes) -> Network:
    half = len(data) // 2
    first, last = ipaddress.ip_address(data[:half]), ipaddress.ip_address(data[half:])
    networks = list(ipaddress.summarize_address_range(first, last)) if first <= last else []
    if len(networks) != 1:
        raise ValueError("the range is no prefix")
    return networks[0]


def describe_client(identification: Identification) -> str:
    """A client identity for people: ``192.168.10.0/24``, with protocol and port where they are not any."""
    kind, data = identification.kind, identification.data
    half = len(data) // 2
    if kind in _SUBNETS and len(data) == 2 * _SUBNETS[kind]:
        text = "{}/{}".format(ipaddress.ip_address(data[:half]), bin(int.from_bytes(data[half:], "big")).count("1"))
    elif kind in _RANGES and len(data) == 2 * _RANGES[kind]:
        text = "{}-{}".format(ipaddress.ip_address(data[:half]), ipaddress.ip_address(data[half:]))
    else:
        text = describe_identity(kind, data)
    if identification.protocol or identification.port:
        text += " protocol {} port {}".format(identification.protocol, identification.port)
    return text


def describe_traffic(traffic: Traffic) -> str:
    """A configured selector for people, seen from its source."""
    text = "{} - {}".format(traffic.source, traffic.destination)
    return text + (" protocol {}".format(traffic.protocol) if traffic.protocol else "")


def traffic_of(local: Identification, peer: Identification) -> TrafficSelector:
    """Our outbound selector of two client identities."""
    if local.protocol != peer.protocol:
        raise SelectorError("the client identities differ in protocol: {} and {}".format(local.protocol, peer.protocol))
    source, destination = decode_client(local), decode_client(peer)
    if source.version != destination.version:
        raise SelectorError("the client identities differ in family: {} and {}".format(source, destination))
    return TrafficSelector(source, destination, local.protocol, local.port, peer.port)


def host_traffic(local: Address, peer: Address) -> TrafficSelector:
    """What quick mode without client identities means: the two ends themselves (RFC 2409 5.5)."""
    return TrafficSelector(ipaddress.ip_network(local), ipaddress.ip_network(peer))


def configured(traffic: Traffic) -> TrafficSelector | None:
    """A configured selector as one for the kernel; None while a macro stands for one of its ends."""
    if isinstance(traffic.source, str) or isinstance(traffic.destination, str):
        return None
    return TrafficSelector(
        traffic.source, traffic.destination, traffic.protocol, traffic.source_port, traffic.destination_port
    )


def find_tunnel(tunnels: list[Tunnel], wanted: TrafficSelector) -> Tunnel | None:
    """The tunnel of exactly this traffic (its networks, protocol and ports), in the file's order."""
    return next((tunnel for tunnel in tunnels if configured(tunnel.selector) == wanted), None)
