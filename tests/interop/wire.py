# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the internet between the sites sees of IKE: who sent fragments, who demanded a cookie."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from tests.interop.network import INTERNET, Site
from tests.namespaces import inside

_ALL = 3  # <linux/if_ether.h>: packets of any protocol
_IKE_PORTS = (500, 4500)
_NON_ESP_MARKER = bytes(4)
_FRAGMENTS = {1: 132, 2: 53}  # the payload that a fragment begins with, by major version
_IKE_SA_INIT, _NOTIFY = 34, 41


class Wire:
    """The IKE messages that a site sends, as they arrive at the internet's end of its link."""

    def __init__(self, site: Site) -> None:
        with inside(INTERNET):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
        self._socket.bind((site.name, _ALL))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def messages(self) -> list[bytes]:
        """What has come since the last call, without non-ESP marker."""
        return list(self._read())

    def _read(self) -> Iterator[bytes]:
        while True:
            try:
                packet, address = self._socket.recvfrom(65535)
            except BlockingIOError:
                return
            datagram = _udp(packet)
            if address[2] != socket.PACKET_OUTGOING and int.from_bytes(datagram[2:4], "big") in _IKE_PORTS:
                yield datagram[8:].removeprefix(_NON_ESP_MARKER)


def _udp(packet: bytes) -> bytes:
    """The UDP datagram in an IP packet, header included; nothing where there is none."""
    if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_UDP:
        return packet[4 * (packet[0] & 15) :]
    if packet[0] >> 4 == 6 and packet[6] == socket.IPPROTO_UDP:
        return packet[40:]
    return b""


def is_fragment(message: bytes) -> bool:
    return message[16] == _FRAGMENTS.get(message[17] >> 4)


def demands_a_cookie(message: bytes) -> bool:
    """Whether it answers IKE_SA_INIT with a notification and nothing before it (RFC 7296 2.6)."""
    return message[18] == _IKE_SA_INIT and message[16] == _NOTIFY and message[8:16] == bytes(8)
