# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP sockets for IKE: each datagram comes and goes with both of its addresses, as a multi-homed host needs."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from ..config.settings import LOCAL_MACROS, Listen
from ..exchange.host import NAT_KEEPALIVE
from ..exchange.path import IKE_PORT, NAT_PORT, Path
from ..kernel.base import Kernel, KernelError
from ..policy.sa import Address
from ..wire.header import NO_SPI
from .socket_options import this_systems_options

LOGGER = logging.getLogger("ike")

MAX_DATAGRAM = 65535
NON_ESP_MARKER = bytes(4)  # RFC 3948 2.2
_RESPONDER_SPI = slice(8, 16)  # in the header (RFC 7296 3.1)

_ANCILLARY = 256
_RECEIVE_BUFFER = 2 << 20  # bytes: hundreds of peers may begin at once, and strangers too
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
        self._options = this_systems_options()
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
        if self.address.version == 6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # An address may come up after the daemon: on boot, or with a PPPoE session.
        self.socket.setsockopt(*self._options.bind_any[self.address.version], 1)
        self.socket.setsockopt(*self._options.learn_address(self.address.version), 1)
        if bypass:
            kernel.bypass(self.socket)
        self._make_room()
        self.socket.bind((str(self.address), self.port))
        if self.marked:
            self._encapsulate(kernel)

    def _make_room(self) -> None:
        """Ask for a large receive buffer; what the system gives has to do."""
        for option in self._options.receive_buffer:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, option, _RECEIVE_BUFFER)
            except OSError:
                continue
            return

    def _encapsulate(self, kernel: Kernel) -> None:
        """Have ESP in UDP decapsulated. Not every kernel can over IPv6, where it's hardly ever needed."""
        try:
            kernel.encapsulate_udp(self.socket)
        except KernelError as error:
            if self.address.version == 4:
                raise
            LOGGER.warning("%s port %d: no NAT traversal over IPv6: %s", self.address, self.port, error)

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def receive(self) -> list[Datagram]:
        """What waits, up to a batch: those whom we know before those who begin, so that no crowd keeps them waiting."""
        return sorted(self._waiting(), key=_begins)

    def _waiting(self) -> Iterator[Datagram]:
        """A batch in its order; keepalives and ESP that strayed here are left out."""
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
        local = self._options.arrived_at(ancillary) or self.address
        return Path(local, ipaddress.ip_address(peer[0].partition("%")[0]), self.port, peer[1])

    def send(self, path: Path, data: bytes) -> None:
        """Send from the path's local address. Raises OSError."""
        if self.marked and data != NAT_KEEPALIVE:
            data = NON_ESP_MARKER + data
        # A socket that is bound to one address sends from it; FreeBSD refuses to be told so.
        source = [self._options.send_from(path.local)] if self.address.is_unspecified else []
        self.socket.sendmsg([data], source, 0, (str(path.peer), path.peer_port))


def _begins(datagram: Datagram) -> bool:
    """Whether a datagram names no SPI of the responder's, as the first of an IKE SA."""
    return datagram.data[_RESPONDER_SPI] == NO_SPI


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
