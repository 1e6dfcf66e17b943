# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller: Ansible as an operator runs it, over ssh, and what a run cost each host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.keys import Keys
from tests.fleet.gateway import Gateway
from tests.fleet.network import Place

ROOT = Path(__file__).resolve().parents[2]
FORKS = "10"
_FAILURE = re.compile(r"^(?:fatal|failed|\[ERROR\]): .*", re.MULTILINE)
_CHANGE = re.compile(r"^changed: .*", re.MULTILINE)
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """One run of a playbook: its seconds; by host, its commands, bytes and changes; what was told of the changes."""

    seconds: float
    executions: Mapping[str, int]
    bytes: Mapping[str, int]
    changed: Mapping[str, int]
    told: str


@dataclass(frozen=True)
class Controller:
    """Runs playbooks against gateways. Its inventory and its keys lie in ``directory``."""

    directory: Path
    keys: Keys

    @property
    def psks(self) -> Path:
        return self.directory / "psk"

    def play(
        self,
        playbook: str,
        gateways: Sequence[Gateway],
        sites: Mapping[str, Any],
        limit: Gateway | None = None,
    ) -> Run:
        """Run a playbook against the gateways of an inventory, or against one of them.

        RuntimeError with its output where it fails.
        """
        file = self.directory / "inventory.json"
        file.write_text(json.dumps(sites))
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", file, "--forks", FORKS, "-v", playbook]
        command += ["--limit", limit.name] if limit is not None else []
        executions = {gateway.name: gateway.executions() for gateway in gateways}
        octets = {gateway.name: gateway.place.bytes() for gateway in gateways}
        begun = time.monotonic()
        done = subprocess.run(
            command,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self._environment(),
        )
        seconds = time.monotonic() - begun
        shown = [str(Path(playbook).relative_to(ROOT)), *(["for", limit.name] if limit is not None else [])]
        print("   {:7.1f} s  {}".format(seconds, " ".join(shown)), flush=True)
        if done.returncode:
            failures = "\n".join(_FAILURE.findall(done.stdout))
            raise RuntimeError("{}:\n{}\n...\n{}".format(playbook, failures[-16000:], done.stdout[-8000:]))
        return Run(
            seconds,
            {gateway.name: gateway.executions() - executions[gateway.name] for gateway in gateways},
            {gateway.name: gateway.place.bytes() - octets[gateway.name] for gateway in gateways},
            {row[0]: int(row[2]) for row in _RECAP.findall(done.stdout) if row[0] in executions},
            "\n".join(_CHANGE.findall(done.stdout)),
        )

    def forget(self, gateway: Gateway) -> None:
        """Close the connection that is kept for this gateway: it is going to be another machine."""
        close = ["ssh", "-o", self._control, "-O", "exit", gateway.place.management]
        subprocess.run(close, check=False, stdin=subprocess.DEVNULL, capture_output=True)

    @property
    def _control(self) -> str:
        return "ControlPath={}/%h".format(self.directory)

    def _environment(self) -> dict[str, str]:
        ssh = [
            "-o ControlMaster=auto -o ControlPersist=60s -o {}".format(self._control),
            "-o IdentityFile={} -o IdentitiesOnly=yes".format(self.keys.user_private_path),
            "-o UserKnownHostsFile={} -o LogLevel=ERROR".format(self.keys.known_hosts_path),
        ]
        return {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build/checkout"),
            "ANSIBLE_HOME": str(self.directory / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "local"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_SSH_ARGS": " ".join(ssh),
            "LC_ALL": "C.UTF-8",
        }


def inventory(
    gateways: Sequence[Gateway],
    unmanaged: Sequence[Place],
    variables: Mapping[str, Any],
    overrides: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """A hub and its spokes, as an operator would write them down."""
    hosts = {
        gateway.name: {
            "ansible_host": gateway.place.management,
            **_site(gateway.place),
            **overrides.get(gateway.name, {}),
        }
        for gateway in gateways
    }
    hosts.update({place.name: {"ipsec_managed": False, **_site(place)} for place in unmanaged})
    common = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ipsec_topology": {"type": "hub", "hubs": [gateways[0].name]},
        **variables,
    }
    return {"ipsec_sites": {"hosts": hosts, "vars": common}}


def _site(place: Place) -> dict[str, Any]:
    return {
        "ipsec_address": place.address,
        "ipsec_networks": [place.network],
        "ipsec_probe_address": place.client,
    }
