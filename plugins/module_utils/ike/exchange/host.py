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
from .path import Path
from .timers import Timers

NAT_KEEPALIVE = b"\xff"  # RFC 3948 2.3


class Host:
    """One per engine. ``perform`` answers the rim's effects; ``notice(level, text)`` takes a line for people.

    ``now`` is the caller's clock in seconds, set on every entry into the engine. ``outbox`` collects
    (path, datagram) pairs; ``counters`` counts what happened.
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
        self.now = 0.0
        self.outbox: deque[tuple[Path, bytes]] = deque()
        self.counters: Counter[str] = Counter()

    def send(self, path: Path, datagram: bytes) -> None:
        self.counters["sent"] += 1
        self.outbox.append((path, datagram))

    def count(self, name: str) -> None:
        self.counters[name] += 1

    def info(self, text: str) -> None:
        self.notice(logging.INFO, text)

    def warning(self, text: str) -> None:
        self.notice(logging.WARNING, text)

    def debug(self, text: str) -> None:
        self.notice(logging.DEBUG, text)
