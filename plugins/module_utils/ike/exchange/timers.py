# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timers without a clock: deadlines in a heap, run by whoever knows what time it is."""

from __future__ import annotations

import heapq
import itertools
from typing import Callable


class Timer:
    """One deadline; :meth:`cancel` makes it never happen."""

    __slots__ = ("_action", "when")

    def __init__(self, when: float, action: Callable[[float], None]) -> None:
        self.when = when
        self._action: Callable[[float], None] | None = action

    @property
    def pending(self) -> bool:
        return self._action is not None

    def cancel(self) -> None:
        self._action = None

    def run(self, now: float) -> None:
        action, self._action = self._action, None
        if action is not None:
            action(now)


class Timers:
    """Deadlines in seconds of the caller's clock; an action gets the time at which it runs."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Callable[[float], None]) -> Timer:
        timer = Timer(when, action)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    def deadline(self) -> float | None:
        """When the next timer wants to run; None without one."""
        while self._heap and not self._heap[0][2].pending:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Run all timers that are due."""
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2].run(now)
