# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel's SAs and policies as plain data, the same on every system. Never a key."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..ike.policy.sa import AH, ESP, IPCOMP, PolicyState, SaState, Template, TrafficSelector

_PROTOCOLS = {ESP: "esp", AH: "ah", IPCOMP: "ipcomp"}


def sa_as_data(sa: SaState, now: float) -> dict[str, Any]:
    """One SA. ``age`` and ``used`` (since the first use) are in seconds; None where unknown or never."""
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
        "used": _since(sa.used, now),
        "errors": {
            "replay": sa.replay_errors,
            "replay_window": sa.replay_window_errors,
            "integrity": sa.integrity_errors,
        },
    }


def policy_as_data(state: PolicyState, now: float) -> dict[str, Any]:
    """One policy of the SPD. ``used`` is in seconds since the last use."""
    policy = state.policy
    return {
        "index": state.index,
        "direction": policy.direction,
        "action": policy.action,
        "priority": policy.priority,
        "selector": selector_as_data(policy.selector),
        "templates": [_template_as_data(template) for template in policy.templates],
        "age": _since(state.added, now),
        "used": _since(state.used, now),
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
