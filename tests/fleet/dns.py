# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real name server on the internet: dnsmasq, whose names change while it runs."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.gateway import Gateway
from tests.fleet.network import INTERNET, ROUTER

ANSWER_LIMIT = 30.0  # seconds
_INSIDE = ("nsenter", "--net=/run/netns/" + INTERNET)
_OPTIONS = (
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--no-resolv",
    "--no-hosts",
    "--local=/example/",
    "--bind-interfaces",
    "--listen-address=" + ROUTER,
    "--user=root",
    "--pid-file=",
    "--log-facility=-",
)


@dataclass
class NameServer:
    """It serves what its file says."""

    directory: Path
    _server: subprocess.Popen | None = None

    def start(self) -> None:
        self._names.touch()
        with (self.directory / "dnsmasq.log").open("wb") as log:
            self._server = subprocess.Popen(
                [*_INSIDE, "dnsmasq", *_OPTIONS, "--addn-hosts={}".format(self._names)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def say(self, name: str, address: str) -> None:
        """Let the name have this address, and no other. RuntimeError where the server doesn't say so in time."""
        self._names.write_text("{} {}\n".format(address, name))
        deadline = time.monotonic() + ANSWER_LIMIT
        while address not in self._ask(name):
            if time.monotonic() > deadline:
                raise RuntimeError("dnsmasq: " + (self.directory / "dnsmasq.log").read_text())
            self._server.send_signal(signal.SIGHUP)
            time.sleep(0.5)

    def serve(self, gateway: Gateway) -> None:
        """Let this gateway ask here, and nowhere else."""
        file = gateway.root / "etc/resolv.conf"
        file.unlink(missing_ok=True)
        file.write_text("nameserver {}\n".format(ROUTER))

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait()

    @property
    def _names(self) -> Path:
        return self.directory / "names"

    @staticmethod
    def _ask(name: str) -> str:
        command = [*_INSIDE, "busybox", "nslookup", "-type=a", name, ROUTER]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout
