# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a tunnel gets: the last thing that works decides which causes can explain what doesn't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .ends import End, Pair, common_spis

UNSEEN = "an end couldn't be looked at"
NO_IKE = "no IKE SA"
NO_CHILD = "an IKE SA, but no SA for the traffic"
ONE_SIDED = "SAs that only one kernel has"
NOTHING_LEAVES = "SAs are up, but nothing leaves by them"
LOST = "leaves in ESP, but doesn't arrive"
NO_ANSWER = "arrives, but nothing comes back"
BIG_STALL = "small packets pass, big ones don't"
WORKS = "works"


@dataclass(frozen=True)
class Symptom:
    """The stage, and where it shows: from ``sender`` to ``receiver``, of what traffic."""

    stage: str
    sender: End
    receiver: End
    source: Any = None
    destination: Any = None

    def __str__(self) -> str:
        if self.source is None:
            return "{} and {}: {}".format(self.sender.name, self.receiver.name, self.stage)
        text = "{} -> {} ({} to {}): {}"
        return text.format(self.source, self.destination, self.sender.name, self.receiver.name, self.stage)


def symptom(pair: Pair) -> Symptom:
    """The first stage at which some direction stops."""
    first, second = pair.ends
    for end in pair.ends:
        if not end.seen:
            return Symptom(UNSEEN, end, pair.peer_of(end))
    for flow in pair.flows():
        if not common_spis(*flow):
            return Symptom(_without_sa(pair, *flow), *flow)
    failing = [probed for probed in _probed(pair) if probed[0]["sent"] and not probed[0]["received"]]
    if failing:
        return _stopped(pair, *failing[0])
    stalled = [probed for probed in _probed(pair) if probed[0]["big"] is False]
    if stalled:
        return Symptom(BIG_STALL, *stalled[0][1:])
    return Symptom(WORKS, first, second)


def _without_sa(pair: Pair, sender: End, receiver: End, source: Any, destination: Any) -> str:
    if any(sa["state"] != "larval" for sa in sender.sas("out", source, destination)):
        return ONE_SIDED
    return _not_negotiated(pair)


def _not_negotiated(pair: Pair) -> str:
    return NO_CHILD if all(end.ike_established() for end in pair.ends) else NO_IKE


def _probed(pair: Pair) -> list[tuple[Any, End, End, Any, Any]]:
    """Each probe with the flow that it went along."""
    return [
        (probe, sender, receiver, source, destination)
        for sender, receiver, source, destination in pair.flows()
        for probe in sender.probes
        if probe["network"] == str(source) and probe["far"] == str(destination)
    ]


def _stopped(pair: Pair, probe: Any, sender: End, receiver: End, source: Any, destination: Any) -> Symptom:
    """Along the probe's way and back, the first step at which no packet was counted.

    Where there was no SA yet when the probe began, it's the negotiation that stopped it, even if the other end's has
    succeeded meanwhile.
    """
    if not sender.had_sa(probe, source, destination):
        return Symptom(_not_negotiated(pair), sender, receiver, source, destination)
    if not sender.moved("out", source, destination):
        return Symptom(NOTHING_LEAVES, sender, receiver, source, destination)
    if not receiver.moved("in", destination, source):
        return Symptom(LOST, sender, receiver, source, destination)
    if receiver.moved("out", destination, source) and not sender.moved("in", source, destination):
        return Symptom(LOST, receiver, sender, destination, source)
    return Symptom(NO_ANSWER, sender, receiver, source, destination)
