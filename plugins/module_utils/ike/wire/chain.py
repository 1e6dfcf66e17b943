# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The payload chain: one walk over generic payload headers for both versions (RFC 2408 3.2, RFC 7296 3.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from .cursor import WireError

NO_NEXT_PAYLOAD = 0
GENERIC_HEADER_SIZE = 4
MAX_PAYLOADS = 64

_GENERIC = struct.Struct(">BBH")


class RawPayload(NamedTuple):
    """A payload as it stands in a message: ``start`` and ``end`` are offsets that include its generic header."""

    type: int
    critical: bool
    body: bytes
    start: int
    end: int


def walk(first: int, data: bytes, last_types: frozenset[int] = frozenset()) -> tuple[list[RawPayload], int]:
    """The payloads of ``data``, and the offset behind the last one (what follows there is padding, or wrong).

    A payload whose type is in ``last_types`` ends the chain (IKEv2's SK and SKF, RFC 7296 3.14): its next-payload
    field speaks of its content.
    """
    payloads: list[RawPayload] = []
    at = 0
    following = first
    while following != NO_NEXT_PAYLOAD:
        if len(payloads) == MAX_PAYLOADS:
            raise WireError("more than {} payloads".format(MAX_PAYLOADS))
        if at + GENERIC_HEADER_SIZE > len(data):
            raise WireError("the message ends where payload {} should begin".format(following))
        kind = following
        following, flags, length = _GENERIC.unpack_from(data, at)
        end = at + length
        if length < GENERIC_HEADER_SIZE or end > len(data):
            raise WireError("payload {} claims {} bytes of {}".format(kind, length, len(data) - at))
        payloads.append(RawPayload(kind, flags >= 0x80, data[at + GENERIC_HEADER_SIZE : end], at, end))
        at = end
        if kind in last_types:
            break
    return payloads, at


def build(payloads: Iterable[tuple[int, bytes]]) -> tuple[int, bytes]:
    """The first payload's type, and the chain's bytes, for (type, body) pairs."""
    listed = list(payloads)
    types = [kind for kind, body in listed]
    chain = b"".join(
        _GENERIC.pack(following, 0, GENERIC_HEADER_SIZE + len(body)) + body
        for (kind, body), following in zip(listed, types[1:] + [NO_NEXT_PAYLOAD])
    )
    return (types[0] if types else NO_NEXT_PAYLOAD), chain
