# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the services of a deployment are ended, before its files go: by systemd, or by FreeBSD's rc(8)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..commands import Run
from .gateway_rules import PREFIX, GatewayRules
from .manifest import DeployError
from .service import DAEMON_RELOAD, DISABLE, STOP, ServiceState, act, service_state


class Ending(ABC):
    """The services of a deployment. Methods raise DeployError."""

    @abstractmethod
    def actions(self, files: Sequence[Path]) -> tuple[str, ...]:
        """What there is to tell them, in order. ``files`` are those that will go."""

    @abstractmethod
    def end(self, actions: Sequence[str]) -> None:
        """Stop them while their files are there, so that the daemon tells its peers."""

    @abstractmethod
    def forget(self, actions: Sequence[str]) -> None:
        """What's left to tell once the files are gone."""


@dataclass(frozen=True)
class SystemdEnding(Ending):
    """Our daemon's unit, and the gateway's rules."""

    run: Run
    service: str
    gateway: GatewayRules

    def actions(self, files: Sequence[Path]) -> tuple[str, ...]:
        state = service_state(self.run, self.service)
        unit = any(path.name in (self.service, self.gateway.service) for path in files)
        ending = (*_ending(state), *self.gateway.ending())
        return (*ending, *([DAEMON_RELOAD] if unit or state.needs_daemon_reload else []))

    def end(self, actions: Sequence[str]) -> None:
        for action in actions:
            if action.startswith(PREFIX):
                self.gateway.act(action)
            elif action != DAEMON_RELOAD:
                act(self.run, self.service, action)

    def forget(self, actions: Sequence[str]) -> None:
        if DAEMON_RELOAD in actions:
            act(self.run, self.service, DAEMON_RELOAD)


@dataclass(frozen=True)
class RcEnding(Ending):
    """Services of rc.d, in the order of their start. Their variables leave rc.conf; forwarding stays as it is."""

    run: Run
    services: Sequence[str]

    def actions(self, files: Sequence[Path]) -> tuple[str, ...]:
        ended = list(reversed(self.services))
        running = [name for name in ended if self.run(["service", name, "onestatus"])[0] == 0]
        enabled = [name for name in ended if self.run(["sysrc", "-n", name + "_enable"])[0] == 0]
        return (*("{} {}".format(STOP, name) for name in running), *("{} {}".format(DISABLE, name) for name in enabled))

    def end(self, actions: Sequence[str]) -> None:
        for action in actions:
            verb, _space, name = action.partition(" ")
            self._tell(["service", name, "onestop"] if verb == STOP else ["sysrc", "-x", name + "_enable"])

    def forget(self, actions: Sequence[str]) -> None:
        """rc(8) reads its folders when it's asked."""

    def _tell(self, command: list[str]) -> None:
        code, output, error = self.run(command)
        if code != 0:
            raise DeployError("{}: {}".format(" ".join(command), error.strip() or output.strip()))


def _ending(state: ServiceState) -> list[str]:
    stop = [STOP] if state.active or state.starting else []
    return [*stop, *([DISABLE] if state.enabled else [])]
