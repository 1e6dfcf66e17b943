# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Classic BPF, as a packet socket takes it: which packets the kernel shows us.

Offsets are from the IP header, as a socket of type SOCK_DGRAM sees packets, whatever the device puts before it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

from ..ike.policy.sa import Network

IPV4, IPV6 = 0x0800, 0x86DD  # ETH_P_IP, ETH_P_IPV6

# linux/bpf_common.h, linux/filter.h
LOAD, AND, EQUAL, ALWAYS, RETURN = 0x20, 0x54, 0x15, 0x05, 0x06
PROTOCOL = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL: the ethertype
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER, asm-generic/socket.h
_MOST = 4096  # instructions, BPF_MAXINSNS
_SNAP = 0xFFFF
_DESTINATIONS = {4: 16, 6: 24}  # where the address begins
_WORD = 0xFFFFFFFF

# code, where to go if true, where to if false (both counted from the next instruction), operand
Instruction = tuple[int, int, int, int]


def to_networks(networks: Sequence[Network]) -> list[Instruction]:
    """A program that takes what goes to one of these networks. [] where they are too many: it would take all."""
    blocks = {4: [], 6: []}
    for network in networks:
        blocks[network.version] += _to_network(network)
    program = [*_family(IPV4, blocks[4]), *_family(IPV6, blocks[6]), (RETURN, 0, 0, 0)]
    return program if len(program) <= _MOST else []


def _family(ethertype: int, block: list[Instruction]) -> list[Instruction]:
    """The block for packets of this ethertype; it ends the program for them, others pass over it."""
    body = [*block, (RETURN, 0, 0, 0)]
    return [(LOAD, 0, 0, PROTOCOL), (EQUAL, 1, 0, ethertype), (ALWAYS, 0, 0, len(body)), *body]


def _to_network(network: Network) -> list[Instruction]:
    """Compare the destination word by word; the first that differs leads past the return."""
    address, mask = int(network.network_address), int(network.netmask)
    words = [shift for shift in range(network.max_prefixlen - 32, -1, -32) if mask >> shift & _WORD]
    steps: list[Instruction] = []
    for position, shift in enumerate(words):
        left = 3 * (len(words) - position - 1) + 1
        offset = _DESTINATIONS[network.version] + (network.max_prefixlen - 32 - shift) // 8
        steps += [
            (LOAD, 0, 0, offset),
            (AND, 0, 0, mask >> shift & _WORD),
            (EQUAL, 0, left, address >> shift & _WORD),
        ]
    return [*steps, (RETURN, 0, 0, _SNAP)]


def attach(tap: socket.socket, program: Sequence[Instruction]) -> None:
    """Have the kernel filter for this socket. Raises OSError."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    tap.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(code)))
