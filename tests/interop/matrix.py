# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix: which cell came how far, one table for each peer."""

from __future__ import annotations

STEPS = ("up", "ping", "we rekey", "peer rekeys", "deleted")
BEGINNINGS = ("we begin", "they begin")

_cells: dict[str, dict[tuple[str, str], dict[str, list[str]]]] = {}


def cell(peer: str, suite, beginning: str) -> list[str]:
    """The steps that a cell has done; whoever runs it appends to them."""
    row = _cells.setdefault(peer, {}).setdefault(("IKEv{}".format(suite.version), suite.name), {})
    return row.setdefault(beginning, [])


def _verdict(done: list[str] | None) -> str:
    """``yes``, or the step that a cell failed at; ``-`` where it didn't run."""
    if done is None:
        return "-"
    missing = [step for step in STEPS if step not in done]
    return "**no: {}**".format(missing[0]) if missing else "yes"


def text() -> str:
    """The tables in Markdown."""
    lines = []
    for peer, rows in _cells.items():
        table = [[peer, "suite", *BEGINNINGS], ["---"] * (2 + len(BEGINNINGS))]
        table += [[*key, *(_verdict(row.get(beginning)) for beginning in BEGINNINGS)] for key, row in rows.items()]
        lines += ["| {} |".format(" | ".join(row)) for row in table]
        lines.append("")
    return "\n".join(lines)
