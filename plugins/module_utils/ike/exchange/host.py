# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sessions find around them: time, timers, a way out for datagrams, and the rim's answers to effects."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from typing import Any, Callable

from ..crypto.algorithms import Group
from ..crypto.groups import KeyPair, generate
from ..policy.sa import Address
from .path import Path
from .timers import Timers
from .trace import Trace

NAT_KEEPALIVE = b"\xff"  # RFC 3948 2.3

_COMPLAINTS_INTERVAL = 60.0  # seconds
_MAX_COMPLAINTS = 100  # in an interval: a flood of bad datagrams fills no disk


class Host:
    """One per engine. ``perform`` answers the rim's effects; ``notice(level, text)`` takes a line for people.

    ``now`` is the caller's clock in seconds, set on every entry into the engine. ``outbox`` collects
    (path, datagram) pairs; ``counters`` counts what happened; each of ``watchers`` is told every event;
    ``trace`` keeps the last packets.
    """

    def __init__(
        self,
        perform: Callable[[Any], Any],
        notice: Callable[[int, str], None],
        random: Callable[[int], bytes] = os.urandom,
        key_pair: Callable[[Group], KeyPair] = generate,
    ) -> None:
        self.perform = perform
        self.notice = notice
        self.random = random
        self.key_pair = key_pair
        self.timers = Timers()
        self.trace = Trace()
        self.now = 0.0
        self.outbox: deque[tuple[Path, bytes]] = deque()
        self.counters: Counter[str] = Counter()
        self.watchers: list[Callable[[Any], None]] = []
        self._complaints: set[tuple[Address, str]] = set()
        self._complaints_end = 0.0

    def send(self, path: Path, datagram: bytes) -> None:
        self.counters["sent"] += 1
        if datagram != NAT_KEEPALIVE:
            self.trace.sent(path, datagram, self.now)
        self.outbox.append((path, datagram))

    def count(self, name: str) -> None:
        self.counters[name] += 1

    def report(self, event: Any) -> None:
        for watcher in list(self.watchers):
            watcher(event)

    def complain(self, peer: Address, text: str) -> None:
        """A line that anybody can cause."""
        if self.is_news(peer, text):
            self.warning(text)

    def is_news(self, peer: Address, text: str) -> bool:
        """Whether to say what anybody can cause: once a minute for each address and text, and not too many of them."""
        if self.now >= self._complaints_end:
            self._complaints.clear()
            self._complaints_end = self.now + _COMPLAINTS_INTERVAL
        if len(self._complaints) >= _MAX_COMPLAINTS or (peer, text) in self._complaints:
            return False
        self._complaints.add((peer, text))
        return True

    def info(self, text: str) -> None:
        self.notice(logging.INFO, text)

    def warning(self, text: str) -> None:
        self.notice(logging.WARNING, text)

    def debug(self, text: str) -> None:
        self.notice(logging.DEBUG, text)
