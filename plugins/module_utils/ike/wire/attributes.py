# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data attributes, one layout in both versions (RFC 2408 3.3, RFC 7296 3.3.5)."""

from __future__ import annotations

import struct
from typing import Union

from .cursor import Cursor, WireError

# (type, value): an int stands for the short form (AF = 1), bytes for the long one.
Attribute = tuple[int, Union[int, bytes]]

_SHORT_FORM = 0x8000
_MAX_ATTRIBUTES = 32
_PAIR = struct.Struct(">HH")


def attribute_number(value: int | bytes) -> int:
    """An attribute's value as a number, whichever form it came in."""
    if isinstance(value, int):
        return value
    if len(value) > 8:
        raise WireError("an attribute of {} bytes is no number".format(len(value)))
    return int.from_bytes(value, "big")


def decode_attributes(cursor: Cursor) -> tuple[Attribute, ...]:
    """Every attribute up to the cursor's end."""
    attributes: list[Attribute] = []
    while len(cursor):
        if len(attributes) == _MAX_ATTRIBUTES:
            raise WireError("more than {} attributes".format(_MAX_ATTRIBUTES))
        kind = cursor.u16()
        value = cursor.u16()
        if kind & _SHORT_FORM:
            attributes.append((kind & ~_SHORT_FORM, value))
        else:
            attributes.append((kind, cursor.take(value)))
    return tuple(attributes)


def encode_attribute(attribute: Attribute) -> bytes:
    kind, value = attribute
    if isinstance(value, int):
        return _PAIR.pack(kind | _SHORT_FORM, value)
    return _PAIR.pack(kind, len(value)) + value
