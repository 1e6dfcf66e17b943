# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix: which cell came how far, one table for each peer."""

from __future__ import annotations

from dataclasses import dataclass, field

BEGINNINGS = ("we begin", "they begin")

_cells: dict[str, dict[tuple[str, str], dict[str, Cell]]] = {}


@dataclass
class Cell:
    """The steps that a cell consists of, and those that it has done: whoever runs it appends to ``done``."""

    steps: tuple[str, ...]
    done: list[str] = field(default_factory=list)

    def verdict(self) -> str:
        """``yes``, or the step that it failed at."""
        missing = [step for step in self.steps if step not in self.done]
        return "**no: {}**".format(missing[0]) if missing else "yes"


def cell(peer: str, version: int, row: str, we_begin: bool, *steps: str) -> list[str]:
    """The steps that a cell has done, for whoever runs it to append to."""
    made = Cell(steps)
    _cells.setdefault(peer, {}).setdefault(("IKEv{}".format(version), row), {})[BEGINNINGS[not we_begin]] = made
    return made.done


def text() -> str:
    """The tables in Markdown."""
    lines = []
    for peer, rows in _cells.items():
        table = [[peer, "suite", *BEGINNINGS], ["---"] * (2 + len(BEGINNINGS))]
        for key, row in rows.items():
            table.append([*key, *(row[one].verdict() if one in row else "-" for one in BEGINNINGS)])
        lines += ["| {} |".format(" | ".join(row)) for row in table]
        lines.append("")
    return "\n".join(lines)
