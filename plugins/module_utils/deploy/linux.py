# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linux with systemd, as a deployment sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..commands import Run
from .gateway_rules import PREFIX, GatewayRules
from .kernel_settings import PROC_SYS, apply_settings, wrong_settings
from .service import (
    HANDOVER,
    RELOAD,
    ServiceState,
    act,
    effect_of,
    hand_over,
    reload_daemon,
    service_actions,
    service_state,
)
from .system import System


@dataclass(frozen=True)
class Linux(System):
    """``service`` is the systemd unit, ``control`` its daemon's socket, ``python`` what it runs on.

    ``gateway`` is what the packet filter does for the tunnels' traffic; it comes before the daemon.
    """

    run: Run
    service: str
    control: Path
    python: str
    gateway: GatewayRules
    proc_sys: Path = PROC_SYS

    def wrong_settings(self, wanted: Mapping[str, str]) -> dict[str, str]:
        return wrong_settings(wanted, self.proc_sys)

    def apply_settings(self, settings: Mapping[str, str]) -> None:
        apply_settings(settings, self.proc_sys)

    def state(self) -> ServiceState:
        return service_state(self.run, self.service)

    def lacks_program(self) -> bool:
        code, _output, _error = self.run([self.python, "-c", "import cryptography"])
        return code != 0

    def lacks_packages(self) -> list[str]:
        return self.gateway.lacks_packages()

    def check_gateway(self, candidate: Path) -> str:
        return self.gateway.check(candidate)

    def effect_of(self, roles: frozenset[str]) -> str:
        return effect_of(roles)

    def actions(self, state: ServiceState, roles: frozenset[str], pending: Sequence[str]) -> tuple[str, ...]:
        return (*self.gateway.actions(roles), *service_actions(state, roles, pending))

    def act(self, action: str) -> dict[str, list[str]]:
        if action.startswith(PREFIX):
            self.gateway.act(action)
        elif action == RELOAD:
            return reload_daemon(self.control)
        elif action == HANDOVER:
            hand_over(self.control)
        else:
            act(self.run, self.service, action)
        return {}
