# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter's rules for the tunnels' traffic: whether they're loaded, and the unit that loads them at boot.

Whether they are is asked of the packet filter, so that rules that somebody flushed are loaded again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..commands import Run
from .files import GATEWAY, GATEWAY_UNIT
from .manifest import DeployError
from .service import DAEMON_RELOAD, DISABLE, ENABLE, RELOAD, START, STOP, act, service_state

# By packet filter, the program that is looked for; the packages have the filters' own names.
PROGRAMS = {"nftables": "nft", "iptables": "iptables"}
PREFIX = "gateway "  # of these actions, beside the daemon's

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # the script's


def _find(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


@dataclass(frozen=True)
class GatewayRules:
    """``script`` loads and unloads them, ``service`` is its unit, ``filters`` what they're written for."""

    run: Run
    service: str
    script: Path = Path()
    filters: Sequence[str] = ()
    which: Callable[[str], str | None] = _find

    def lacks_packages(self) -> list[str]:
        """The preferred packet filter, where there are rules to load and none that could."""
        there = any(self.which(PROGRAMS[name]) for name in self.filters)
        return [] if there else list(self.filters[:1])

    def check(self, candidate: Path) -> str:
        """What the script has to say, if anything. Raises DeployError where the packet filter refuses its rules."""
        code, output, error = self.run(["/bin/sh", str(candidate), "check"])
        if code != 0:
            raise DeployError(error.strip() or output.strip() or "code {}".format(code))
        return error.strip()

    def actions(self, roles: frozenset[str]) -> tuple[str, ...]:
        """What systemd is to be told, given the roles of files that changed."""
        state = service_state(self.run, self.service)
        actions = []
        if not state.enabled:
            actions.append(ENABLE)  # after which systemd reads all units anew by itself
        elif GATEWAY_UNIT in roles or state.needs_daemon_reload:
            actions.append(DAEMON_RELOAD)
        if not state.active:
            actions.append(START)
        elif GATEWAY in roles or not self._loaded():
            actions.append(RELOAD)
        return tuple(PREFIX + action for action in actions)

    def ending(self) -> tuple[str, ...]:
        """What systemd is to be told before the files go."""
        state = service_state(self.run, self.service)
        actions = [*([STOP] if state.active else []), *([DISABLE] if state.enabled else [])]
        return tuple(PREFIX + action for action in actions)

    def act(self, action: str) -> None:
        """Raises DeployError with the script's last words."""
        act(self.run, self.service, action.removeprefix(PREFIX))

    def _loaded(self) -> bool:
        code, _output, _error = self.run(["/bin/sh", str(self.script), "loaded"])
        return code == 0
