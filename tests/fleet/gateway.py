# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's gateway: the lab's image under a layer of its own, its own systemd and sshd, its own network namespace."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.keys import Keys
from tests.fleet.network import Place
from tests.namespaces import run

IMAGE = Path("/run/image")
SITES = Path("/run/sites")
COMMON = SITES / "common"
ENTER = Path(__file__).with_name("enter-site")
SESSIONS = "var/log/sshd.log"
BOOT_LIMIT = 300  # seconds
# Each site's systemd has a control group of its own as the root of its: what it stops there is its own.
GROUPS = Path("/sys/fs/cgroup")
# Each systemd and each journald has one; the kernel's 128 are those of some forty sites.
WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
JOIN = 'echo 0 >"$0" && exec "$@"'

# A site boots no more than it needs: fifty of them share one processor.
TARGET = "[Unit]\nRequires=ssh.service systemd-journald.service\nAllowIsolate=yes\nDefaultDependencies=no\n"
SSH = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -E /{}\n".format(SESSIONS)


def prepare(keys: Keys) -> None:
    """Mount the lab's image, and write what all sites have in common over it."""
    for directory in (IMAGE, COMMON):
        directory.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "ext4", "-o", "ro,noload", "/dev/ubda", str(IMAGE))
    run("mount", "-t", "cgroup2", "cgroup2", str(GROUPS))
    WATCHERS.write_text("4096")
    for path, content, mode in (
        ("etc/systemd/system/site.target", TARGET, 0o644),
        ("etc/systemd/system/ssh.service.d/fleet.conf", SSH, 0o644),
        ("etc/ssh/sshd_config.d/fleet.conf", "LogLevel VERBOSE\nMaxStartups 200\n", 0o644),  # names each session
        ("etc/ssh/ssh_host_ed25519_key", keys.host_private, 0o600),
        ("root/.ssh/authorized_keys", keys.user_public, 0o600),
    ):
        file = COMMON / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)
    (COMMON / "root").chmod(0o700)


@dataclass
class Gateway:
    """A gateway that is booted; the machine that it runs in ends it."""

    place: Place
    _container: subprocess.Popen | None = None

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def layer(self) -> Path:
        """What the site has written over the image, by path."""
        return SITES / self.name / "layer"

    @property
    def root(self) -> Path:
        """The site's root folder, as it sees it; what it has mounted there aside."""
        return SITES / self.name / "root"

    def boot(self) -> None:
        """Connect it and start its systemd; ``wait`` for its sshd."""
        self.place.connect()
        work = SITES / self.name / "work"
        for directory in (self.layer / "etc", work, self.root):
            directory.mkdir(parents=True, exist_ok=True)
        (self.layer / "etc/hostname").write_text(self.name + "\n")
        (self.layer / "etc/machine-id").write_text(hashlib.md5(self.name.encode()).hexdigest() + "\n")
        options = "lowerdir={}:{},upperdir={},workdir={}".format(COMMON, IMAGE, self.layer, work)
        run("mount", "-t", "overlay", "site", "-o", options, str(self.root))
        namespaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
        GROUPS.joinpath(self.name).mkdir(exist_ok=True)
        entering = [
            "sh",
            "-c",
            JOIN,
            str(GROUPS / self.name / "cgroup.procs"),
            "nsenter",
            "--net=/run/netns/" + self.name,
        ]
        command = [*entering, "unshare", *namespaces, str(ENTER), str(self.root), self.name]
        log = (SITES / self.name / "console").open("wb")
        self._container = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def reinstall(self) -> None:
        """End it, forget what it has written, and boot it as at first."""
        self._container.kill()  # unshare, which takes the site's first process with it
        self._container.wait()
        self.place.disconnect()
        run("umount", str(self.root))
        shutil.rmtree(SITES / self.name)
        self.boot()
        self.wait()

    def wait(self) -> None:
        """Return when sshd listens."""
        deadline = time.monotonic() + BOOT_LIMIT
        while b"listening" not in self._log():
            if time.monotonic() > deadline or self._container.poll() is not None:
                raise RuntimeError("{}: {}".format(self.name, (SITES / self.name / "console").read_text()[-2000:]))
            time.sleep(0.2)

    def executions(self) -> int:
        """How many commands its sshd has started."""
        return self._log().count(b"Starting session: command")

    def journal(self) -> str:
        """What its daemon has logged."""
        return self._inside("journalctl", "--no-pager", "--output=short-monotonic", "--unit=tanuki-iked")

    def daemon(self, verb: str) -> None:
        """Have its systemd start or stop its daemon."""
        self._inside("systemctl", verb, "tanuki-iked")

    def _inside(self, *command: str) -> str:
        first = Path("/proc/{0}/task/{0}/children".format(self._container.pid)).read_text().split()[0]
        return run("nsenter", "--target", first, "--mount", "--pid", "--root", *command)

    def _log(self) -> bytes:
        file = self.layer / SESSIONS
        return file.read_bytes() if file.exists() else b""
