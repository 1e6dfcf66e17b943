# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's document as text for a terminal, what needs attention first. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .document import STATES


def fleet_text(document: Mapping[str, Any]) -> str:
    """A line of sums, a line for each site that doesn't answer, a line for each tunnel and its reasons."""
    lines = [summary_line(document["summary"]), ""]
    silent = [site for site in document["sites"] if site["managed"] and not site["answers"]]
    lines += ["{}: no answer: {}".format(site["name"], site["reason"]) for site in silent]
    lines += [""] if silent else []
    names = [" -- ".join(tunnel["sites"]) for tunnel in document["tunnels"]]
    width = max(map(len, names), default=0)
    for tunnel in sorted(document["tunnels"], key=lambda one: STATES.index(one["state"])):
        name = " -- ".join(tunnel["sites"])
        lines.append("{:<10}  {:<{}}  {}".format(tunnel["state"], name, width, _remark(tunnel)).rstrip())
    return "\n".join(lines) + "\n"


def summary_line(summary: Mapping[str, int]) -> str:
    """For example ``3 of 3 sites answer; tunnels: 1 down, 1 up``."""
    states = ", ".join("{} {}".format(summary[state], state) for state in STATES if summary[state])
    return "{answering} of {sites} sites answer; tunnels: {states}".format(**summary, states=states or "none")


def reasons(tunnel: Mapping[str, Any]) -> list[str]:
    """Why a tunnel isn't up, in the words of the ends that say so, each reason once."""
    found = [
        "{}: {}".format(end["site"], pair["reason"])
        for end in tunnel["ends"]
        for pair in end["networks"]
        if end["answers"] and pair["reason"]
    ]
    return list(dict.fromkeys(found))


def _remark(tunnel: Mapping[str, Any]) -> str:
    return "; ".join(reasons(tunnel)) or " ".join(algorithms(tunnel))


def algorithms(tunnel: Mapping[str, Any]) -> list[str]:
    """What protects the traffic now, by the first end that knows."""
    children = [pair["child"] for end in tunnel["ends"] for pair in end["networks"] if pair["child"]]
    return children[0]["algorithms"] if children else []
