# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of proposals and of transforms, one layout in both versions (RFC 2408 3.5, 3.6, RFC 7296 3.3.1, 3.3.2)."""

from __future__ import annotations

import struct

from .cursor import Cursor, WireError

NEXT_PROPOSAL = 2
NEXT_TRANSFORM = 3
_LAST = 0

_ITEM = struct.Struct(">BBH")


def decode_items(cursor: Cursor, kind: int, limit: int) -> list[Cursor]:
    """The members of a list, which fill the cursor: each begins with what follows it, a reserved byte, its length."""
    items: list[Cursor] = []
    more = len(cursor) > 0
    while more:
        if len(items) == limit:
            raise WireError("more than {} members in a list".format(limit))
        more, item = _item(cursor, kind)
        items.append(item)
    cursor.done()
    return items


def _item(cursor: Cursor, kind: int) -> tuple[bool, Cursor]:
    """The next member, and whether one more follows."""
    following = cursor.u8()
    cursor.u8()
    length = cursor.u16()
    if following not in (_LAST, kind):
        raise WireError("a list's member is followed by {}".format(following))
    if length < _ITEM.size:
        raise WireError("a list's member claims {} bytes".format(length))
    return following == kind, cursor.sub(length - _ITEM.size)


def encode_items(bodies: list[bytes], kind: int) -> bytes:
    """The list of these members."""
    following = [kind] * (len(bodies) - 1) + [_LAST]
    return b"".join(_ITEM.pack(after, 0, _ITEM.size + len(body)) + body for body, after in zip(bodies, following))
