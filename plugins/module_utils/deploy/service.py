# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's service: what systemd says of it, and what has to be done to it after a change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..commands import Run
from ..ike.cli.ctl import ask
from ..ike.exchange.child import REKEYED, UP
from .files import APPLICATION, CONFIGURATION, PSK, UNIT
from .manifest import DeployError

DAEMON_RELOAD = "daemon-reload"
DISABLE = "disable"
DISTURBED = "disturbed"
ENABLE = "enable"
HANDOVER = "handover"
RELOAD = "reload"
RESTART = "restart"
START = "start"
STOP = "stop"

_RELOAD_SECONDS = 120.0  # a busy daemon still applies what it has been asked to apply: giving up early only hides that
_HANDOVER_SECONDS = 180.0
_POLL_SECONDS = 0.2
_JOURNAL_LINES = "15"


@dataclass(frozen=True)
class ServiceState:
    """A unit as systemd has it loaded."""

    active: bool
    starting: bool  # or waiting to be started again after a failure
    enabled: bool
    needs_daemon_reload: bool


def service_state(run: Run, service: str) -> ServiceState:
    """Ask systemd, once. Raises DeployError where it doesn't run or doesn't say: silence isn't "inactive"."""
    properties = "ActiveState,UnitFileState,NeedDaemonReload"
    code, output, error = run(["systemctl", "show", "--property", properties, service])
    values = dict(line.partition("=")[::2] for line in output.splitlines())
    if code != 0 or "ActiveState" not in values:  # others are left out where they're empty
        said = error.strip() or output.strip() or "it said nothing"
        raise DeployError("systemd can't be asked about {}: {}".format(service, said))
    return ServiceState(
        active=values["ActiveState"] in ("active", "reloading"),
        starting=values["ActiveState"] == "activating",
        enabled=values.get("UnitFileState") == "enabled",
        needs_daemon_reload=values.get("NeedDaemonReload") == "yes",
    )


def effect_of(roles: frozenset[str]) -> str:
    """What a running daemon needs after files of these roles changed: one of the actions, or "".

    A new program takes over from the old one: only a new unit costs a restart, which ends the tunnels.
    """
    if UNIT in roles:
        return RESTART
    if APPLICATION in roles:
        return HANDOVER
    return RELOAD if roles & {CONFIGURATION, PSK} else ""


def service_actions(state: ServiceState, roles: frozenset[str], pending: Sequence[str]) -> tuple[str, ...]:
    """The systemctl verbs to call, in order. ``pending`` is what an interrupted run left undone."""
    wanted = {effect_of(roles), *pending}
    actions = []
    if not state.enabled:
        actions.append(ENABLE)  # after which systemd reads all units anew by itself
    elif UNIT in roles or state.needs_daemon_reload:
        actions.append(DAEMON_RELOAD)
    if state.starting:
        actions.append(RESTART)  # what is starting may have read the old files
    elif not state.active:
        actions.append(START)
    elif RESTART in wanted:
        actions.append(RESTART)
    elif HANDOVER in wanted:
        actions.append(HANDOVER)
    elif RELOAD in wanted:
        actions.append(RELOAD)
    return tuple(actions)


def act(run: Run, service: str, action: str) -> None:
    """Call one verb of systemctl. A start returns once the daemon is ready. Raises DeployError with its last words."""
    command = ["systemctl", action] if action == DAEMON_RELOAD else ["systemctl", action, service]
    code, _output, error = run(command)
    if code != 0:
        raise DeployError("{}: {}\n{}".format(" ".join(command), error.strip(), _journal(run, service)))


def reload_daemon(control: Path) -> dict[str, list[str]]:
    """Let the daemon apply what differs in its configuration: the tunnels of each kind of change.

    ``disturbed`` are those that were to go on undisturbed and didn't. Asked on its control socket, because a signal
    gives no answer. Raises DeployError with the daemon's reason.
    """
    before = _inbound_spis(control, (UP,))
    changes = _answer(control, "reload")["changes"]
    after = _inbound_spis(control, (UP, REKEYED))
    kept = [*changes.get("kept", []), *changes.get("renewed", [])]
    return {**changes, DISTURBED: [name for name in kept if before.get(name, set()) - after.get(name, set())]}


def _inbound_spis(control: Path, states: Sequence[str]) -> dict[str, set[str]]:
    """The SPIs that each tunnel receives on. One that was up and is replaced in the ordinary way stays for seconds."""
    tunnels = _answer(control, "status")["status"]["tunnels"]
    return {
        tunnel["name"]: {child["spi_in"] for child in tunnel["child_sas"] if child["state"] in states}
        for tunnel in tunnels
    }


def _answer(control: Path, command: str) -> dict[str, Any]:
    try:
        answer = ask(str(control), {"command": command}, _RELOAD_SECONDS)
    except (OSError, ValueError) as error:
        raise DeployError("{}: no answer on {}: {}".format(command, control, error)) from error
    if not answer.get("ok"):
        raise DeployError("{}: {}".format(command, answer.get("error", "the daemon gave no reason")))
    return answer


def hand_over(control: Path, clock: Callable[[], float] = time.monotonic) -> None:
    """Let the daemon become the program that was put in its place, and wait until that one answers.

    SAs stay in the kernel meanwhile, so the tunnels do. Raises DeployError where nobody answers in time.
    """
    request, deadline = {"command": "restart"}, clock() + _HANDOVER_SECONDS
    while True:
        try:
            answer = ask(str(control), request, _RELOAD_SECONDS)
            if not answer.get("ok"):
                raise DeployError("restart: {}".format(answer.get("error", "the daemon gave no reason")))
            if request["command"] == "status":
                return
            request = {"command": "status"}
        except (OSError, ValueError) as error:
            if clock() > deadline:
                raise DeployError("restart: no answer on {}: {}".format(control, error)) from error
        time.sleep(_POLL_SECONDS)


def _journal(run: Run, service: str) -> str:
    command = ["journalctl", "--no-pager", "--output=cat", "--lines", _JOURNAL_LINES, "--unit", service]
    _code, output, _error = run(command)
    return output.strip()
