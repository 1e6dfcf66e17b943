# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sites are joined: the one topology statement (``ipsec_topology``) as pairs of sites."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .inventory import InventoryError, Problem
from .profiles import Profile

MESH = "mesh"
HUB = "hub"
PAIRS = "pairs"

DEFAULT_TOPOLOGY = MESH

Pair = tuple[str, str]  # two sites' names, sorted


def read_pairs(topology: Any, names: Sequence[str]) -> tuple[Pair, ...]:
    """The pairs of sites to join, sorted, each once.

    ``topology`` is ``mesh``, ``{type: hub, hubs: [NAME, …]}`` or ``{type: pairs, pairs: [[NAME, NAME], …]}``.
    Raises InventoryError.
    """
    statement = {"type": topology} if isinstance(topology, str) else topology
    if not isinstance(statement, Mapping) or statement.get("type") not in _READERS:
        raise _wrong("{!r} is none of: mesh, {{type: hub, hubs: […]}}, {{type: pairs, pairs: […]}}".format(topology))
    kind = statement["type"]
    reader, argument = _READERS[kind]
    unknown = sorted(set(statement) - {"type", argument})
    if unknown:
        raise _wrong("a topology of type {} has no {!r}".format(kind, unknown[0]))
    pairs = reader(statement.get(argument), frozenset(names))
    return tuple(sorted({(min(pair), max(pair)) for pair in pairs}))


def read_profiles(value: Any, pairs: Iterable[Pair], profiles: Mapping[str, Profile]) -> dict[Pair, Profile]:
    """The profiles of single tunnels: ``ipsec_tunnel_profiles``, a dictionary ``{"SITE--SITE": PROFILE}``.

    ``profiles`` are those that there are, by name. Raises InventoryError.
    """
    if not isinstance(value, Mapping):
        raise _wrong_profile("a dictionary is needed: {SITE--SITE: PROFILE}")
    known = frozenset(pairs)
    chosen = {}
    for label, name in value.items():
        pair = tuple(sorted(str(label).split("--")))
        if pair not in known:
            raise _wrong_profile("{!r} is not SITE--SITE of two sites that are joined".format(label))
        if pair in chosen:
            raise _wrong_profile("{!r} is there twice".format(label))
        if str(name) not in profiles:
            raise _wrong_profile("{}: no profile {!r}; there are: {}".format(label, name, ", ".join(profiles)))
        chosen[pair] = profiles[str(name)]
    return chosen


def _mesh(_argument: None, names: frozenset[str]) -> Iterable[Pair]:
    return itertools.combinations(names, 2)


def _hub(hubs: Any, names: frozenset[str]) -> Iterable[Pair]:
    if not isinstance(hubs, (list, tuple)) or not hubs:
        raise _wrong("a topology of type hub needs hubs: [NAME, …]")
    _known(hubs, names)
    return ((hub, name) for hub in hubs for name in names if name != hub)


def _pairs(pairs: Any, names: frozenset[str]) -> Iterable[Pair]:
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise _wrong("a topology of type pairs needs pairs: [[NAME, NAME], …]")
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or pair[0] == pair[1]:
            raise _wrong("{!r} is not a pair of two different sites".format(pair))
        _known(pair, names)
    return ((pair[0], pair[1]) for pair in pairs)


_READERS = {MESH: (_mesh, ""), HUB: (_hub, "hubs"), PAIRS: (_pairs, "pairs")}


def _known(wanted: Sequence[Any], names: frozenset[str]) -> None:
    for name in wanted:
        if name not in names:
            raise _wrong("{!r} is not a site of the inventory; there are: {}".format(name, ", ".join(sorted(names))))


def _wrong(text: str) -> InventoryError:
    return InventoryError((Problem("all sites", "ipsec_topology", text),))


def _wrong_profile(text: str) -> InventoryError:
    return InventoryError((Problem("all sites", "ipsec_tunnel_profiles", text),))
