# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fresh key pairs, made while nothing else is to be done: half of what a key exchange costs leaves the handshake.

Each pair is handed out once. A key is never used twice (RFC 7296 2.12 would allow it; we don't).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..crypto.algorithms import Group
from ..crypto.groups import KeyPair, generate

_DEPTH = 4  # pairs kept for a group: enough for a burst, little enough to be young


class KeyPool:
    """``take`` is the engine's source of key pairs; ``refill`` makes one and says whether more are wanted."""

    def __init__(self, make: Callable[[Group], KeyPair] = generate) -> None:
        self._make = make
        self._pairs: dict[str, deque[KeyPair]] = {}
        self._groups: dict[str, Group] = {}

    def take(self, group: Group) -> KeyPair:
        """A pair that nobody has had before; made now if none is waiting."""
        self._groups[group.name] = group
        pairs = self._pairs.setdefault(group.name, deque())
        return pairs.popleft() if pairs else self._make(group)

    def refill(self) -> bool:
        """Make one pair for a group that was asked for and has too few. False where nothing was to be made."""
        for name, pairs in self._pairs.items():
            if len(pairs) < _DEPTH:
                pairs.append(self._make(self._groups[name]))
                return True
        return False
