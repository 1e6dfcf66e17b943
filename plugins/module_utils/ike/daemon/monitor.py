# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a watcher (``ctl monitor``) has not read yet: bounded, so that a slow one costs memory and time of nobody."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Callable

_UNREAD = 1000  # events

CUT_OFF = "cut_off"


class Feed:
    """Events for one watcher. One that leaves too many unread is cut off: it gets those, and how many it missed."""

    def __init__(self, ended: Callable[[Feed], None]) -> None:
        self._ended = ended
        self._unread: deque[dict[str, Any]] = deque()
        self._news = asyncio.Event()
        self.lost = 0

    def put(self, fields: dict[str, Any]) -> None:
        """Never waits."""
        if self.lost or len(self._unread) >= _UNREAD:
            self.lost += 1
        else:
            self._unread.append({"time": round(time.time(), 3), **fields})
        self._news.set()

    async def take(self) -> list[dict[str, Any]]:
        """Wait for events; all that are unread, at the end with the word that it is cut off."""
        await self._news.wait()
        self._news.clear()
        taken = list(self._unread)
        self._unread.clear()
        if self.lost:
            taken.append({"time": round(time.time(), 3), "event": CUT_OFF, "lost": self.lost})
        return taken

    def close(self) -> None:
        self._ended(self)
