# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C structs by their declaration: the field table *is* the C text, laid out as this machine's compiler would."""

from __future__ import annotations

import re
import socket
import struct
from typing import Union

_FORMATS = {
    "__u8": "B",
    "__u16": "H",
    "__u32": "I",
    "__u64": "Q",
    "int": "i",
    "__be16": "H",
    "__be32": "I",
    "xfrm_address_t": "0I16s",  # a union of words: aligned like one
}
# From the network's byte order to ours; the way back is the same.
_SWAPS = {"__be16": socket.ntohs, "__be32": socket.ntohl}

_FIELD = re.compile(r"(?:struct\s+)?(\w+)\s+(\w+)(?:\[(\d+)\])?;")

Value = Union[int, bytes]


class Malformed(ValueError):
    """Bytes that aren't what the kernel's interface says: cut short, or with lengths that lead outside."""


class CStruct:
    """One struct. A field that is a struct itself is given and taken as bytes, a ``char[]`` without its zeros.

    ``declaration`` holds C's member lines; types are the kernel's own scalars and the structs in ``parts``.
    """

    def __init__(self, name: str, declaration: str, *parts: CStruct) -> None:
        self.name = name
        known = {part.name: part for part in parts}
        layout = "@"
        fields = _FIELD.findall(declaration)
        for kind, _field, count in fields:
            layout += _format(kind, count, known)
        self.alignment = max((_alignment(kind, known) for kind, _field, _count in fields), key=struct.calcsize)
        self._struct = struct.Struct(layout + "0" + self.alignment)
        self._names = tuple(field for _kind, field, _count in fields)
        self._numbers = tuple(kind in _FORMATS and kind != "xfrm_address_t" for kind, _field, _count in fields)
        self._swaps = tuple((field, _SWAPS[kind]) for kind, field, _count in fields if kind in _SWAPS)
        self._strings = tuple(field for kind, field, _count in fields if kind == "char")
        self.size = self._struct.size

    def pack(self, **values: Value) -> bytes:
        """The struct's bytes; fields that aren't given are zero. TypeError for a name that it doesn't have."""
        unknown = values.keys() - set(self._names)
        if unknown:
            raise TypeError("struct {} has no {}".format(self.name, ", ".join(sorted(unknown))))
        for field, swap in self._swaps:
            if field in values:
                values[field] = swap(values[field])
        return self._struct.pack(
            *(values.get(field, 0 if number else b"") for field, number in zip(self._names, self._numbers))
        )

    def unpack(self, data: bytes) -> dict[str, Value]:
        """The fields at the front of ``data``; raises :class:`Malformed`."""
        if len(data) < self.size:
            raise Malformed("struct {} takes {} bytes, got {}".format(self.name, self.size, len(data)))
        values = dict(zip(self._names, self._struct.unpack_from(data)))
        for field, swap in self._swaps:
            values[field] = swap(values[field])
        for field in self._strings:
            values[field] = values[field].split(b"\0", 1)[0]
        return values


def _format(kind: str, count: str, known: dict[str, CStruct]) -> str:
    if kind == "char":
        return count + "s"
    if kind in known:
        return "0{}{}s".format(known[kind].alignment, known[kind].size)
    return _FORMATS[kind]


def _alignment(kind: str, known: dict[str, CStruct]) -> str:
    if kind == "char":
        return "B"
    if kind in known:
        return known[kind].alignment
    return "I" if kind == "xfrm_address_t" else _FORMATS[kind]
