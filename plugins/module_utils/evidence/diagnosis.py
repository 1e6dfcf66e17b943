# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the evidence of two ends to ranked causes. A pure function: the same evidence, the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .causes import CAUSES, Cause, Sign
from .ends import Pair
from .symptom import WORKS, Symptom, symptom


@dataclass(frozen=True)
class Finding:
    """A cause with what was seen of it. It explains the symptom, or waits to do harm."""

    cause: Cause
    signs: tuple[Sign, ...]
    explains: bool

    def as_data(self) -> dict[str, Any]:
        return {
            "cause": self.cause.name,
            "title": self.cause.title,
            "explains_symptom": self.explains,
            "hosts": list(dict.fromkeys(host for host, _text in self.signs)),
            "evidence": ["{}: {}".format(host, text) for host, text in self.signs],
            "remedy": self.cause.remedy,
        }


@dataclass(frozen=True)
class Diagnosis:
    """The symptom, and its causes, the likeliest first. Nothing found with nothing wrong is health."""

    symptom: Symptom
    findings: tuple[Finding, ...]
    unseen: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        return self.symptom.stage == WORKS and not self.findings

    def as_data(self) -> dict[str, Any]:
        return {
            "ends": [self.symptom.sender.name, self.symptom.receiver.name],
            "healthy": self.healthy,
            "symptom": str(self.symptom),
            "causes": [finding.as_data() for finding in self.findings],
            "unseen": list(self.unseen),
        }


def diagnose(pair: Pair) -> Diagnosis:
    """Name the causes: those that explain the symptom first, in each group in the table's order, inferred ones last."""
    shown = symptom(pair)
    signs = ((cause, tuple(dict.fromkeys(cause.find(pair, shown)))) for cause in CAUSES)
    found = [Finding(cause, seen, shown.stage in cause.explains) for cause, seen in signs if seen]
    ranked = sorted(found, key=lambda finding: (not finding.explains, finding.cause.last))
    return Diagnosis(shown, tuple(ranked), _unseen(pair))


def _unseen(pair: Pair) -> tuple[str, ...]:
    unseen = []
    for end in pair.ends:
        if not end.seen:
            unseen.append("{}: not looked at".format(end.name))
        unseen += ["{}: {}".format(end.name, text) for text in end.evidence.get("unseen", ())]
        unseen += ["{}: {}".format(end.name, one["text"]) for one in end.checks if one["state"] == "unsure"]
    return tuple(dict.fromkeys(unseen))


def report(diagnoses: Sequence[Diagnosis]) -> str:
    """For people: each tunnel's symptom, then its causes with evidence and remedy."""
    lines: list[str] = []
    for one in diagnoses:
        lines.append("OK  {}".format(one.symptom) if one.healthy else "BAD {}".format(one.symptom))
        for rank, finding in enumerate(one.findings, 1):
            lines.append("  {}. {} ({})".format(rank, finding.cause.title, finding.cause.name))
            lines += ["     {}: {}".format(host, text) for host, text in finding.signs]
            lines.append("     remedy: {}".format(finding.cause.remedy))
        if not one.healthy and not one.findings:
            lines.append("  no cause was found")
        lines += ["  not seen: {}".format(text) for text in one.unseen]
    return "\n".join(lines)
