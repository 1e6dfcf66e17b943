# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What IPsec is doing on this host right now: SAs, policies, counters, the daemon's negotiations. Never a key."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from ..commands import Run
from ..ike.kernel.base import KernelError
from ..ike.kernel.open import open_kernel
from ..ike.kernel.setkey_parser import FREEBSD_WINDOW_UNIT, SetkeyError, parse_sad, parse_spd
from ..ike.kernel.statistics import meaning, read_statistics
from ..ike.policy.sa import PolicyState, SaState
from .daemon import Daemon, DaemonError
from .kernel import policy_as_data, sa_as_data

_IP_COUNTERS = {
    "IPReversePathFilter": "received: dropped by rp_filter, since its source isn't routed to where it came from",
    "OutNoRoutes": "sent or forwarded: no route",
    "InAddrErrors": "received: for an address that isn't ours, and forwarding is off",
    "FragFails": "forwarded: bigger than the next link, and not to be fragmented",
}
_IP_COUNTER_FILES = ("/proc/net/netstat", "/proc/net/snmp")


def databases(run: Run, unseen: list[str]) -> dict[str, Any]:
    """The kernel's SAD and SPD; empty where they couldn't be read, which is said in ``unseen``.

    Where the kernel can't be asked, setkey(8) is, if the host has it: FreeBSD's base system does.
    """
    try:
        states, policies, forwards = _ask_the_kernel()
    except KernelError as error:
        try:
            states, policies, forwards = _ask_setkey(run)
        except SetkeyError as refusal:
            unseen.append("the kernel's SAD and SPD: {}; setkey: {}".format(error, refusal))
            return {"sas": [], "policies": [], "directions": []}
    now = time.time()
    return {
        "sas": [sa_as_data(sa, now) for sa in states],
        "policies": [policy_as_data(policy, now) for policy in policies],
        "directions": ["out", "in", "fwd"] if forwards else ["out", "in"],
    }


_Databases = tuple[list[SaState], list[PolicyState], bool]  # SAs, policies, and whether there are some for forwarding


def _ask_the_kernel() -> _Databases:
    kernel = open_kernel()
    try:
        return kernel.list_sas(), kernel.list_policies(), kernel.forwards
    finally:
        kernel.close()


def _ask_setkey(run: Run) -> _Databases:
    """Raises SetkeyError. What setkey prints holds keys: it goes no further than into the parser, and in no message."""
    linux = sys.platform.startswith("linux")
    states = parse_sad(_setkey(run, "-D"), 1 if linux else FREEBSD_WINDOW_UNIT)
    return states, parse_spd(_setkey(run, "-DP")), linux


def _setkey(run: Run, option: str) -> str:
    code, output, error = run(["setkey", option])
    if code != 0:
        raise SetkeyError(error.strip() or "code {}".format(code))
    return output


def counters(unseen: list[str]) -> list[dict[str, Any]]:
    """Packets that IPsec refused, by the kernel's name; those that aren't 0."""
    try:
        statistics = read_statistics()
    except KernelError as error:
        unseen.append("the kernel's counters: {}".format(error))
        return []
    return [
        {"name": name, "packets": packets, "meaning": meaning(name)} for name, packets in statistics.items() if packets
    ]


def ip_counters(unseen: list[str]) -> list[dict[str, Any]]:
    """The same for what IP refuses before or after IPsec sees it."""
    found: dict[str, int] = {}
    for path in _IP_COUNTER_FILES:
        try:
            found.update(read_ip_counters(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError) as error:
            unseen.append("{}: {}".format(path, error))
    moved = {name: text for name, text in _IP_COUNTERS.items() if found.get(name)}
    return [{"name": name, "packets": found[name], "meaning": text} for name, text in moved.items()]


def read_ip_counters(text: str) -> dict[str, int]:
    """The format of /proc/net/snmp: a line of names, a line of numbers, each with the same word in front."""
    lines = [line.split() for line in text.splitlines()]
    columns = [pair for names, values in zip(lines[::2], lines[1::2]) for pair in zip(names[1:], values[1:])]
    return {name: int(value) for name, value in columns if name in _IP_COUNTERS}


def negotiations(control: str | None, unseen: list[str]) -> dict[str, Any]:
    """Whether the daemon answers, its IKE SAs and its tunnels."""
    try:
        status = Daemon(control).status()
    except DaemonError as error:
        unseen.append("the daemon: {}".format(error))
        return {"daemon": {"answers": False, "error": str(error)}, "ike_sas": [], "tunnels": []}
    return {
        "daemon": {"answers": True, "error": ""},
        "ike_sas": status["ike_sas"],
        "tunnels": status["tunnels"],
    }
