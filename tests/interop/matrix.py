# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix: which cell came how far. A cell that stops before its end keeps what it has reached."""

from __future__ import annotations

STEPS = ("up", "ping", "we rekey", "peer rekeys", "deleted")

_cells: dict[tuple[str, ...], list[str]] = {}


def cell(peer: str, suite, initiator: str) -> list[str]:
    """The steps that a cell has done; whoever runs it appends to them."""
    return _cells.setdefault((peer, "IKEv{}".format(suite.version), suite.name, initiator), [])


def text() -> str:
    """The table in Markdown."""
    head = ["peer", "version", "suite", "initiator", *STEPS]
    rows = [[*key, *("yes" if step in done else "**no**" for step in STEPS)] for key, done in _cells.items()]
    return "\n".join("| {} |".format(" | ".join(row)) for row in [head, ["---"] * len(head), *rows])
