# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a configuration: one value per finding, printed the way compilers do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .model import Position

ERROR = "error"
WARNING = "warning"
UNREADABLE = "unreadable"

# More than anyone reads: they keep a hostile file from taking time and memory.
MAX_ERRORS = 1000
MAX_WARNINGS = 10000


@dataclass(frozen=True, order=True)
class Problem:
    """One finding at a place. ``fatal``: the loader takes it, but a daemon then stops or crashes on it.

    Prints as ``FILE:LINE:COLUMN: message (hint)``; a warning says so before its message.
    """

    file: str
    line: int
    column: int
    severity: str
    message: str
    hint: str = ""
    fatal: bool = False

    def __str__(self) -> str:
        place = "{}:{}:{}".format(self.file, self.line, self.column) if self.line else self.file
        kind = "warning: " if self.severity == WARNING else ""
        hint = " ({})".format(self.hint) if self.hint else ""
        return "{}: {}{}{}".format(place, kind, self.message, hint)

    @property
    def is_error(self) -> bool:
        return self.severity != WARNING

    def judged(self) -> Problem:
        """As someone sees it who wants to run the daemons: what is fatal there is an error."""
        return replace(self, severity=ERROR) if self.fatal else self


class Problems:
    """Collects the findings of one run over a configuration in one dialect."""

    def __init__(self, dialect: str):
        self.dialect = dialect
        self.found: list[Problem] = []
        self._count = {ERROR: 0, WARNING: 0, UNREADABLE: 0}

    def error(self, position: Position, message: str, hint: str = "") -> None:
        self._add(ERROR, position, message, hint)

    def warning(self, position: Position, message: str, hint: str = "", fatal: bool = False) -> None:
        self._add(WARNING, position, message, hint, fatal)

    def deviation(self, position: Position, message: str, upstream: str, fatal: bool = False) -> None:
        """What upstream accepts and should not: an error of ours, a warning in its own dialect."""
        if self.dialect == "racoon2":
            self._add(WARNING, position, message, "upstream " + upstream, fatal)
        else:
            self._add(ERROR, position, message, "deviation: upstream " + upstream)

    def unreadable(self, position: Position, message: str) -> None:
        self._add(UNREADABLE, position, message, "")

    @property
    def errors(self) -> int:
        """How many findings are errors, or files that could not be read."""
        return self._count[ERROR] + self._count[UNREADABLE]

    @property
    def full(self) -> bool:
        """Whether reading on is of no use."""
        return self._count[ERROR] > MAX_ERRORS

    def _add(self, severity: str, position: Position, message: str, hint: str, fatal: bool = False) -> None:
        self._count[severity] += 1
        limit = MAX_WARNINGS if severity == WARNING else MAX_ERRORS
        if self._count[severity] <= limit:
            self.found.append(Problem(position.file, position.line, position.column, severity, message, hint, fatal))
        elif self._count[severity] == limit + 1:
            rest = "more than {} {}s: the rest is not shown".format(limit, severity)
            self.found.append(Problem(position.file, position.line, position.column, severity, rest))
