# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit-confirm: what puts a host back to where it was, by itself, unless somebody who can still reach it says no.

A timer of systemd's runs a script that needs nothing of ours but the daemon's own unit. Both lie on the disk, so that
neither the end of the connection nor a reboot keeps them from it.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..commands import Run
from .files import APPLICATION, GATEWAY, GATEWAY_UNIT, UNIT
from .service import DAEMON_RELOAD, ServiceState, act, service_state

NAME = "tanuki-ipsec-undo"
UNITS = Path("/etc/systemd/system")

_SCRIPT = """\
#!/bin/sh
# Written by tanuki.ipsec: puts back what was there before a deployment that nobody confirmed. Run by {name}.timer.
set -u
undo() {{
{steps}
    echo {message} >{undone}
    echo {message}
    systemctl disable --now {name}.timer
    rm -rf {units} {directory}
    systemctl daemon-reload
}}
undo
exit
"""
_SERVICE = """\
# Written by tanuki.ipsec; it goes when the deployment is confirmed, or undone.
[Unit]
Description=Undo a deployment of tanuki.ipsec that nobody has confirmed

[Service]
Type=oneshot
ExecStart=/bin/sh {script}
"""
_TIMER = """\
# Written by tanuki.ipsec; it goes when the deployment is confirmed, or undone.
[Unit]
Description=Time to confirm a deployment of tanuki.ipsec

[Timer]
OnActiveSec={seconds}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
# With it the daemon takes its policies out of the kernel, which it holds when it merely ends.
_NO_TUNNELS = "interface { ike { 127.0.0.1; }; };"


@dataclass(frozen=True)
class Change:
    """What a deployment is about to do: ``files`` maps each path that it writes or removes to its role."""

    files: Mapping[Path, str]
    manifest: Path
    configuration: Path


@dataclass(frozen=True)
class Undo:
    """``directory`` holds the script and the old files, ``units`` is systemd's. Methods raise DeployError, OSError."""

    run: Run
    directory: Path
    units: Path
    service: str
    gateway_service: str

    @property
    def armed(self) -> bool:
        return self.timer.is_file()

    @property
    def timer(self) -> Path:
        return self.units / (NAME + ".timer")

    @property
    def undone(self) -> Path:
        """Where the host says that it undid a deployment."""
        return self.directory.with_name("undone")

    def arm(self, change: Change, seconds: int) -> None:
        """Keep the old files, and start the time. From now on only :meth:`disarm` keeps the host from going back."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(mode=0o700)
        script = self.directory / "undo.sh"
        _write(script, self._script(change, seconds))
        _write(self.units / (NAME + ".service"), _SERVICE.format(script=shlex.quote(str(script))))
        _write(self.timer, _TIMER.format(seconds=seconds))
        act(self.run, NAME + ".timer", DAEMON_RELOAD)
        self._systemctl("enable", "--now", NAME + ".timer")

    def disarm(self) -> bool:
        """The change stays. Whether it was still waiting to be confirmed."""
        if not self.armed:
            return False
        self._systemctl("disable", "--now", NAME + ".timer")
        for path in self._unit_files():
            path.unlink(missing_ok=True)
        act(self.run, NAME + ".timer", DAEMON_RELOAD)
        shutil.rmtree(self.directory, ignore_errors=True)
        return True

    def told(self, forget: bool) -> str:
        """What this host says of a deployment that it undid, "" where it didn't."""
        try:
            text = self.undone.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        if forget:
            self.undone.unlink()
        return text

    def _systemctl(self, *words: str) -> None:
        code, output, error = self.run(["systemctl", *words])
        if code != 0:
            raise OSError("systemctl {}: {}".format(" ".join(words), error.strip() or output.strip()))

    def _unit_files(self) -> list[Path]:
        return [self.units / (NAME + kind) for kind in (".timer", ".service")]

    def _script(self, change: Change, seconds: int) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        text = "the deployment of {} was undone by this host: nobody confirmed it within {} s"
        put_back = self._keep({**change.files, change.manifest: ""})
        daemon, gateway = service_state(self.run, self.service), service_state(self.run, self.gateway_service)
        rules = self._rules(change, gateway)
        if daemon.active:
            steps = self._while_it_runs(change, put_back, rules)
        else:
            steps = self._to_the_end(change, put_back, rules, daemon.enabled)
        return _SCRIPT.format(
            name=NAME,
            steps="\n".join("    " + step for step in steps),
            message=shlex.quote(text.format(moment, seconds)),
            undone=shlex.quote(str(self.undone)),
            units=" ".join(shlex.quote(str(path)) for path in self._unit_files()),
            directory=shlex.quote(str(self.directory)),
        )

    def _keep(self, files: Mapping[Path, str]) -> list[str]:
        """Copy the files that are there; the commands that make all of them what they are now."""
        commands: list[str] = []
        for number, path in enumerate(files):
            copy, name = self.directory / str(number), shlex.quote(str(path))
            if path.is_file():
                shutil.copy2(path, copy)
                copied = shlex.quote(str(copy))
                commands.append("cp -p {copy} {name}.undo && mv {name}.undo {name}".format(copy=copied, name=name))
            else:
                commands.append("rm -f {}".format(name))
        return commands

    def _while_it_runs(self, change: Change, put_back: Sequence[str], rules: Sequence[str]) -> list[str]:
        """The daemon ran before, with the old configuration: it goes back to that."""
        roles, service = set(change.files.values()), shlex.quote(self.service)
        told = "restart {0}" if roles & {UNIT, APPLICATION} else "reload {0} || systemctl restart {0}"
        return [
            *put_back,
            "systemctl daemon-reload",
            "systemctl " + told.format(service),
            *rules,
        ]

    def _to_the_end(self, change: Change, put_back: Sequence[str], rules: Sequence[str], enabled: bool) -> list[str]:
        """No daemon ran before: it goes, after its policies."""
        service = shlex.quote(self.service)
        return [
            "echo {} >{}".format(shlex.quote(_NO_TUNNELS), shlex.quote(str(change.configuration))),
            "systemctl reload {}".format(service),
            "systemctl stop {}".format(service),
            *([] if enabled else ["systemctl disable {}".format(service)]),
            *rules,
            *put_back,
            "systemctl daemon-reload",
        ]

    def _rules(self, change: Change, gateway: ServiceState) -> list[str]:
        """The packet filter's rules: as they were, or none where none were."""
        service = shlex.quote(self.gateway_service)
        if not set(change.files.values()) & {GATEWAY, GATEWAY_UNIT}:
            return []
        if gateway.active:
            return ["systemctl restart {}".format(service)]
        stop = ["systemctl stop {}".format(service)]
        return stop if gateway.enabled else [*stop, "systemctl disable {}".format(service)]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600 if path.suffix == ".sh" else 0o644)
