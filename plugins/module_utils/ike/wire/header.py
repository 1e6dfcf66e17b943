# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ISAKMP header, one layout for both versions (RFC 2408 3.1, RFC 7296 3.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .cursor import WireError

_LAYOUT = struct.Struct(">8s8sBBBBII")
HEADER_SIZE = _LAYOUT.size
NO_SPI = bytes(8)

VERSION_1 = 0x10
VERSION_2 = 0x20


@dataclass(frozen=True)
class Header:
    """Both SPIs (IKEv1: cookies) are 8 bytes; ``length`` counts the header itself."""

    spi_i: bytes
    spi_r: bytes
    next_payload: int
    version: int
    exchange: int
    flags: int
    message_id: int
    length: int

    @property
    def major(self) -> int:
        return self.version >> 4

    def encode(self) -> bytes:
        return _LAYOUT.pack(
            self.spi_i,
            self.spi_r,
            self.next_payload,
            self.version,
            self.exchange,
            self.flags,
            self.message_id,
            self.length,
        )


def read_header(data: bytes) -> Header:
    """The header at the beginning of at least HEADER_SIZE bytes, whatever it says."""
    return Header(*_LAYOUT.unpack_from(data))


def decode_header(datagram: bytes) -> Header:
    """The header of a datagram whose length must be exactly what the header says."""
    if len(datagram) < HEADER_SIZE:
        raise WireError("a datagram of {} bytes is shorter than an ISAKMP header".format(len(datagram)))
    header = read_header(datagram)
    if header.length != len(datagram):
        raise WireError("the header says {} bytes, the datagram has {}".format(header.length, len(datagram)))
    if header.spi_i == NO_SPI:
        raise WireError("the initiator's SPI is zero")
    return header
