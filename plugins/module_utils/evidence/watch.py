# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching tunnels until they're up: look, ask the daemon for those that are down, look again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ike.kernel.base import Kernel
from .daemon import Daemon, DaemonError, reasons
from .verdict import Expectation, Verdict, judge

_POLL_SECONDS = 0.5
_PATIENCE = 1 / 3  # of the timeout: how long the end that doesn't initiate waits for the other


@dataclass
class Watch:
    """Some tunnels of this host, and how long to wait for them in seconds. Raises KernelError where it can't look."""

    kernel: Kernel
    daemon: Daemon
    expectations: Sequence[Expectation]
    initiators: frozenset[str]
    bring_up: bool
    timeout: float
    failures: dict[str, str] = field(default_factory=dict)  # why a tunnel couldn't be brought up

    def verdicts(self) -> list[dict[str, Any]]:
        """Look until every tunnel is up or the time is over; the last verdicts as data."""
        start = time.monotonic()
        asked: set[str] = set()
        verdicts = self._look()
        while not all(verdict.up for verdict in verdicts) and time.monotonic() - start < self.timeout:
            down = {verdict.name for verdict in verdicts if not verdict.up}
            self._ask(down - asked, start, asked)
            time.sleep(_POLL_SECONDS)
            verdicts = self._look()
        return self._explained(verdicts)

    def _look(self) -> list[Verdict]:
        sas, policies = self.kernel.list_sas(), self.kernel.list_policies()
        return [judge(expected, sas, policies, self.kernel.forwards) for expected in self.expectations]

    def _ask(self, names: Iterable[str], start: float, asked: set[str]) -> None:
        """Ask for tunnels, each once and all at the same time; the daemon answers each when it's up or has failed."""
        elapsed = time.monotonic() - start
        for name in sorted(set(names) - self._answering):
            if self.bring_up and (name in self.initiators or elapsed >= self.timeout * _PATIENCE):
                asked.add(name)
                threading.Thread(target=self._bring_up, args=(name, self.timeout - elapsed), daemon=True).start()

    @property
    def _answering(self) -> set[str]:
        """The tunnels that only the peer can begin."""
        return {expected.name for expected in self.expectations if expected.peer.is_unspecified}

    def _bring_up(self, name: str, seconds: float) -> None:
        try:
            self.daemon.bring_up(name, seconds)
        except DaemonError as error:
            self.failures[name] = str(error).removeprefix(name + ": ")

    def _explained(self, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
        """The verdicts as data, with the daemon's reasons where something is missing."""
        status = {} if all(verdict.up for verdict in verdicts) else self._status()
        return [
            {
                "name": verdict.name,
                "up": verdict.up,
                "holds": list(verdict.holds),
                "missing": list(verdict.missing),
                "reasons": [] if verdict.up else self._reasons(verdict.name, status),
            }
            for verdict in verdicts
        ]

    def _status(self) -> dict[str, Any]:
        try:
            return self.daemon.status()
        except DaemonError as error:
            return {"unanswered": str(error)}

    def _reasons(self, name: str, status: dict[str, Any]) -> list[str]:
        said = [status["unanswered"]] if "unanswered" in status else reasons(status, name)
        failure = self.failures.get(name)
        return list(dict.fromkeys(said + ([failure] if failure else [])))


def report(verdicts: Sequence[dict[str, Any]]) -> str:
    """What is wrong, for people: one paragraph for each tunnel that isn't up."""
    down = [verdict for verdict in verdicts if not verdict["up"]]
    lines = ["{} of {} tunnels not up".format(len(down), len(verdicts))]
    for verdict in down:
        lines.append("{}:".format(verdict["name"]))
        lines += ["  missing: {}".format(text) for text in verdict["missing"]]
        lines += ["  found: {}".format(text) for text in verdict["holds"]]
        lines += ["  the daemon says: {}".format(text) for text in verdict["reasons"]]
    return "\n".join(lines)
