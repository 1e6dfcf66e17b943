# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured: the rows of the table and of build/fleet.json, in the form of build/bench.json's."""

from __future__ import annotations

import json
from pathlib import Path

_HEADER = {"name": "journey", "value": "value", "unit": "", "limit": "aim"}
_LINE = "{name:<66} {value:>9} {unit:<6} {limit:>7}  {verdict}"

rows: list[dict[str, object]] = []


def add(name: str, value: float, unit: str, limit: float | None = None) -> None:
    """A figure, and what it may be at most. What is a matter of correctness is asserted by its test."""
    row: dict[str, object] = {"name": name, "value": round(value, 2), "unit": unit, "holds": True}
    if limit is not None:
        row.update(limit=limit, holds=value <= limit)
    rows.append(row)
    print("   {name}: {value} {unit}".format(**row), flush=True)


def text() -> str:
    """The table."""
    lines = [_LINE.format(verdict="", **_HEADER)]
    for row in rows:
        shown = {"limit": "", **row}
        lines.append(_LINE.format(verdict="" if row["holds"] else "MISSED", **shown))
    return "\n".join(lines)


def save(path: Path) -> None:
    path.write_text(json.dumps(rows, indent=2) + "\n")
