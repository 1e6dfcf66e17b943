# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated kernel: it records what would be installed and protects no packet.

For handshakes without privileges, for tests and benchmarks. It can be told to fail at any operation, and what
a real kernel would report (acquires, expiries) is injected.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket as sockets
import time
from collections import deque
from dataclasses import replace
from typing import Callable

from ..crypto.algorithms import CIPHERS, INTEGRITIES
from ..policy.sa import (
    TUNNEL,
    Address,
    Policy,
    PolicyState,
    SaId,
    SaState,
    SecurityAssociation,
)
from .base import LARVAL_SECONDS, SPI_MAXIMUM, SPI_MINIMUM, Event, Kernel, KernelError


def random_spi() -> int:
    """An SPI as a kernel would choose it."""
    return SPI_MINIMUM + secrets.randbelow(SPI_MAXIMUM - SPI_MINIMUM + 1)


class NoneKernel(Kernel):
    """Keeps SAs and policies in dictionaries. ``spis`` and ``clock`` may be given to make runs repeatable.

    ``installed`` maps the id of each installed SA to its :class:`SecurityAssociation`, keys included;
    ``log`` lists each operation that was asked for as (method name, its main argument).
    """

    name = "none"

    def __init__(self, spis: Callable[[], int] = random_spi, clock: Callable[[], float] = time.time) -> None:
        self.installed: dict[SaId, SecurityAssociation] = {}
        self.log: list[tuple[str, object]] = []
        self._spis = spis
        self._clock = clock
        self._states: dict[SaId, SaState] = {}
        self._larvals: dict[SaId, float] = {}  # when each was allocated, oldest first
        self._policies: dict[tuple, PolicyState] = {}
        self._indexes = 0
        self._failures: dict[str, list[int]] = {}
        self._events: deque[Event] = deque()
        self._pipe: tuple[int, int] | None = None  # made when somebody waits for events

    # What tests steer

    def fail(self, operation: str, number: int = errno.ENOMEM, after: int = 0) -> None:
        """Make one call of a method fail with this errno: the next one, or the one ``after`` so many.

        AttributeError if there is no such method.
        """
        getattr(self, operation)
        self._failures[operation] = [after, number]

    def inject(self, event: Event) -> None:
        """Report an event, as a kernel would. A hard expiry also removes its SA."""
        if getattr(event, "hard", False):
            self._forget(event.id)
        self._events.append(event)
        if len(self._events) == 1 and self._pipe is not None:
            os.write(self._pipe[1], b"!")

    # The SAD

    def allocate_spi(
        self, source: Address, destination: Address, protocol: int, reqid: int = 0, mode: str = TUNNEL
    ) -> int:
        self._begin("allocate_spi", (source, destination, protocol))
        sa_id = SaId(destination, protocol, self._spis())
        while sa_id in self._states:
            sa_id = replace(sa_id, spi=self._spis())
        self._states[sa_id] = SaState(
            source, destination, protocol, sa_id.spi, mode, "larval", reqid, added=int(self._clock())
        )
        self._larvals[sa_id] = self._clock()
        return sa_id.spi

    def add_sa(self, association: SecurityAssociation) -> None:
        self._begin("add_sa", association.id)
        self._drop_stale_larvals()
        if association.id in self._states:
            raise KernelError("add SA", errno.EEXIST)
        self._install(association)

    def update_sa(self, association: SecurityAssociation) -> None:
        self._begin("update_sa", association.id)
        self._drop_stale_larvals()
        if association.id not in self._states:
            raise KernelError("update SA", errno.ESRCH)
        self._install(association)

    def delete_sa(self, sa_id: SaId) -> bool:
        self._begin("delete_sa", sa_id)
        self._drop_stale_larvals()
        return self._forget(sa_id)

    def query_sa(self, sa_id: SaId) -> SaState | None:
        self._begin("query_sa", sa_id)
        self._drop_stale_larvals()
        return self._states.get(sa_id)

    def list_sas(self) -> list[SaState]:
        self._begin("list_sas", None)
        self._drop_stale_larvals()
        return list(self._states.values())

    def flush_sas(self) -> None:
        self._begin("flush_sas", None)
        self._states.clear()
        self._larvals.clear()
        self.installed.clear()

    # The SPD

    def add_policy(self, policy: Policy) -> None:
        self._begin("add_policy", policy)
        self._indexes += 1
        self._policies[_policy_key(policy)] = PolicyState(policy, self._indexes, added=int(self._clock()))

    def delete_policy(self, policy: Policy) -> bool:
        self._begin("delete_policy", policy)
        return self._policies.pop(_policy_key(policy), None) is not None

    def list_policies(self) -> list[PolicyState]:
        self._begin("list_policies", None)
        return list(self._policies.values())

    def flush_policies(self) -> None:
        self._begin("flush_policies", None)
        self._policies.clear()

    # Events and sockets

    def fileno(self) -> int:
        if self._pipe is None:
            self._pipe = os.pipe()
            if self._events:
                os.write(self._pipe[1], b"!")
        return self._pipe[0]

    def read_events(self) -> list[Event]:
        events = list(self._events)
        self._events.clear()
        if events and self._pipe is not None:
            os.read(self._pipe[0], 1)
        return events

    def bypass(self, socket: sockets.socket) -> None:
        self._begin("bypass", socket.fileno())

    def encapsulate_udp(self, socket: sockets.socket) -> None:
        self._begin("encapsulate_udp", socket.fileno())

    def close(self) -> None:
        for descriptor in self._pipe or ():
            os.close(descriptor)
        self._pipe = None

    # Bookkeeping

    def _begin(self, operation: str, argument: object) -> None:
        self.log.append((operation, argument))
        failure = self._failures.get(operation)
        if failure is None:
            return
        if failure[0] > 0:
            failure[0] -= 1
            return
        del self._failures[operation]
        raise KernelError(operation.replace("_", " "), failure[1])

    def _drop_stale_larvals(self) -> None:
        oldest = self._clock() - LARVAL_SECONDS
        while self._larvals:
            sa_id, allocated = next(iter(self._larvals.items()))
            if allocated >= oldest:
                return
            self._forget(sa_id)

    def _install(self, association: SecurityAssociation) -> None:
        self._larvals.pop(association.id, None)
        self.installed[association.id] = association
        self._states[association.id] = described(association, int(self._clock()))

    def _forget(self, sa_id: SaId) -> bool:
        self._larvals.pop(sa_id, None)
        self.installed.pop(sa_id, None)
        return self._states.pop(sa_id, None) is not None


def described(association: SecurityAssociation, now: int) -> SaState:
    """The state that a kernel would report for an SA installed at ``now`` (seconds since the epoch)."""
    cipher = CIPHERS.get(association.encryption)
    integrity = INTEGRITIES.get(association.integrity)
    tag = integrity or cipher
    return SaState(
        source=association.source,
        destination=association.destination,
        protocol=association.protocol,
        spi=association.spi,
        mode=association.mode,
        state="mature",
        reqid=association.reqid,
        encryption=association.encryption,
        encryption_bits=8 * (len(association.encryption_key) - cipher.salt) if cipher else 0,
        integrity=association.integrity,
        integrity_bits=8 * len(association.integrity_key),
        icv_bits=8 * tag.icv if tag else 0,
        replay_window=association.replay_window,
        esn=association.esn,
        lifetime=association.lifetime,
        selector=association.selector,
        encapsulation=association.encapsulation,
        added=now,
    )


def _policy_key(policy: Policy) -> tuple:
    return policy.selector, policy.direction
