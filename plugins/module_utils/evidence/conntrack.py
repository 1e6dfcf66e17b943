# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections that a host keeps track of: those that NAT goes on translating, whatever its rules say by now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from ..ike.policy.sa import Address
from .looking import Look

_FILE = "/proc/net/nf_conntrack"
_FOLLOWED = re.compile(r"\b(tcp|udp)\s+(?:6|17)\s")  # what may last; a ping is a connection of its own
_ENDS = re.compile(r"\bsrc=(\S+) dst=(\S+)")


@dataclass(frozen=True)
class Connection:
    """A connection whose source is translated: to ``seen_as``, which the other end answers to."""

    protocol: str
    source: Address
    destination: Address
    seen_as: Address

    def __str__(self) -> str:
        return "{} {} -> {}".format(self.protocol, self.source, self.destination)


def translated(look: Look) -> tuple[Connection, ...] | None:
    """The translated connections; None where the kernel's table can't be read, in its file or by conntrack(8)."""
    if look.setting("net/netfilter/nf_conntrack_count") in (None, "0"):
        return ()
    text = look.file(_FILE)
    if text is None:
        code, output, _errors = look.run(["conntrack", "-L"])
        text = output if code == 0 else None
    return None if text is None else tuple(read_translated(text.splitlines()))


def read_translated(lines: Iterable[str]) -> Iterator[Connection]:
    """The format of /proc/net/nf_conntrack: the packet's addresses, then those of the answer that is expected."""
    for line in lines:
        protocol, ends = _FOLLOWED.search(line), _ENDS.findall(line)
        if protocol and len(ends) == 2 and ends[0][0] != ends[1][1]:
            (source, destination), (_answerer, seen_as) = ends
            yield Connection(protocol.group(1), *(ip_address(one) for one in (source, destination, seen_as)))
