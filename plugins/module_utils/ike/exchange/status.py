# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status document: one source for people, programs and metrics. What is configured, what is up, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config.settings import Member
from .child import UP, ChildSa
from .tunnels import DOWN, TunnelState

if TYPE_CHECKING:
    from .engine import Engine

SCHEMA = 1
LEFT_OUT = "the peer left it out of the child SA that it shares (see child_per)"


def document(engine: Engine, now: float) -> dict[str, Any]:
    """A dictionary fit for JSON: addresses as text, ages and lifetimes in seconds, SPIs as ``0x…`` text."""
    return {
        "schema": SCHEMA,
        "ike_sas": [_ike_sa(session, now) for session in engine.sessions],
        "tunnels": [_tunnel(state, member, now) for state in engine.tunnels for member in state.tunnel.members],
        "watchers": len(engine.host.watchers),
        "counters": dict(engine.host.counters),
    }


def _ike_sa(session: Any, now: float) -> dict[str, Any]:
    path, suite = session.path, session.suite
    negotiated = suite.names() if suite else {}
    return {
        "id": session.id,
        "remote": session.remote.name,
        "version": session.version,
        "role": "initiator" if session.initiator else "responder",
        "state": session.state,
        "local": {"address": str(path.local), "port": path.local_port, "id": session.local_id},
        "peer": {"address": str(path.peer), "port": path.peer_port, "id": session.peer_id},
        "encryption": negotiated.get("encryption", ""),
        "integrity": negotiated.get("integrity", ""),
        "prf": negotiated.get("prf", negotiated.get("hash", "")),
        "group": negotiated.get("group", ""),
        "ppk": getattr(suite, "ppk", ""),
        "nat": session.behind_nat,
        "spi_i": session.spi_i.hex(),
        "spi_r": session.spi_r.hex(),
        "age": int(now - session.since),
        "lifetime": suite.lifetime_seconds if suite else 0,
    }


def _tunnel(state: TunnelState, member: Member, now: float) -> dict[str, Any]:
    """One of a tunnel's selectors, with the child SAs that carry its traffic."""
    tunnel, traffic = state.tunnel, member.selector
    children = [child for child in state.children if child.serves(member)]
    up = any(child.state == UP for child in children)
    left_out = state.up and not up
    return {
        "name": member.name,
        "remote": tunnel.remote,
        "policy": tunnel.policy,
        "state": DOWN if left_out else state.summary(),
        "reason": LEFT_OUT if left_out else "" if up else state.reason,
        "selector": {
            "local": str(traffic.source),
            "peer": str(traffic.destination),
            "protocol": traffic.protocol,
        },
        "child_sas": [_child(child, member, now) for child in children],
    }


def _child(child: ChildSa, member: Member, now: float) -> dict[str, Any]:
    """A child SA. IKEv1 agrees on exactly the selector's own traffic."""
    traffic = member.selector
    return {
        "mode": child.tunnel.mode,
        "traffic": {
            "local": list(child.local_traffic) or [str(traffic.source)],
            "peer": list(child.peer_traffic) or [str(traffic.destination)],
        },
        "protocol": child.protocol,
        "encryption": child.encryption,
        "encryption_bits": child.encryption_bits,
        "integrity": child.integrity,
        "pfs": child.pfs,
        "spi_in": "{:#010x}".format(child.spi_in),
        "spi_out": "{:#010x}".format(child.spi_out),
        "age": int(now - child.since),
        "lifetime": child.lifetime_seconds,
        "state": child.state,
    }
