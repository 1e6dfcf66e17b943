# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a host's tunnels: the operator's where he brings them, the store's otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .plan import TunnelEnd
from .psk_store import PskStore, PskStoreError, new_key, weaknesses
from .rotation import KeySet, Rotations

Keys = dict[str, KeySet]  # by the index of the remote that they're for


def collect_keys(
    ends: Iterable[TunnelEnd], store: PskStore, given: Mapping[tuple[str, str], bytes], make: bool
) -> tuple[Keys, list[str]]:
    """The keys of each tunnel of a host, and complaints about weak ones.

    ``given`` are the operator's keys by pair of sites' names, sorted. Where neither he nor the store has a key, one is
    made and kept; with ``make`` False a random one stands in for it, which is not kept. A rotation that is under way
    goes before both: its keys are in the store. Raises PskStoreError.
    """
    keys: Keys = {}
    complaints: list[str] = []
    rotations = Rotations(store)
    for end in ends:
        pair = pair_of(end)
        keys[end.name] = found = _keys(rotations, end, given.get(pair), make)
        complaints += [
            "pre-shared key of {} and {}: {}".format(*pair, weakness) for weakness in weaknesses(found.newest)
        ]
    return keys, complaints


def pair_of(end: TunnelEnd) -> tuple[str, str]:
    """The names of the two sites, sorted."""
    return min(end.local.name, end.peer.name), max(end.local.name, end.peer.name)


def record_phases(rotations: Rotations, ends: Iterable[TunnelEnd], keys: Keys) -> None:
    """This host has these keys now: a rotation that waits for it may go on."""
    for end in ends:
        if keys[end.name].phase:
            rotations.record(end.local, end.peer, keys[end.name].phase, end.local.name)


def _keys(rotations: Rotations, end: TunnelEnd, given: bytes | None, make: bool) -> KeySet:
    store, sites = rotations.store, (end.local, end.peer)
    if given is not None and rotations.progress(*sites) is None:
        if not rotations.settle(*sites, given, dry=not make):
            text = "ipsec_psks: the key of {}--{} was rotated: enter the new one, which is in {}"
            raise PskStoreError(text.format(*pair_of(end), store.path(*sites)))
        return KeySet(given)
    if make:
        store.make(*sites)
    return rotations.keys(*sites) or KeySet(new_key())
