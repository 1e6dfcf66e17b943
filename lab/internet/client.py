"""Start, stop and command the internet process of one lab."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lab import processes, unix
from lab.internet.rules import Rule
from lab.machine import Machine

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 10  # seconds
ANSWER_LIMIT = 5  # seconds


class InternetError(Exception):
    """The internet process doesn't start, or refuses a request."""


@dataclass(frozen=True)
class Internet:
    """The internet of the lab whose state is in `directory`."""

    directory: Path

    @property
    def pid_path(self) -> Path:
        return self.directory / "internet.pid"

    @property
    def pid(self) -> int | None:
        return processes.running(self.pid_path)

    @property
    def capture_path(self) -> Path:
        """The pcap file of all that passed since the internet was started."""
        return self.directory / "wire.pcap"

    @property
    def control_path(self) -> Path:
        return self.directory / "internet.sock"

    @property
    def capture_size(self) -> int:
        """The capture's size in bytes now: where a reader of what comes next starts."""
        return self.capture_path.stat().st_size

    def start(self, machines: list[Machine]) -> bool:
        """Start the process; one of the same program with the same links is kept: then False."""
        command = self._command(machines)
        digest = _program_digest(command)
        digest_path = self.directory / "internet.sha256"
        if self.pid and digest_path.exists() and digest_path.read_text() == digest:
            return False
        self.stop()
        with (self.directory / "internet.log").open("wb") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_LIMIT
        while not (self.pid and self.control_path.exists()):
            if time.monotonic() > deadline:
                raise InternetError(f"the internet process doesn't start, see {self.directory / 'internet.log'}")
            time.sleep(0.05)
        digest_path.write_text(digest)
        return True

    def stop(self) -> bool:
        """End the process; False when it didn't run."""
        stopped = processes.end(self.pid_path)
        self.control_path.unlink(missing_ok=True)
        return stopped

    def status(self) -> dict:
        """{"links": {site: connected}, "counters": {…}, "rules": [{…, "hits": n}]}"""
        return self._request({"command": "status"})

    def add_rule(self, rule: Rule) -> None:
        self._request({"command": "add-rule", "rule": rule.to_json()})

    def remove_rule(self, name: str) -> None:
        self._request({"command": "remove-rule", "name": name})

    def _command(self, machines: list[Machine]) -> list[str]:
        command = [sys.executable, "-m", "lab.internet", "--pid-file", str(self.pid_path)]
        command += ["--capture", str(self.capture_path), "--control", str(self.control_path)]
        for machine in machines:
            interface = f"{machine.site.next_hop}/{machine.site.outside.network.prefixlen}"
            command += ["--link", f"{machine.site.name},{interface},{machine.outside_socket}"]
        return command

    def _request(self, request: dict) -> dict:
        with unix.connect(self.control_path, ANSWER_LIMIT) as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline())
        if "error" in answer:
            raise InternetError(answer["error"])
        return answer


def _program_digest(command: list[str]) -> str:
    """A hash over the command and this package's source: a running process with another one is out of date."""
    sources = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\0".join([*map(os.fsencode, command), *sources])).hexdigest()
