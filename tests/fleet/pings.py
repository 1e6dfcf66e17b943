# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pings from LAN to LAN that go on while something is changed: which got no answer, and when the first one got one."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fleet.network import Place

INTERVAL = "0.5"
SETTLE = 3.0  # seconds, with a busy processor
_REPLY = re.compile(r"^\[([0-9.]+)\] \d+ bytes from .*icmp_seq=(\d+)", re.MULTILINE)
_SENT = re.compile(r"^(\d+) packets transmitted", re.MULTILINE)


@dataclass(frozen=True)
class Stream:
    """What became of one site's pings."""

    sent: int
    lost: int
    seconds: float | None  # from the start to the first answer


@dataclass
class Pings:
    """From the client of each of ``sources`` to the address of another site's client."""

    directory: Path
    sources: Iterable[Place]
    target: str
    _running: dict[str, subprocess.Popen] = field(default_factory=dict)
    _begun: float = 0.0

    def __enter__(self) -> Pings:
        self._begun = time.time()
        for source in self.sources:
            ping = ["ping", "-n", "-D", "-i", INTERVAL, self.target]
            command = ["nsenter", "--net=/run/netns/{}-lan".format(source.name), *ping]
            with self._output(source.name).open("wb") as output:
                self._running[source.name] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
        return self

    def __exit__(self, *_error: object) -> None:
        for ping in self._running.values():
            ping.send_signal(signal.SIGINT)
        for ping in self._running.values():
            ping.wait()

    def wait_for_all(self, limit: float) -> None:
        """Return when each stream had an answer, or the time is over."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            if all(_REPLY.search(self._output(name).read_text()) for name in self._running):
                return
            time.sleep(0.5)

    def settle(self) -> None:
        """Give what is on its way time to arrive."""
        time.sleep(SETTLE)

    def streams(self) -> dict[str, Stream]:
        """What became of each, after their end."""
        return {name: self._stream(self._output(name).read_text()) for name in self._running}

    def _stream(self, text: str) -> Stream:
        replies = [(float(stamp), int(number)) for stamp, number in _REPLY.findall(text)]
        sent = int(_SENT.search(text)[1])
        answered = {number for _stamp, number in replies}
        if sent not in answered:
            sent -= 1  # the last one was still on its way
        first = min((stamp for stamp, _number in replies), default=None)
        return Stream(sent, sent - len(answered), None if first is None else first - self._begun)

    def _output(self, name: str) -> Path:
        return self.directory / "ping-{}".format(name)
