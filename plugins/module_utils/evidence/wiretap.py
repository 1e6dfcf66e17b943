# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets as they pass a device, by a packet socket: their headers, and which way they go."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from ..ike.policy.sa import Address, Network
from . import bpf
from .looking import Look

ESP, AH, UDP, TCP, ICMP, ICMPV6 = 50, 51, 17, 6, 1, 58
IKE_PORT, NAT_PORT = 500, 4500

_NAMES = {ESP: "esp", AH: "ah", UDP: "udp", TCP: "tcp", ICMP: "icmp", ICMPV6: "ipv6-icmp"}
_EVERYTHING = 0x0003  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING, linux/if_packet.h
_BUFFER = 1 << 20  # bytes; the kernel grants as many as it lets everybody have
_MOST = 128  # bytes of a packet that are read: its headers, and what an ICMP error quotes


@dataclass(frozen=True)
class Seen:
    """A packet by its header. Ports are 0 where there are none."""

    source: Address
    destination: Address
    protocol: int
    source_port: int = 0
    port: int = 0
    payload: bytes = b""

    def __str__(self) -> str:
        name = _NAMES.get(self.protocol, "protocol {}".format(self.protocol))
        port = " port {}".format(self.port) if self.port else ""
        return "{}{} {} -> {}".format(name, port, self.source, self.destination)


def read_packet(data: bytes) -> Seen | None:
    """The header of an IPv4 or IPv6 packet; None for what is neither, or too short."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        return _seen(data[12:16], data[16:20], data[9], data[4 * (data[0] & 15) :])
    if version == 6 and len(data) >= 40:
        return _seen(data[8:24], data[24:40], data[6], data[40:])
    return None


def _seen(source: bytes, destination: bytes, protocol: int, payload: bytes) -> Seen:
    ports = (0, 0)
    if protocol in (UDP, TCP) and len(payload) >= 4:
        ports = struct.unpack_from("!HH", payload)
    return Seen(ip_address(source), ip_address(destination), protocol, *ports, payload)


def open_tap(device: str, networks: Sequence[Network]) -> socket.socket:
    """A socket that shows what goes to these networks. Raises OSError.

    It's deaf until its filter is there: no packet that came before is taken for one that fits.
    """
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    try:
        tap.setblocking(False)
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        program = bpf.to_networks(networks)
        if program:
            bpf.attach(tap, program)
        tap.bind((device, _EVERYTHING))
    except OSError:
        tap.close()
        raise
    return tap


def passed(tap: socket.socket) -> Iterator[tuple[bool, Seen]]:
    """What has come since the last call: whether it leaves, and its header."""
    while True:
        try:
            data, address = tap.recvfrom(_MOST)
        except BlockingIOError:
            return
        packet = read_packet(data)
        if packet is not None:
            yield address[2] == _OUTGOING, packet


def host(address: Address) -> Network:
    """The network of one address alone."""
    return ip_network(address)


def outside_device(look: Look, local: Address, peer: Address) -> tuple[str, str]:
    """The device by which a peer is reached; "" with the reason where it isn't."""
    routes, reason = look.answer("ip", "-j", "route", "get", str(peer), "from", str(local))
    device = routes[0].get("dev", "") if routes else ""
    return device, "" if device else reason or "no route"
