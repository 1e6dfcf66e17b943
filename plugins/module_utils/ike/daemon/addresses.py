# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This host's own addresses, and word of their change, as when a line comes back with another one (rtnetlink(7))."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from typing import Callable

from ..kernel.cstruct import CStruct
from ..kernel.netlink import NetlinkSocket, parse_attributes
from ..policy.sa import Address

_LOOKS = (1.0, 4.0, 15.0)  # seconds after a change
_NETLINK_ROUTE = 0
_RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x10, 0x100
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFADDRMSG = CStruct(
    "ifaddrmsg",
    """
    __u8 ifa_family;
    __u8 ifa_prefixlen;
    __u8 ifa_flags;
    __u8 ifa_scope;
    __u32 ifa_index;
    """,
)


class AddressWatch:
    """``addresses`` are those of all interfaces. Raises KernelError where the kernel doesn't tell."""

    def __init__(self) -> None:
        self._events = NetlinkSocket(_NETLINK_ROUTE, _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR)
        self._requests = NetlinkSocket(_NETLINK_ROUTE)
        self.addresses = self._read()

    def fileno(self) -> int:
        return self._events.fileno()

    def changed(self) -> bool:
        """Take what the kernel has to say, and look: much of it is of addresses that stay, as with IPv6's lifetimes."""
        self._events.read_events()
        before, self.addresses = self.addresses, self._read()
        return self.addresses != before

    def close(self) -> None:
        self._events.close()
        self._requests.close()

    def _read(self) -> frozenset[Address]:
        request = _IFADDRMSG.pack(ifa_family=0, ifa_prefixlen=0, ifa_flags=0, ifa_scope=0, ifa_index=0)
        messages = self._requests.dump("list addresses", _RTM_GETADDR, request)
        return frozenset(_own(message.body) for message in messages if message.type == _RTM_NEWADDR)


class Looks:
    """Looks soon after a change, and again: the routes that belong to an address follow it.

    One that is due stays due, however often addresses change meanwhile.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._changed = 0.0
        self._next: asyncio.TimerHandle | None = None

    def changed(self, loop: asyncio.AbstractEventLoop) -> None:
        self._changed = loop.time()
        self._schedule(loop)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        due = next((self._changed + after for after in _LOOKS if self._changed + after > loop.time()), None)
        if due is None or (self._next is not None and self._next.when() <= due):
            return
        if self._next is not None:
            self._next.cancel()
        self._next = loop.call_at(due, self._due, loop)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = None
        self._schedule(loop)
        self._look()


def _own(body: bytes) -> Address:
    """On a point-to-point line IFA_ADDRESS is the other end's."""
    attributes = parse_attributes(body[_IFADDRMSG.size :])
    return ipaddress.ip_address(attributes.get(_IFA_LOCAL) or attributes[_IFA_ADDRESS])


def watch_addresses() -> AddressWatch | None:
    """None on a system whose kernel we don't ask: there the peers' silence tells that an address has gone."""
    return AddressWatch() if sys.platform.startswith("linux") else None
