# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an exchange asks of the world: values that its generator yields, and that the runner answers.

The messages are the runner's own business. The others go to the rim, which knows kernel and files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

from ..config.settings import IkeSettings
from ..policy.sa import Address, SaId, SecurityAssociation

# Messages


@dataclass(frozen=True)
class Request:
    """Send, and send again until the next message of this exchange arrives; the answer is that message.

    ``expect`` is the rule that the next message has to fit (see the version's ``rules``).
    """

    payloads: list
    expect: Any
    encrypted: bool = False


@dataclass(frozen=True)
class Reply:
    """Answer the message that came last; the answer is the next message. Only ``insist`` sends it again unasked."""

    payloads: list
    expect: Any
    encrypted: bool = False
    insist: bool = False


@dataclass(frozen=True)
class Final:
    """The exchange's last message from us: nothing answers it, and a duplicate of what it answers repeats it."""

    payloads: list
    encrypted: bool = False


@dataclass(frozen=True)
class Await:
    """Send nothing, and wait for the peer's next request, which has to fit ``expect``; the answer is that message."""

    expect: Any


# The rim


@dataclass(frozen=True)
class SharedKeys:
    """The pre-shared keys for a peer, read now: a tuple of bytes. We prove the first one, the peer any of them.

    More than one is there while a key is being rotated. LocalError names what is wrong with the file.
    """

    settings: IkeSettings


@dataclass(frozen=True)
class PostQuantumKey:
    """The post-quantum pre-shared key for a peer (RFC 8784), read now: bytes. LocalError as with SharedKeys."""

    settings: IkeSettings


@dataclass(frozen=True)
class AllocateSpi:
    """An SPI for the SA from ``peer`` to ``local``: an int. ``protocol`` is an IP protocol number."""

    peer: Address
    local: Address
    protocol: int
    reqid: int
    mode: str


@dataclass(frozen=True)
class Install:
    """Put an SA into the kernel; an inbound one takes the place of its larval SA."""

    association: SecurityAssociation = field(repr=False)
    inbound: bool


@dataclass(frozen=True)
class Remove:
    """Take SAs out of the kernel; those that are gone already don't matter."""

    ids: tuple[SaId, ...]


@dataclass(frozen=True)
class PacketsReceived:
    """How many packets these inbound SAs have taken: an int, for telling whether a peer is alive."""

    ids: tuple[SaId, ...]


@dataclass(frozen=True)
class SourceAddress:
    """The local address that the kernel would use towards a peer: an address."""

    peer: Address


@dataclass(frozen=True)
class NamedAddress:
    """The address of this IP version that a peer's name stands for: an address. LocalError where there is none yet."""

    name: str
    version: int


@dataclass(frozen=True)
class RunScript:
    """Run an operator's hook script: ``environment`` is all that it gets (racoon2's names)."""

    path: str
    event: str
    environment: tuple[tuple[str, str], ...]


Message = Union[Request, Reply, Final, Await]
Effect = Union[
    Message,
    SharedKeys,
    PostQuantumKey,
    AllocateSpi,
    Install,
    Remove,
    PacketsReceived,
    SourceAddress,
    NamedAddress,
    RunScript,
]
