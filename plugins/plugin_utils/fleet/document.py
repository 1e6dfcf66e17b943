# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as one document: the plan, and beside each planned tunnel what its two ends say of it. Pure functions.

What is planned and isn't there is in it too: monitoring has to show what is configured and down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..inventory import Site
from ..plan import Plan, Tunnel, TunnelEnd

SCHEMA = 1

UP = "up"
PARTLY = "partly"  # some networks are joined, or one end says so and the other one doesn't
CONNECTING = "connecting"
DOWN = "down"
UNKNOWN = "unknown"  # neither end could be asked
STATES = (DOWN, PARTLY, CONNECTING, UNKNOWN, UP)  # the worst first

_NOT_DEPLOYED = {"state": DOWN, "reason": "not deployed", "child_sas": ()}
_NOT_ASKED = {"state": UNKNOWN, "reason": "", "child_sas": ()}

Answer = Mapping[str, Any]  # what ipsec_sa_info returned of a site, empty where it wasn't reached


def fleet_document(plan: Plan, answers: Mapping[str, Answer], time: str) -> dict[str, Any]:
    """A dictionary fit for JSON. ``time`` says when the sites were asked; ages are in seconds, traffic in bytes."""
    sites = [_site(plan, name, answers.get(name, {})) for name in plan.sites]
    tunnels = [_tunnel(tunnel, answers) for tunnel in plan.tunnels]
    states = Counter(tunnel["state"] for tunnel in tunnels)
    return {
        "schema": SCHEMA,
        "time": time,
        "summary": {
            "sites": sum(site["managed"] for site in sites),
            "answering": sum(site["answers"] for site in sites),
            "tunnels": len(tunnels),
            **{state: states[state] for state in STATES},
        },
        "sites": sites,
        "tunnels": tunnels,
    }


def _site(plan: Plan, name: str, answer: Answer) -> dict[str, Any]:
    site, daemon = plan.sites[name], answer.get("daemon", {})
    return {
        "name": name,
        "address": site.shown_address,
        "networks": [str(network) for network in site.networks],
        "managed": site.managed,
        "answers": bool(daemon.get("answers")),
        "reason": "" if daemon.get("answers") else _silence(site, answer),
    }


def _silence(site: Site, answer: Answer) -> str:
    if not site.managed:
        return "not managed"
    return answer.get("daemon", {}).get("error") or answer.get("msg") or "the host wasn't asked"


def _tunnel(tunnel: Tunnel, answers: Mapping[str, Answer]) -> dict[str, Any]:
    ends = [_end(end, answers.get(end.local.name, {})) for end in tunnel.ends()]
    return {
        "sites": [tunnel.first.name, tunnel.second.name],
        "profile": tunnel.profile.name,
        "state": _state(pair["state"] for end in ends for pair in end["networks"] if end["answers"]),
        "ends": ends,
    }


def _end(end: TunnelEnd, answer: Answer) -> dict[str, Any]:
    said = {
        (one["selector"]["local"], one["selector"]["peer"]): one
        for one in answer.get("tunnels", ())
        if one["policy"] == end.name
    }
    answers = bool(answer.get("daemon", {}).get("answers"))
    absent = _NOT_DEPLOYED if answers else _NOT_ASKED
    traffic = _traffic(end, answer)
    established = [one for one in answer.get("ike_sas", ()) if one["remote"] == end.name]
    return {
        "site": end.local.name,
        "answers": answers,
        "ike": _ike(max(established, key=lambda one: one["state"] == "established")) if established else None,
        "networks": [
            _pair(str(local), str(peer), said.get((str(local), str(peer)), absent), traffic)
            for local, peer in end.networks
        ],
    }


def _ike(one: Mapping[str, Any]) -> dict[str, Any]:
    algorithms = [one[kind] for kind in ("encryption", "integrity", "prf", "group") if one[kind]]
    return {
        "version": one["version"],
        "state": one["state"],
        "algorithms": algorithms,
        "nat": one["nat"],
        "age": one["age"],
        "lifetime": one["lifetime"],
    }


def _pair(local: str, peer: str, said: Mapping[str, Any], traffic: Mapping[tuple, int]) -> dict[str, Any]:
    young = next((child for child in said["child_sas"] if child["state"] == UP), None)
    return {
        "local": local,
        "peer": peer,
        "state": said["state"],
        "reason": said["reason"],
        "child": None if young is None else _child(young, traffic),
    }


def _child(child: Mapping[str, Any], traffic: Mapping[tuple, int]) -> dict[str, Any]:
    return {
        "algorithms": [child[kind] for kind in ("encryption", "integrity", "pfs") if child[kind]],
        "spi_in": child["spi_in"],
        "spi_out": child["spi_out"],
        "age": child["age"],
        "lifetime": child["lifetime"],
        "bytes_in": traffic.get(("in", child["spi_in"])),
        "bytes_out": traffic.get(("out", child["spi_out"])),
    }


def _traffic(end: TunnelEnd, answer: Answer) -> dict[tuple[str, str], int]:
    """What the kernel's SAs with this peer have carried, by direction and SPI; with any peer that may be anywhere."""
    peer, local = str(end.peer.address), str(end.local.own_address)
    found = {}
    for sa in answer.get("sas", ()):
        if peer == sa["source"] or (end.peer.address is None and local == sa["destination"]):
            found["in", sa["spi"]] = sa["bytes"]
        elif peer == sa["destination"] or (end.peer.address is None and local == sa["source"]):
            found["out", sa["spi"]] = sa["bytes"]
    return found


def _state(states: Any) -> str:
    """A tunnel's state from those of its pairs of networks at the ends that answer."""
    found = set(states)
    if not found:
        return UNKNOWN
    if found == {UP}:
        return UP
    if UP in found:
        return PARTLY
    return CONNECTING if CONNECTING in found else DOWN
