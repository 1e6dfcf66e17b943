# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Libreswan's pluto out of its tree, as a process: started in a network namespace, driven by addconn and whack."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.interop.network import START_SECONDS
from tests.interop.trees import Tree
from tests.namespaces import run

_WAIT = 20.0  # seconds that it may take to answer, or to end
_TOOLS = Path("/usr/libexec/ipsec")


@dataclass
class Pluto:
    """Its configuration, secrets, keys and log lie in ``directory``; ``enter`` begins a command in its namespace."""

    tree: Tree
    directory: Path
    enter: Sequence[str]
    process: subprocess.Popen | None = None

    @property
    def configuration(self) -> Path:
        return self.directory / "ipsec.conf"

    @property
    def secrets(self) -> Path:
        return self.directory / "ipsec.secrets"

    @property
    def log(self) -> Path:
        return self.directory / "pluto.log"

    def start(self) -> None:
        """Start it with the configuration that lies there. RuntimeError with its log where it doesn't come up."""
        self.secrets.touch(0o600)
        run(*self.tree.inside("certutil", "-N", "-d", "sql:{}".format(self.directory), "--empty-password"))
        self.process = subprocess.Popen(
            [*self.enter, *self.tree.inside(
                str(_TOOLS / "pluto"), "--nofork", "--config", str(self.configuration),
                "--secretsfile", str(self.secrets), "--nssdir", str(self.directory),
                "--rundir", str(self.directory), "--logfile", str(self.log),
            )],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while "listening for IKE messages" not in self.whack("--listen"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("pluto did not start: " + self.lines())
            time.sleep(0.2)

    def stop(self) -> None:
        self.whack("--shutdown")
        self.process.wait(_WAIT)

    def load(self, *connections: str) -> None:
        """Read the configuration again and take these of its connections; ``--autoall`` takes what says ``auto=``."""
        command = [str(_TOOLS / "addconn"), "--config", str(self.configuration), "--ctlsocket", self._socket]
        run(*self.enter, *self.tree.inside(*command, *connections))

    def whack(self, *arguments: str) -> str:
        """What pluto says to that, or that it doesn't answer."""
        return subprocess.run(
            self.tree.inside(str(_TOOLS / "whack"), "--ctlsocket", self._socket, *arguments),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_WAIT,
        ).stdout

    def lines(self, offset: int = 0) -> str:
        """Its log from this byte on."""
        if not self.log.exists():
            return ""
        with self.log.open(errors="replace") as log:
            log.seek(offset)
            return log.read()

    @property
    def _socket(self) -> str:
        return str(self.directory / "pluto.ctl")
