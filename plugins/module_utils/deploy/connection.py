# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection by which the controller works on this host, as this host sees it: with all NAT in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_VARIABLE = b"SSH_CONNECTION="  # client's address and port, server's address and port (ssh(1))
_GENERATIONS = 20


def ssh_connection(pid: int, proc: Path = Path("/proc")) -> tuple[str, str]:
    """The client's and this host's address; empty where no SSH leads here, or not one that can be seen.

    sudo clears the environment, so that the parents' are looked at.
    """
    for ancestor in _ancestors(pid, proc):
        try:
            variables = (proc / str(ancestor) / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for variable in variables:
            words = variable[len(_VARIABLE) :].decode("ascii", "replace").split()
            if variable.startswith(_VARIABLE) and len(words) == 4:
                return words[0], words[2]
    return "", ""


def _ancestors(pid: int, proc: Path) -> Iterator[int]:
    for _generation in range(_GENERATIONS):
        if pid <= 1:
            return
        yield pid
        pid = _parent(pid, proc)


def _parent(pid: int, proc: Path) -> int:
    try:
        lines = (proc / str(pid) / "status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("PPid:")), 0)


def this_connection() -> tuple[str, str]:
    """Of this process."""
    return ssh_connection(os.getpid())
