# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what every site has registered to pairs of ends: the tunnels of one site, each with both ends' evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..module_utils.evidence.ends import End, Pair
from ..module_utils.evidence.verdict import Expectation, settled_by
from .plan import TunnelEnd, make_plan


@dataclass(frozen=True)
class Registered:
    """The variables under which the three steps of looking are registered at each site."""

    before: str
    probes: str
    evidence: str


def pairs_of(
    variables: Mapping[str, Mapping[str, Any]], site: str, sites: Sequence[str], names: Registered, every: bool
) -> list[Pair]:
    """The tunnels that this site has to answer for: those that it initiates, and those whose peer wasn't looked at.

    With ``every`` all of its tunnels. Raises InventoryError; KeyError where the site isn't among the sites.
    """
    plan = make_plan({name: variables[name] for name in sites})
    return [
        Pair(_end(end, variables, names), _end(_other(end), variables, names))
        for end in plan.ends[site]
        if every or end.initiates or not _registered(variables, end.peer.name, names.evidence)
    ]


def _other(end: TunnelEnd) -> TunnelEnd:
    return TunnelEnd(end.peer, end.local, end.profile)


def _end(end: TunnelEnd, variables: Mapping[str, Mapping[str, Any]], names: Registered) -> End:
    host = end.local.name
    probed = _registered(variables, host, names.probes)
    evidence = _registered(variables, host, names.evidence)
    return End(
        name=host,
        expected=settled_by(_expectation(end), evidence.get("policies", ())),
        evidence=evidence,
        before=_registered(variables, host, names.before),
        probes=[probe for probe in probed.get("probes", ()) if probe["tunnel"] == end.name],
        capture=next((one for one in probed.get("capture", ()) if one["tunnel"] == end.name), {}),
    )


def _expectation(end: TunnelEnd) -> Expectation:
    return Expectation(
        name=end.name,
        local=end.local_address,
        peer=end.peer_address,
        networks=tuple(end.networks),
        encryption=end.profile.cryptography.esp_encryption,
        integrity=end.profile.cryptography.esp_integrity,
    )


def _registered(variables: Mapping[str, Mapping[str, Any]], host: str, name: str) -> Mapping[str, Any]:
    """What a host has registered, nothing where it wasn't reached or the task failed."""
    found = variables[host].get(name, {})
    return found if isinstance(found, Mapping) and "looked_at" in found else {}
