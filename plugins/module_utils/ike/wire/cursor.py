# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounded reader over bytes: whatever does not fit raises :class:`WireError`, and nothing else does."""

from __future__ import annotations

import struct

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")


class WireError(Exception):
    """Bytes that are not what they claim to be. The text says what, and never quotes key material."""


class Cursor:
    """Reads big-endian fields from ``data`` between ``at`` and ``end``; offsets count from the start of ``data``."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    def __len__(self) -> int:
        return self.end - self.at

    def take(self, count: int) -> bytes:
        start = self.at
        stop = start + count
        if count < 0 or stop > self.end:
            raise WireError("{} bytes wanted, {} left".format(count, self.end - start))
        self.at = stop
        return self.data[start:stop]

    def rest(self) -> bytes:
        return self.take(self.end - self.at)

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return _U16.unpack(self.take(2))[0]

    def u32(self) -> int:
        return _U32.unpack(self.take(4))[0]

    def sub(self, count: int) -> Cursor:
        """A cursor over the next ``count`` bytes, which this one steps over."""
        start = self.at
        self.take(count)
        return Cursor(self.data, start, self.at)

    def done(self) -> None:
        """Raise unless everything was read."""
        if self.at != self.end:
            raise WireError("{} bytes left over".format(self.end - self.at))
