# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon asks of a kernel: SAs, policies, their events, and two options of a UDP socket.

Every backend keeps to this one interface. The order that loses no packet is: ``allocate_spi`` for the
inbound direction, ``update_sa`` inbound, ``add_sa`` outbound.
"""

from __future__ import annotations

import os
import socket as sockets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Union

from ..policy.sa import (
    TUNNEL,
    Address,
    Policy,
    PolicyState,
    SaId,
    SaState,
    SecurityAssociation,
    TrafficSelector,
)

# RFC 4303 2.1 reserves SPIs 1 to 255. The upper end is racoon2's (rc_spirange_max).
SPI_MINIMUM = 0x100
SPI_MAXIMUM = 0x0FFFFFFF

# What an SPI is held for while its SA is negotiated, in seconds. It is Linux's default of
# net.core.xfrm_acq_expires, which XFRM applies to larval SAs, and racoon2's limit for a quick mode.
LARVAL_SECONDS = 30


class KernelError(Exception):
    """The kernel refused an operation. ``errno`` is the system's number (0 if there is none)."""

    def __init__(self, operation: str, errno: int, text: str = "") -> None:
        self.operation = operation
        self.errno = errno
        self.text = text or os.strerror(errno)
        super().__init__("{}: {}".format(self.operation, self.text))


@dataclass(frozen=True)
class Acquire:
    """A packet met a policy for which there is no SA; the kernel asks for one.

    ``policy`` is the selector of the policy, ``packet`` that of the packet; ``source``, ``destination``,
    ``protocol``, ``mode`` and ``reqid`` are those of the SA that is wanted. ``policy_index`` is the kernel's id of
    the policy and ``sequence`` of the request; 0 where the kernel doesn't say.
    """

    policy: TrafficSelector
    packet: TrafficSelector
    source: Address
    destination: Address
    protocol: int
    mode: str = TUNNEL
    reqid: int = 0
    policy_index: int = 0
    sequence: int = 0


@dataclass(frozen=True)
class Expire:
    """An SA met a limit of its lifetime: soft (it still works), or hard (the kernel has removed it)."""

    id: SaId
    hard: bool
    reqid: int = 0


@dataclass(frozen=True)
class EventsLost:
    """The kernel dropped events (its queue was full): what is installed has to be read anew."""


Event = Union[Acquire, Expire, EventsLost]


class Kernel(ABC):
    """A kernel's SAD and SPD. All methods raise :class:`KernelError` when the kernel refuses.

    ``reqids`` are the request ids that the daemon may give to its tunnels: those that this kernel can carry and that
    nobody else is likely to use. ``forwards`` is whether forwarded packets meet policies of their own (``fwd``).
    ``largest_window`` is the longest replay window that it can be asked for, in packets.
    """

    name: str
    reqids: range = range(0x54410000, 0x54420000)
    forwards: bool = True
    largest_window: int = 4096

    @abstractmethod
    def allocate_spi(
        self, source: Address, destination: Address, protocol: int, reqid: int = 0, mode: str = TUNNEL
    ) -> int:
        """Reserve an SPI for an inbound SA: a larval SA, which goes away after ``LARVAL_SECONDS``."""

    @abstractmethod
    def add_sa(self, association: SecurityAssociation) -> None:
        """Install an SA whose SPI the peer chose (outbound). An SA of the same id is an error (EEXIST)."""

    @abstractmethod
    def update_sa(self, association: SecurityAssociation) -> None:
        """Turn the larval SA of :meth:`allocate_spi` into a mature one (inbound); ESRCH if it has gone away."""

    @abstractmethod
    def delete_sa(self, sa_id: SaId) -> bool:
        """Remove an SA, larval ones too. False if the kernel doesn't have it (it may have expired)."""

    @abstractmethod
    def query_sa(self, sa_id: SaId) -> SaState | None:
        """The SA as the kernel has it, or None."""

    @abstractmethod
    def list_sas(self) -> list[SaState]:
        """Every SA in the kernel, whoever installed it."""

    @abstractmethod
    def flush_sas(self) -> None:
        """Remove every SA, whoever installed it."""

    @abstractmethod
    def add_policy(self, policy: Policy) -> None:
        """Insert a policy, or replace the one with the same selector and direction."""

    @abstractmethod
    def delete_policy(self, policy: Policy) -> bool:
        """Remove the policy with this selector and direction. False if the kernel doesn't have it."""

    @abstractmethod
    def list_policies(self) -> list[PolicyState]:
        """Every policy in the kernel but the sockets' own, whoever installed it."""

    @abstractmethod
    def flush_policies(self) -> None:
        """Remove every policy but the sockets' own, whoever installed it."""

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that is readable when :meth:`read_events` has something to return."""

    @abstractmethod
    def read_events(self) -> list[Event]:
        """The events that wait, oldest first; never blocks, and returns after a bounded number."""

    @abstractmethod
    def bypass(self, socket: sockets.socket) -> None:
        """Let a socket's own packets pass every policy, both ways: IKE must not wait for the SA it makes."""

    @abstractmethod
    def encapsulate_udp(self, socket: sockets.socket) -> None:
        """Make the kernel take ESP in UDP (RFC 3948) that arrives at this bound socket."""

    @abstractmethod
    def close(self) -> None:
        """Give back descriptors. SAs and policies stay."""
