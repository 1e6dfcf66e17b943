# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers' addresses by their names. A resolver may take seconds to answer, so that nobody waits for it."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Callable

from ..exchange.errors import LocalError
from ..policy.sa import Address

FRESH = 10.0  # seconds: for so long an answer isn't asked for again

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def ask_resolver(name: str, version: int) -> Address:
    """The first address of this family that the system has for a name. Raises OSError."""
    (_family, _kind, _protocol, _name, address), *_others = socket.getaddrinfo(
        name, None, _FAMILIES[version], socket.SOCK_DGRAM
    )
    return ipaddress.ip_address(address[0].partition("%")[0])


@dataclass
class _Known:
    """What is known of a name. ``since`` is when that was asked for."""

    since: float
    address: Address | None = None
    reason: str = "its address is being asked for"
    asking: bool = False


@dataclass
class Names:
    """The last answers. One that has aged is still given, and asked for again behind the caller's back."""

    ask: Callable[[str, int], Address] = ask_resolver
    clock: Callable[[], float] = time.monotonic
    _known: dict[tuple[str, int], _Known] = field(default_factory=dict)

    def find(self, name: str, version: int) -> Address:
        """Raises LocalError where there is no address, or none yet."""
        known = self._known.setdefault((name, version), _Known(self.clock() - FRESH))
        if self.clock() - known.since >= FRESH and not known.asking:
            known.asking = True
            threading.Thread(target=self._refresh, args=(name, version, known), daemon=True).start()
        if known.address is None:
            raise LocalError("{}: {}".format(name, known.reason))
        return known.address

    def _refresh(self, name: str, version: int, known: _Known) -> None:
        try:
            known.address = self.ask(name, version)
        except OSError as error:
            known.reason = error.strerror or str(error)
        known.since = self.clock()
        known.asking = False
