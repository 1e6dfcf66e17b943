# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every IKE SA, found in constant time: by our SPI, by a half-open peer, by remote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..config.settings import Remote
from ..policy.sa import Address
from ..wire.header import NO_SPI, Header

MAX_HALF_OPEN = 1000
MAX_HALF_OPEN_PER_PEER = 10


class SessionTable:
    """Sessions enter as initiator or half open; what answers a peer leaves the half-open ones once it is up."""

    def __init__(self) -> None:
        self._by_spi: dict[bytes, Any] = {}
        self._retired: dict[bytes, Any] = {}
        self._by_remote: dict[str, list[Any]] = {}
        self._half_open: dict[tuple[Address, bytes], Any] = {}
        self._half_open_keys: dict[bytes, tuple[Address, bytes]] = {}
        self._half_open_peers: Counter[Address] = Counter()

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._by_spi.values()))

    def of(self, remote: Remote) -> list[Any]:
        """The sessions with this remote, as it is configured now."""
        return [one for one in self._by_remote.get(remote.name, ()) if one.remote is remote]

    def named(self, remote: Remote) -> list[Any]:
        """The sessions with the remote of this name, also those from before it was configured as it is now."""
        return list(self._by_remote.get(remote.name, ()))

    def find(self, header: Header, peer: Address) -> Any:
        """The session of a datagram: by our own SPI; a peer's first message that comes again by the peer's."""
        half_open = self._half_open.get((peer, header.spi_i)) if header.spi_r == NO_SPI else None
        session = half_open or self._answering(header) or self._asking(header)
        return session if session is not None and session.version == header.major else None

    def _answering(self, header: Header) -> Any:
        session = self._own(header.spi_r)
        fits = session is not None and not session.initiator and session.spi_i == header.spi_i
        return session if fits else None

    def _asking(self, header: Header) -> Any:
        session = self._own(header.spi_i)
        fits = session is not None and session.initiator and session.spi_r in (header.spi_r, NO_SPI)
        return session if fits else None

    def _own(self, spi: bytes) -> Any:
        return self._by_spi.get(spi) or self._retired.get(spi)

    def crowded(self, peer: Address) -> bool:
        """Whether there are too many half-open sessions to begin one more, in all or from this peer."""
        too_many = self._half_open_peers[peer] >= MAX_HALF_OPEN_PER_PEER
        return too_many or len(self._half_open) >= MAX_HALF_OPEN

    def half_open(self, peer: Address | None = None) -> int:
        """How many sessions are half open, in all or from this peer."""
        return len(self._half_open) if peer is None else self._half_open_peers[peer]

    def add(self, session: Any, half_open: bool) -> None:
        self._by_spi[own_spi(session)] = session
        self._by_remote.setdefault(session.remote.name, []).append(session)
        if half_open:
            key = (session.path.peer, session.spi_i)
            self._half_open[key] = session
            self._half_open_keys[own_spi(session)] = key
            self._half_open_peers[key[0]] += 1

    def close_half_open(self, session: Any) -> None:
        """The session is established, or gone."""
        key = self._half_open_keys.pop(own_spi(session), None)
        if key is None:
            return
        del self._half_open[key]
        self._half_open_peers[key[0]] -= 1
        if not self._half_open_peers[key[0]]:
            del self._half_open_peers[key[0]]

    def move(self, session: Any, remote: Remote) -> None:
        """The session turned out to be with another remote."""
        self._by_remote[session.remote.name].remove(session)
        self._by_remote.setdefault(remote.name, []).append(session)
        session.remote = remote

    def retire(self, session: Any) -> None:
        """The session has ended, and only answers duplicates until it is removed."""
        self.remove(session)
        self._retired[own_spi(session)] = session

    def remove(self, session: Any) -> None:
        self.close_half_open(session)
        self._retired.pop(own_spi(session), None)
        if self._by_spi.pop(own_spi(session), None) is not None:
            self._by_remote[session.remote.name].remove(session)


def own_spi(session: Any) -> bytes:
    """The one of both SPIs that we chose."""
    return session.spi_i if session.initiator else session.spi_r
