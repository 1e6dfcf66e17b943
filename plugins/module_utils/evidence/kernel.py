# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel's SAs, policies and error counters as plain data, the same on every system. Never a key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..ike.policy.sa import AH, ESP, IPCOMP, PolicyState, SaState, Template, TrafficSelector

XFRM_STATISTICS = Path("/proc/net/xfrm_stat")

_PROTOCOLS = {ESP: "esp", AH: "ah", IPCOMP: "ipcomp"}


def sa_as_data(sa: SaState, now: float) -> dict[str, Any]:
    """One SA. ``age`` and ``idle`` are in seconds, None where the kernel doesn't say or it was never used."""
    return {
        "spi": "0x{:08x}".format(sa.spi),
        "source": str(sa.source),
        "destination": str(sa.destination),
        "protocol": _PROTOCOLS.get(sa.protocol, str(sa.protocol)),
        "mode": sa.mode,
        "state": sa.state,
        "reqid": sa.reqid,
        "encryption": sa.encryption,
        "encryption_bits": sa.encryption_bits,
        "integrity": sa.integrity,
        "integrity_bits": sa.integrity_bits,
        "icv_bits": sa.icv_bits,
        "encapsulation": None if sa.encapsulation is None else asdict(sa.encapsulation),
        "selector": None if sa.selector is None else selector_as_data(sa.selector),
        "lifetime": asdict(sa.lifetime),
        "replay_window": sa.replay_window,
        "esn": sa.esn,
        "bytes": sa.bytes,
        "packets": sa.packets,
        "age": _since(sa.added, now),
        "idle": _since(sa.used, now),
        "errors": {
            "replay": sa.replay_errors,
            "replay_window": sa.replay_window_errors,
            "integrity": sa.integrity_errors,
        },
    }


def policy_as_data(state: PolicyState, now: float) -> dict[str, Any]:
    """One policy of the SPD."""
    policy = state.policy
    return {
        "index": state.index,
        "direction": policy.direction,
        "action": policy.action,
        "priority": policy.priority,
        "selector": selector_as_data(policy.selector),
        "templates": [_template_as_data(template) for template in policy.templates],
        "age": _since(state.added, now),
        "idle": _since(state.used, now),
    }


def selector_as_data(selector: TrafficSelector) -> dict[str, Any]:
    """What a policy or an SA covers. Protocol 0 and port 0 mean any."""
    return {
        "source": str(selector.source),
        "destination": str(selector.destination),
        "protocol": selector.protocol,
        "source_port": selector.source_port,
        "destination_port": selector.destination_port,
    }


def between(sas: Iterable[SaState], one: str, other: str) -> list[SaState]:
    """The SAs of both directions between two addresses."""
    return [sa for sa in sas if {str(sa.source), str(sa.destination)} == {one, other}]


def kernel_counters(path: Path = XFRM_STATISTICS) -> dict[str, int] | None:
    """The kernel's counters of dropped packets, by name; None where this kernel doesn't count."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return None
    return {name: int(value) for name, value in (line.split() for line in lines)}


def _template_as_data(template: Template) -> dict[str, Any]:
    return {
        "protocol": _PROTOCOLS.get(template.protocol, str(template.protocol)),
        "mode": template.mode,
        "source": None if template.source is None else str(template.source),
        "destination": None if template.destination is None else str(template.destination),
        "reqid": template.reqid,
        "level": template.level,
    }


def _since(moment: int, now: float) -> int | None:
    return max(0, int(now) - moment) if moment else None
