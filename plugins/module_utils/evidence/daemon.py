# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled daemon, asked on its control socket: what it knows of its tunnels, and to bring one up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ike.about import CONTROL_SOCKET
from ..ike.cli.ctl import ask

STATUS_SCHEMA = 1
_ANSWER_SECONDS = 10.0

CONTROL_SPEC = {"control": {"type": "path"}}


class DaemonError(Exception):
    """The daemon doesn't answer, or not as expected; the text says what it said."""


@dataclass(frozen=True)
class Daemon:
    """A running daemon, by its control socket; None stands for where this system's daemon listens."""

    control: str | None = None

    def status(self) -> dict[str, Any]:
        """The status document. Raises DaemonError."""
        status = self._ask({"command": "status"}, _ANSWER_SECONDS)["status"]
        if status.get("schema") != STATUS_SCHEMA:
            raise DaemonError("its status has schema {}, which this collection doesn't know".format(status["schema"]))
        return status

    def bring_up(self, tunnel: str, seconds: float) -> None:
        """Ask for a tunnel and wait until its SA is established. Raises DaemonError with the reason if it fails."""
        self._ask({"command": "up", "name": tunnel, "wait": seconds}, seconds + _ANSWER_SECONDS)

    def rekey(self, tunnel: str, seconds: float) -> None:
        """Have a tunnel's SAs replaced, and wait until they are. Raises DaemonError with the reason if it fails."""
        self._ask({"command": "rekey", "name": tunnel, "wait": seconds}, seconds + _ANSWER_SECONDS)

    def reauthenticate(self, tunnel: str, seconds: float) -> None:
        """Have a fresh IKE SA authenticated, and wait until it carries the tunnel. Raises DaemonError if it fails."""
        known = self._established(tunnel)
        self._ask({"command": "reauth", "name": tunnel, "wait": seconds}, seconds + _ANSWER_SECONDS)
        if not self._established(tunnel) - known:
            raise DaemonError("the daemon was busy with this peer, and authenticated nothing anew")

    def _established(self, tunnel: str) -> set[str]:
        """The IKE SAs with a tunnel's peer."""
        return {sa["id"] for sa in self.status()["ike_sas"] if sa["remote"] == tunnel and sa["state"] == "established"}

    def _ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        try:
            answer = ask(self.control or CONTROL_SOCKET, request, timeout)
        except (OSError, ValueError) as error:
            raise DaemonError("no answer on {}: {}".format(self.control or CONTROL_SOCKET, error)) from error
        if not answer.get("ok"):
            raise DaemonError(answer.get("error", "no reason given"))
        return answer


def reasons(status: dict[str, Any], tunnel: str) -> list[str]:
    """Why the selectors of a tunnel aren't up, in the daemon's words."""
    found = [entry for entry in status.get("tunnels", []) if entry.get("policy") == tunnel]
    return list(dict.fromkeys(entry["reason"] for entry in found if entry.get("reason")))
