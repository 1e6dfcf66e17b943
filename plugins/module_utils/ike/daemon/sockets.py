# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP sockets for IKE: each datagram comes and goes with both of its addresses, as a multi-homed host needs."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ..config.settings import LOCAL_MACROS, Listen
from ..exchange.host import NAT_KEEPALIVE
from ..exchange.path import IKE_PORT, NAT_PORT, Path
from ..kernel.base import Kernel
from ..policy.sa import Address

MAX_DATAGRAM = 65535
NON_ESP_MARKER = bytes(4)  # RFC 3948 2.2

_IP_PKTINFO = 8  # linux/in.h; the socket module lacks both on the Pythons we serve
_IP_FREEBIND = 15
_IN_PKTINFO = struct.Struct("=I4s4s")
_IN6_PKTINFO = struct.Struct("=16sI")
_ANCILLARY = 256
_BATCH = 64  # datagrams that one socket may bring before others get their turn


class ListenError(Exception):
    """A socket that can't be opened. The text names address and port."""


@dataclass(frozen=True)
class Datagram:
    """What came in, without non-ESP marker, and the way that it came."""

    data: bytes
    path: Path


class Listener:
    """One bound socket."""

    def __init__(self, address: Address, port: int, kernel: Kernel, bypass: bool = True) -> None:
        self.address = address
        self.port = port
        self.marked = port == NAT_PORT
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._set_up(kernel, bypass)
        except OSError as error:
            self.socket.close()
            raise ListenError("{} port {}: {}".format(address, port, error.strerror)) from error

    def _set_up(self, kernel: Kernel, bypass: bool) -> None:
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.address.version == 4:
            # An address may come up after the daemon: on boot, or with a PPPoE session.
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        else:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        if bypass:
            kernel.bypass(self.socket)
        self.socket.bind((str(self.address), self.port))
        if self.marked:
            kernel.encapsulate_udp(self.socket)

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def receive(self) -> Iterator[Datagram]:
        """What waits, up to a batch; keepalives and ESP that strayed here are left out."""
        for _datagram in range(_BATCH):
            try:
                data, ancillary, _flags, peer = self.socket.recvmsg(MAX_DATAGRAM, _ANCILLARY)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error for something that we sent: retransmission deals with it
            if self.marked:
                if not data.startswith(NON_ESP_MARKER):
                    continue
                data = data[len(NON_ESP_MARKER) :]
            yield Datagram(data, self._path(ancillary, peer))

    def _path(self, ancillary: list, peer: tuple) -> Path:
        return Path(self._local_address(ancillary), ipaddress.ip_address(peer[0].partition("%")[0]), self.port, peer[1])

    def _local_address(self, ancillary: list) -> Address:
        for level, kind, data in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                return ipaddress.ip_address(_IN_PKTINFO.unpack_from(data)[2])
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                return ipaddress.ip_address(_IN6_PKTINFO.unpack_from(data)[0])
        return self.address

    def send(self, path: Path, data: bytes) -> None:
        """Send from the path's local address. Raises OSError."""
        if self.marked and data != NAT_KEEPALIVE:
            data = NON_ESP_MARKER + data
        self.socket.sendmsg([data], [self._source(path.local)], 0, (str(path.peer), path.peer_port))

    def _source(self, local: Address) -> tuple[int, int, bytes]:
        if local.version == 4:
            return socket.IPPROTO_IP, _IP_PKTINFO, _IN_PKTINFO.pack(0, local.packed, bytes(4))
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _IN6_PKTINFO.pack(local.packed, 0)


def wanted(listen: tuple[Listen, ...]) -> list[tuple[Address, int]]:
    """(address, port) of every socket that ``interface { ike … }`` asks for; a macro means all addresses."""
    pairs: list[tuple[Address, int]] = []
    for one in listen:
        macro = one.address.partition("%")[0]
        texts = _macro_addresses(macro) if macro in LOCAL_MACROS else [one.address.partition("%")[0]]
        pairs += [(ipaddress.ip_address(text), one.port or IKE_PORT) for text in texts]
    return list(dict.fromkeys(pairs))


def _macro_addresses(macro: str) -> list[str]:
    if macro == "MY_IPV4":
        return ["0.0.0.0"]
    return ["::"] if macro.startswith("MY_IPV6") else ["0.0.0.0", "::"]


def find(listeners: list[Listener], path: Path) -> Listener | None:
    """The socket to send from: bound to the path's address, else to all of its family."""
    suitable = [
        one
        for one in listeners
        if one.port == path.local_port
        and one.address.version == path.local.version
        and (one.address == path.local or one.address.is_unspecified)
    ]
    return min(suitable, key=lambda one: one.address.is_unspecified, default=None)
