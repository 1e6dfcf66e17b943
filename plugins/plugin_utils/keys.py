# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's pre-shared keys, from the operator or from the store, with what's to be said against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .plan import TunnelEnd
from .psk_store import PskStore, new_key, weaknesses

Keys = dict[str, bytes]  # by the index of the remote that they're for


def collect_keys(
    ends: Iterable[TunnelEnd], store: PskStore, given: Mapping[tuple[str, str], bytes], make: bool
) -> tuple[Keys, list[str]]:
    """The key of each tunnel of a host, and complaints about weak ones.

    ``given`` are the operator's keys by pair of sites' names, sorted. Where neither he nor the store has a key, one is
    made and kept; with ``make`` False a random one stands in for it, which is not kept. Raises PskStoreError.
    """
    keys: Keys = {}
    complaints: list[str] = []
    for end in ends:
        pair = (min(end.local.name, end.peer.name), max(end.local.name, end.peer.name))
        key = given.get(pair) or _stored(store, end, make)
        keys[end.name] = key
        complaints += ["pre-shared key of {} and {}: {}".format(*pair, weakness) for weakness in weaknesses(key)]
    return keys, complaints


def _stored(store: PskStore, end: TunnelEnd, make: bool) -> bytes:
    if make:
        return store.make(end.local, end.peer)
    return store.read(end.local, end.peer) or new_key()
