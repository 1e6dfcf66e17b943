# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the systems' UDP sockets differ, in one table: learn and choose our own address, bind one that isn't up yet.

IPv6 has RFC 3542 for the address; for IPv4 each system has its own. Numbers from <linux/in.h>, and from netinet/in.h
and netinet6/in6.h (FreeBSD 14): the socket module lacks most of them on the Pythons that we serve.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from dataclasses import dataclass

from ..policy.sa import Address

_IN6_PKTINFO = struct.Struct("=16sI")


@dataclass(frozen=True)
class SocketOptions:
    """One system's options and control messages.

    ``bind_any``, by IP version, is the (level, option) that lets a socket be bound to an address that this host
    doesn't have. ``receive_ipv4`` asks for the address that a datagram came to; a control message of type
    ``address_ipv4`` then brings it (``arrival``), and one of the same type chooses the source (``departure``).
    ``receive_buffer`` are the options of level SOL_SOCKET that enlarge it, the strongest first.
    """

    bind_any: dict[int, tuple[int, int]]
    receive_ipv4: int
    address_ipv4: int
    arrival: struct.Struct
    departure: struct.Struct
    receive_buffer: tuple[int, ...] = (socket.SO_RCVBUF,)

    def learn_address(self, version: int) -> tuple[int, int]:
        """(level, option) that asks for the address that each datagram came to."""
        if version == 4:
            return socket.IPPROTO_IP, self.receive_ipv4
        return socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO

    def arrived_at(self, ancillary: list[tuple[int, int, bytes]]) -> Address | None:
        """The address that a datagram came to, if its control messages tell."""
        for level, kind, data in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, self.address_ipv4):
                return ipaddress.IPv4Address(self.arrival.unpack_from(data)[0])
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                return ipaddress.IPv6Address(_IN6_PKTINFO.unpack_from(data)[0])
        return None

    def send_from(self, local: Address) -> tuple[int, int, bytes]:
        """The control message that makes a socket of all addresses send from this one."""
        if local.version == 4:
            return socket.IPPROTO_IP, self.address_ipv4, self.departure.pack(local.packed)
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _IN6_PKTINFO.pack(local.packed, 0)


LINUX = SocketOptions(
    bind_any={4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IP, 15)},  # IP_FREEBIND serves IPv6 too
    receive_ipv4=8,  # IP_PKTINFO
    address_ipv4=8,
    arrival=struct.Struct("=8x4s"),  # struct in_pktinfo: interface, our address to reply from, the header's
    departure=struct.Struct("=4x4s4x"),
    receive_buffer=(33, socket.SO_RCVBUF),  # SO_RCVBUFFORCE goes beyond net.core.rmem_max
)

FREEBSD = SocketOptions(
    bind_any={4: (socket.IPPROTO_IP, 24), 6: (socket.IPPROTO_IPV6, 64)},  # IP_BINDANY, IPV6_BINDANY
    receive_ipv4=7,  # IP_RECVDSTADDR
    address_ipv4=7,  # and IP_SENDSRCADDR
    arrival=struct.Struct("=4s"),  # struct in_addr
    departure=struct.Struct("=4s"),
)


def this_systems_options() -> SocketOptions:
    return FREEBSD if sys.platform.startswith("freebsd") else LINUX
