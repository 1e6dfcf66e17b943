# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do two kernels hold the same tunnel? SPIs, algorithms, selectors, lifetimes, leftovers, and packets that arrive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .ends import USABLE, End, Pair, Sa, common_spis, lacking_policies
from .sanity import FAILS, HOLDS, UNSURE, Check

SPI, AGREEMENT, SELECTORS, LIFETIME = "spi", "agreement", "selectors", "lifetime"
LEFTOVER_SA, MOVES, PROBE = "leftover_sa", "moves", "probe"

_SAME = ("mode", "encryption", "encryption_bits", "integrity", "icv_bits", "esn")
_LARVAL_SECONDS = 60  # an SPI that is still held after that belongs to no negotiation
_GENERATIONS = 2  # of an SA: the one in use, and the one that replaces it


def correlate(pair: Pair) -> list[Check]:
    """What holds and what doesn't, of every direction of every pair of networks."""
    for end in pair.ends:
        if not end.seen:
            return [Check(SPI, UNSURE, "{} couldn't be looked at, so nothing is proven".format(end.name))]
    found = [check for flow in pair.flows() for check in _flow(*flow)]
    found += [check for end in pair.ends for check in _leftovers(end)]
    found += [check for end in pair.ends for check in _probes(end)]
    return list(dict.fromkeys(found))


def _flow(sender: End, receiver: End, source: Any, destination: Any) -> Iterator[Check]:
    what = "{} -> {}, {} to {}".format(source, destination, sender.name, receiver.name)
    yield _selectors(sender, receiver, source, destination, what)
    common = common_spis(sender, receiver, source, destination)
    if not common:
        yield Check(SPI, FAILS, _no_common_spi(sender, receiver, source, destination, what))
        return
    outbound, inbound = max(common, key=lambda pair: -(pair[0]["age"] or 0))
    yield Check(SPI, HOLDS, "{}: SPI {} in both kernels".format(what, outbound["spi"]))
    yield _agreement(outbound, inbound, what)
    yield _lifetime(sender, outbound, what)
    yield from _movement(sender, receiver, source, destination, what)


def _no_common_spi(sender: End, receiver: End, source: Any, destination: Any, what: str) -> str:
    sent = _spis(sender.sas("out", source, destination))
    taken = _spis(receiver.sas("in", destination, source))
    return "{}: {} sends with {}, {} receives with {}".format(what, sender.name, sent, receiver.name, taken)


def _spis(sas: list[Sa]) -> str:
    usable = ["SPI " + sa["spi"] for sa in sas if sa["state"] in USABLE]
    return ", ".join(usable) or "no SA"


def _selectors(sender: End, receiver: End, source: Any, destination: Any, what: str) -> Check:
    lacking = lacking_policies(sender, receiver, source, destination)
    if lacking:
        missing = ", ".join("{} at {}".format(direction, end.name) for end, direction in lacking)
        return Check(SELECTORS, FAILS, "{}: no policy {}".format(what, missing))
    return Check(SELECTORS, HOLDS, "{}: the policies mirror each other".format(what))


def _agreement(outbound: Sa, inbound: Sa, what: str) -> Check:
    differing = [
        "{} {} and {}".format(name, outbound[name], inbound[name])
        for name in _SAME
        if outbound[name] != inbound[name] and not (name == "esn" and inbound[name] is None)
    ]
    if bool(outbound["encapsulation"]) != bool(inbound["encapsulation"]):
        differing.append("UDP encapsulation at one end only")
    if differing:
        return Check(AGREEMENT, FAILS, "{}: the ends differ: {}".format(what, "; ".join(differing)))
    shown = "{} {} {}".format(outbound["encryption"], outbound["encryption_bits"], outbound["integrity"]).strip()
    return Check(AGREEMENT, HOLDS, "{}: {} mode, {} at both ends".format(what, outbound["mode"], shown))


def _lifetime(end: End, sa: Sa, what: str) -> Check:
    soft, hard = sa["lifetime"]["soft_seconds"], sa["lifetime"]["hard_seconds"]
    text = "{}: soft {} s, hard {} s, age {} s".format(what, soft, hard, sa["age"])
    if not hard:
        return Check(LIFETIME, FAILS, text + ": it never expires, so its keys never change")
    sane = soft <= hard and (sa["age"] is None or sa["age"] <= hard)
    return Check(LIFETIME, HOLDS if sane else FAILS, text)


def _movement(sender: End, receiver: End, source: Any, destination: Any, what: str) -> Iterator[Check]:
    """Whether packets of the probes left one kernel by the SA and came into the other by it."""
    if not sender.before or not receiver.before or not (sender.probes or receiver.probes):
        return
    if not _probed(sender, source, destination) and not _probed(receiver, destination, source):
        yield Check(MOVES, UNSURE, "{}: no probe crossed it; neither end has an address to probe from".format(what))
        return
    left, came = sender.moved("out", source, destination), receiver.moved("in", destination, source)
    state = HOLDS if left > 0 and came > 0 else FAILS
    yield Check(MOVES, state, "{}: {} packets left in ESP, {} came".format(what, left, came))


def _probed(end: End, network: Any, far: Any) -> bool:
    return any((probe["network"], probe["far"]) == (str(network), str(far)) for probe in end.probes)


def _leftovers(end: End) -> Iterator[Check]:
    """SPIs that no negotiation holds any more, and more SAs of a direction than a rekey needs."""
    stale, many = [], []
    for network, far in end.expected.networks:
        for direction in ("in", "out"):
            sas = end.sas(direction, network, far)
            stale += [sa["spi"] for sa in sas if sa["state"] == "larval" and (sa["age"] or 0) > _LARVAL_SECONDS]
            usable = [sa for sa in sas if sa["state"] in USABLE]
            if len(usable) > _GENERATIONS:
                many.append("{} SAs {} for {} -> {}".format(len(usable), direction, network, far))
    for text in ["larval SA {}".format(spi) for spi in stale] + many:
        yield Check(LEFTOVER_SA, FAILS, "{}: {}".format(end.name, text))
    if not stale and not many:
        yield Check(LEFTOVER_SA, HOLDS, "{}: no larval or duplicate SAs".format(end.name))


def _probes(end: End) -> Iterator[Check]:
    for probe in end.probes:
        what = "{}: {} -> {}".format(end.name, probe["source"], probe["target"])
        if not probe["sent"]:
            yield Check(PROBE, UNSURE, "{}: ping couldn't be run".format(what))
            continue
        text = "{}: {} of {} pings answered".format(what, probe["received"], probe["sent"])
        yield Check(PROBE, HOLDS if probe["received"] else FAILS, text)
        if probe["big"] is not None:
            answered = "answered" if probe["big"] else "not answered"
            text = "{}: a ping of {} bytes {}".format(what, probe["path_mtu"], answered)
            yield Check(PROBE, HOLDS if probe["big"] else FAILS, text)
