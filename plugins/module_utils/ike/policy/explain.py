# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why two lists of suites have nothing in common, in one line: the nearest pair and where it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def nearest_difference(theirs: Sequence[Mapping[str, str]], ours: Sequence[Mapping[str, str]]) -> str:
    """Name the pair of suites that differs least. A suite maps what is negotiated to a value's name.

    ``{"encryption": "aes128_cbc", "group": "modp1024"}`` against ``{…, "group": "modp2048"}`` gives
    ``nearest offer aes128_cbc/modp1024: group: theirs modp1024, ours modp2048``.
    """
    if not theirs:
        return "the peer offered nothing that we can read"
    if not ours:
        return "we have nothing to offer"
    pairs = [(_differences(offer, suite), offer) for offer in theirs for suite in ours]
    differences, offer = min(pairs, key=lambda pair: len(pair[0]))
    return "nearest offer {}: {}".format("/".join(offer.values()), "; ".join(differences))


def _differences(offer: Mapping[str, str], suite: Mapping[str, str]) -> list[str]:
    names = list(dict.fromkeys([*offer, *suite]))
    return [
        "{}: theirs {}, ours {}".format(name, offer.get(name, "none"), suite.get(name, "none"))
        for name in names
        if offer.get(name) != suite.get(name)
    ]


def nearest_list(theirs: Sequence[Mapping[str, list[str]]], ours: Sequence[Mapping[str, list[str]]]) -> str:
    """The same for offers that hold lists (IKEv2): where the nearest pair has nothing in common.

    ``{"encryption": ["aes128_cbc", "3des_cbc"]}`` against ``{"encryption": ["aes256_gcm"]}`` gives
    ``nearest offer: encryption: theirs aes128_cbc, 3des_cbc, ours aes256_gcm``.
    """
    if not theirs:
        return "the peer offered nothing that we can read"
    differences = min((_disjoint(offer, mine) for offer in theirs for mine in ours), key=len)
    return "nearest offer: {}".format("; ".join(differences) or "a transform that we don't know, or one method twice")


def _disjoint(offer: Mapping[str, list[str]], mine: Mapping[str, list[str]]) -> list[str]:
    names = list(dict.fromkeys([*offer, *mine]))
    return [
        "{}: theirs {}, ours {}".format(name, ", ".join(offer.get(name, ["none"])), ", ".join(mine.get(name, ["none"])))
        for name in names
        if not set(offer.get(name, [])) & set(mine.get(name, []))
    ]
