# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites that Ansible doesn't manage: each has a daemon, its hand-over's files, and nothing else.

strongSwan and Libreswan are Debian's. Nobody has racoon2 here: our daemon stands in for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.fleet.controller import ROOT
from tests.fleet.network import Place
from tests.interop.pluto import Pluto
from tests.interop.trees import PEERS
from tests.namespaces import run

START_LIMIT = 60.0  # seconds


@dataclass
class Partner(ABC):
    """A daemon at its place. ``directory`` is for its settings, its log, and what is handed over to it."""

    title: ClassVar[str]
    profile: ClassVar[str]  # of its tunnel
    profiles: ClassVar[dict] = {}  # the inventory's own, ipsec_profiles
    place: Place
    directory: Path

    def connect(self) -> None:
        """Connect it to the network and have it forward."""
        self.place.connect()
        run(*self._enter, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.directory.mkdir()

    @abstractmethod
    def take(self, sheet: Path) -> None:
        """Run the daemon with what was handed over in this folder, as its administrator would."""

    @abstractmethod
    def stop(self) -> None: ...

    @property
    @abstractmethod
    def log(self) -> Path: ...

    @property
    def _enter(self) -> tuple[str, ...]:
        """What begins a command in its namespace of the network."""
        return "nsenter", "--net=/run/netns/" + self.place.name

    def _started(self, command: list[str], ready: Callable[[], bool], **environment: str) -> subprocess.Popen:
        """Start its daemon, which writes its own log or has it taken from stderr, and wait until it's ready."""
        with (self.directory / "stderr").open("wb") as stderr:
            daemon = subprocess.Popen(
                [*self._enter, *command],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        deadline = time.monotonic() + START_LIMIT
        while not ready():
            if time.monotonic() > deadline or daemon.poll() is not None:
                raise RuntimeError("{} doesn't run: {}".format(self.title, self.log.read_text()[-2000:]))
            time.sleep(0.2)
        return daemon


_STRONGSWAN = """\
include /etc/strongswan.conf
charon-systemd {{
    plugins {{
        vici {{
            socket = unix://{socket}
        }}
    }}
    filelog {{
        log {{
            path = {log}
            flush_line = yes
        }}
    }}
}}
"""


@dataclass
class StrongSwan(Partner):
    """charon."""

    title = "strongSwan"
    profile = "modern"
    _daemon: subprocess.Popen | None = None

    def take(self, sheet: Path) -> None:
        tree = PEERS["strongswan-5.9"]
        run("sh", "-c", tree.opening)
        socket = self.directory / "charon.vici"
        settings = self.directory / "strongswan.conf"
        settings.write_text(_STRONGSWAN.format(log=self.log, socket=socket))
        command = tree.inside("charon-systemd")
        self._daemon = self._started(command, socket.exists, STRONGSWAN_CONF=str(settings))
        files = (sheet / "swanctl.conf", sheet / "secret/swanctl.secrets.conf")
        everything = self.directory / "swanctl.conf"
        everything.write_text("".join("include {}\n".format(file) for file in files))
        load = ["swanctl", "--load-all", "--noprompt", "--file", str(everything), "--uri", "unix://{}".format(socket)]
        run(*self._enter, *tree.inside(*load))

    def stop(self) -> None:
        self._daemon.terminate()
        self._daemon.wait()

    @property
    def log(self) -> Path:
        return self.directory / "charon.log"


class StrongSwanWithCbc(StrongSwan):
    """charon that is told a profile of the inventory's own."""

    title = "strongSwan with CBC"
    profile = "firewall"
    profiles: ClassVar[dict] = {
        "firewall": {
            "base": "modern",
            "ike_encryption": ["aes256_cbc"],
            "ike_hash": ["hmac_sha2_256"],
            "ike_prf": ["hmac_sha2_256"],
            "groups": ["modp2048"],
            "additional": [],
            "esp_encryption": ["aes256_cbc"],
            "esp_integrity": ["hmac_sha2_256"],
        }
    }


_LIBRESWAN = """\
config setup
    nssdir={directory}
    logfile={directory}/pluto.log

include {sheet}/ipsec.conf
"""


@dataclass
class Libreswan(Partner):
    """pluto."""

    title = "Libreswan"
    profile = "modern"
    _pluto: Pluto | None = None

    def take(self, sheet: Path) -> None:
        tree = PEERS["libreswan-4.10"]
        run("sh", "-c", tree.opening)
        self._pluto = Pluto(tree, self.directory, self._enter)
        self._pluto.configuration.write_text(_LIBRESWAN.format(directory=self.directory, sheet=sheet))
        self._pluto.secrets.write_text("include {}/secret/ipsec.secrets\n".format(sheet))
        self._pluto.start()
        self._pluto.load("--autoall")

    def stop(self) -> None:
        self._pluto.stop()

    @property
    def log(self) -> Path:
        return self.directory / "pluto.log"


# The folder is the one that the hand-over names; nobody else's processes see it.
_IN_ITS_OWN_ETC = 'mount --bind "$0" /usr/local/etc && exec "$@"'
_RACOON2 = "/usr/local/etc/racoon2/racoon2.conf"


@dataclass
class Racoon2StandIn(Partner):
    """Our daemon with racoon2's files where racoon2 has them: a simulation of racoon2.

    It shows that the files are whole, are within upstream's language as far as our parser knows that, and say the same
    as the hub's. What upstream's own daemon does with them it doesn't show.
    """

    title = "stand-in for racoon2"
    profile = "ikev1-aes"
    _daemon: subprocess.Popen | None = None

    def take(self, sheet: Path) -> None:
        keys = self.directory / "etc/racoon2/psk"
        keys.mkdir(parents=True, mode=0o700)
        self._enter_file(sheet / "racoon2.conf", keys.parent)
        for key in (sheet / "secret").glob("*.psk"):
            self._enter_file(key, keys)
        run(*self._enter, *self._ike("check", "--dialect", "racoon2", "-f", _RACOON2))
        control = str(self.directory / "control.sock")
        command = self._ike("iked", "-F", "-D", "1", "-f", _RACOON2, "--control", control)
        self._daemon = self._started(command, lambda: "ready:" in self.log.read_text())

    def stop(self) -> None:
        self._daemon.terminate()
        self._daemon.wait()

    @property
    def log(self) -> Path:
        return self.directory / "stderr"

    @staticmethod
    def _enter_file(file: Path, folder: Path) -> None:
        copy = folder / file.name
        copy.touch(0o600)
        copy.write_bytes(file.read_bytes())

    def _ike(self, *arguments: str) -> list[str]:
        own_etc = ["unshare", "--mount", "sh", "-c", _IN_ITS_OWN_ETC, str(self.directory / "etc")]
        path = "PYTHONPATH={}".format(ROOT / "plugins/module_utils")
        return [*own_etc, "env", path, sys.executable, "-m", "ike", *arguments]


PARTNERS = (StrongSwan, StrongSwanWithCbc, Libreswan, Racoon2StandIn)
