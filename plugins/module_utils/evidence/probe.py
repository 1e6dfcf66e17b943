# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pings through a tunnel: do small packets come back, do big ones, and how big may they be."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .looking import FREEBSD, Look

_COUNT = 3
_SMALL = 56  # bytes of data, ping's default
_BIGGEST = 1472  # fills 1500 bytes with IPv4's and ICMP's headers
_HEADERS = {4: 28, 6: 48}
_STEPS = 6
_HOPS = 4  # ways that are narrower than the one before

_RECEIVED = re.compile(r"(\d+) (?:packets )?received")
_TOO_LONG = "Message too long"  # FreeBSD's kernel refuses, and doesn't say how much would do
_MTU = re.compile(r"mtu ?[=:] ?(\d+)")


@dataclass(frozen=True)
class Probe:
    """From an address of this host's in a network of its own to one of the far network."""

    tunnel: str
    network: str
    far: str
    source: str
    target: str


def run_probe(look: Look, probe: Probe) -> dict[str, Any]:
    """What came back. ``largest`` is the biggest packet that was answered, in bytes with its headers; 0 if not sought.

    ``sent`` is 0 where ping couldn't be run. ``big`` is whether the biggest packet that this host's kernel sends was
    answered, None where that wasn't tried; it may not be fragmented on the way (ping's -M do, FreeBSD's -D).
    """
    answered, _output = _ping(look, probe, _SMALL, _COUNT)
    found: dict[str, Any] = {
        **asdict(probe),
        "sent": 0 if answered is None else _COUNT,
        "received": answered or 0,
        "big": None,
        "path_mtu": 0,
        "largest": 0,
    }
    if not answered:
        return found
    headers = _HEADERS[ipaddress.ip_address(probe.target).version]
    size = _biggest(look, probe, headers)
    found["path_mtu"] = size + headers
    found["big"] = bool(_ping(look, probe, size, 2)[0])
    found["largest"] = (
        size if found["big"] else _by_halves(size, lambda middle: bool(_ping(look, probe, middle, 1)[0]))
    ) + headers
    return found


def _biggest(look: Look, probe: Probe, headers: int) -> int:
    """The biggest data that the kernel lets into the tunnel: it knows the SA's overhead, and learns the path's MTU."""
    size = _BIGGEST
    for _hop in range(_HOPS):
        count, output = _ping(look, probe, size, 1)
        if _TOO_LONG in output:
            return _by_halves(size, lambda middle: _TOO_LONG not in _ping(look, probe, middle, 1)[1])
        limits = [int(mtu) - headers for mtu in _MTU.findall(output)]
        if count or not limits or min(limits) >= size:
            break
        size = min(limits)
    return size


def _by_halves(size: int, fits: Callable[[int], bool]) -> int:
    """The biggest data below ``size`` that fits, to within some bytes."""
    low, high = _SMALL, size
    for _step in range(_STEPS):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _ping(look: Look, probe: Probe, size: int, count: int) -> tuple[int | None, str]:
    """How many were answered, None where ping couldn't be run, and what it said."""
    words = ["ping", "-n", "-c", str(count), "-i", "0.2", "-s", str(size)]
    if look.system == FREEBSD:
        words += ["-W", "1000", "-D", "-S", probe.source, probe.target]
    else:
        words += ["-W", "1", "-M", "do", "-I", probe.source, probe.target]
    code, output, errors = look.run(words)
    answered = _RECEIVED.search(output)
    if answered is None:
        look.note("ping -I {} {}".format(probe.source, probe.target), (errors.strip() or "code {}".format(code)))
        return None, output + errors
    return int(answered.group(1)), output + errors
