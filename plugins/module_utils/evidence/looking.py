# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a host without stumbling: what can't be looked at is noted, and the rest is looked at all the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..commands import MISSING, Run

LINUX, FREEBSD = "Linux", "FreeBSD"  # as uname(1) has them


@dataclass
class Look:
    """Commands and files of a host. ``unseen`` collects what couldn't be looked at, and why."""

    run: Run
    unseen: list[str] = field(default_factory=list)

    @cached_property
    def system(self) -> str:
        """The system's name, from the host's own uname."""
        code, output, _errors = self.run(["uname", "-s"])
        return output.strip() if code == 0 else LINUX

    def command(self, *words: str) -> str | None:
        """A command's output; None where it failed, which is noted."""
        output, reason = self._output(words)
        if reason:
            self.note(" ".join(words), reason)
        return output

    def data(self, *words: str) -> list[dict[str, Any]] | None:
        """A command's output, where it's a list in JSON; None where it failed, which is noted."""
        found, reason = self.answer(*words)
        if reason:
            self.note(" ".join(words), reason)
        return found

    def answer(self, *words: str) -> tuple[list[dict[str, Any]] | None, str]:
        """The same for a question whose refusal is an answer: the list, or None and the reason."""
        output, reason = self._output(words)
        if output is None:
            return None, reason
        try:
            return [entry for entry in json.loads(output or "[]") if entry], ""
        except ValueError as error:
            return None, "its output is no JSON: {}".format(error)

    def _output(self, words: Sequence[str]) -> tuple[str | None, str]:
        code, output, errors = self.run(list(words))
        if code == 0:
            return output, ""
        if code == MISSING:
            return None, "not installed"
        return None, (errors.strip().splitlines() or ["code {}".format(code)])[-1]

    def file(self, path: str) -> str | None:
        """A file's text, or None. That isn't noted where there's none: many files of /proc are there or not."""
        try:
            return Path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            self.note(path, str(error))
            return None

    def setting(self, name: str) -> str | None:
        """A kernel setting; in ``name`` slashes part its words, since a device's name may hold a dot."""
        text = self.file("/proc/sys/" + name)
        return None if text is None else text.strip()

    def note(self, what: str, reason: str) -> None:
        self.unseen.append("{}: {}".format(what, reason))
