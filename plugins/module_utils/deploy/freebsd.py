# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FreeBSD, as a deployment sees it: rc.conf, rc.d, and either our daemon or upstream's pair, spmd and iked."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..commands import Run
from ..ike.cli.ctl import ask
from .files import APPLICATION, CONFIGURATION, PSK, UNIT
from .manifest import DeployError
from .obstacles import Demands, obstacles, racoon2_obstacles
from .service import HANDOVER, RELOAD, RESTART, START, ServiceState, hand_over, reload_daemon
from .static_routes import StaticRoute, static_routes
from .system import System

_START_SECONDS = 60.0
_POLL_SECONDS = 0.2
_TRUE = ("YES", "TRUE", "ON", "1")  # as rc.subr's checkyesno takes them


@dataclass(frozen=True)
class Freebsd(System):
    """What both implementations share.

    ``services`` are in the order of their start; while one of ``rivals`` runs, they can't have the ports. Static routes
    to far networks stand in the way, unless ``remove_routes`` is the operator's word to take them away.
    """

    run: Run
    demands: Demands
    remove_routes: bool = False
    services: Sequence[str] = ()
    rivals: Sequence[str] = ()

    def obstacles(self) -> list[str]:
        running = [service for service in self.rivals if self._runs(service)]
        text = "the service {0} runs, of the other implementation: `service {0} stop`, and `sysrc {0}_enable=NO`"
        routes = [] if self.remove_routes else static_routes(self.run, self.demands.far_networks)
        return [
            *(text.format(service) for service in running),
            *obstacles(self.run, self.demands),
            *("{}: the policies lead there, no route is needed; {}".format(one.text, one.advice) for one in routes),
        ]

    def unwanted_routes(self) -> list[StaticRoute]:
        return static_routes(self.run, self.demands.far_networks) if self.remove_routes else []

    # Settings: a name with a dot is the kernel's (sysctl), one without is a variable of rc.conf

    def wrong_settings(self, wanted: Mapping[str, str]) -> dict[str, str]:
        current = {name: self._read(name) for name in wanted}
        return {name: value for name, value in current.items() if not _same(value, wanted[name])}

    def apply_settings(self, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            self._command("sysctl" if "." in name else "sysrc", "{}={}".format(name, value))

    def _read(self, name: str) -> str:
        code, output, _error = self.run(["sysctl" if "." in name else "sysrc", "-n", name])
        if code != 0 and "." in name:
            raise DeployError("this kernel has no setting {}".format(name))
        return output.strip() if code == 0 else ""

    # Services: rc.conf enables them, so that only starts and restarts are left to do

    def state(self) -> ServiceState:
        running = [self._runs(service) for service in self.services]
        return ServiceState(
            active=all(running), starting=any(running) and not all(running), enabled=True, needs_daemon_reload=False
        )

    def actions(self, state: ServiceState, roles: frozenset[str], pending: Sequence[str]) -> tuple[str, ...]:
        if state.starting:
            return (RESTART,)  # one of two is down
        if not state.active:
            return (START,)
        wanted = {self.effect_of(roles), *pending}
        return tuple(action for action in (RESTART, HANDOVER, RELOAD) if action in wanted)[:1]

    def act(self, action: str) -> dict[str, list[str]]:
        if action == RESTART:
            for service in reversed(self.services):
                if self._runs(service):
                    self._command("service", service, "onestop")
        for service in self.services:
            self._command("service", service, "start")
        return {}

    def _runs(self, service: str) -> bool:
        code, _output, _error = self.run(["service", service, "onestatus"])
        return code == 0

    def _command(self, *command: str) -> None:
        code, output, error = self.run(list(command))
        if code != 0:
            raise DeployError("{}: {}".format(" ".join(command), error.strip() or output.strip()))


@dataclass(frozen=True)
class Bundled(Freebsd):
    """Our daemon on PF_KEY. ``control`` is its socket, ``python`` what it runs on."""

    control: Path = Path()
    python: str = ""
    services: Sequence[str] = ("tanuki_iked",)
    rivals: Sequence[str] = ("iked", "spmd")

    def lacks_program(self) -> bool:
        code, _output, _error = self.run([self.python, "-c", "import cryptography"])
        return code != 0

    def effect_of(self, roles: frozenset[str]) -> str:
        """As on Linux: a new program takes over from the old one, only a new script costs a restart."""
        if UNIT in roles:
            return RESTART
        if APPLICATION in roles:
            return HANDOVER
        return RELOAD if roles & {CONFIGURATION, PSK} else ""

    def act(self, action: str) -> dict[str, list[str]]:
        if action == RELOAD:
            return reload_daemon(self.control)
        if action == HANDOVER:
            hand_over(self.control)
            return {}
        super().act(action)
        self._wait()
        return {}

    def _wait(self) -> None:
        """daemon(8) returns at once: our daemon is ready when it answers."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                ask(str(self.control), {"command": "status"}, _START_SECONDS)
                return
            except (OSError, ValueError) as error:
                if time.monotonic() > deadline:
                    raise DeployError("the daemon doesn't answer; see /var/log/daemon.log: {}".format(error)) from error
            time.sleep(_POLL_SECONDS)


@dataclass(frozen=True)
class Racoon2(Freebsd):
    """Upstream's daemons. They know no reload, and read a key's file at each authentication."""

    services: Sequence[str] = ("spmd", "iked")
    rivals: Sequence[str] = ("tanuki_iked",)
    programs: Sequence[Path] = (Path("/usr/local/sbin/spmd"), Path("/usr/local/sbin/iked"))
    validates = False

    def obstacles(self) -> list[str]:
        return super().obstacles() + racoon2_obstacles(self.run, self.programs[-1], self.demands)

    def lacks_program(self) -> bool:
        return not all(os.access(program, os.X_OK) for program in self.programs)

    def effect_of(self, roles: frozenset[str]) -> str:
        return RESTART if CONFIGURATION in roles else ""


def _same(current: str, wanted: str) -> bool:
    return current == wanted or (wanted == "YES" and current.upper() in _TRUE)
