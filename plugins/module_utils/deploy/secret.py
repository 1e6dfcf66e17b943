# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret between two programs of one host, such as spmd and iked: made there, once, and known to nobody else."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from .manifest import DeployError

_BYTES = 32


def ensure_secret(path: Path, dry: bool) -> str:
    """Make the file, or make it private: ``created``, ``permissions``, or "" where it's as it should be.

    Raises DeployError where something other than a file is in the way.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        if not dry:
            _write(path)
        return "created"
    if not stat.S_ISREG(status.st_mode):
        raise DeployError("{}: not a regular file; move it out of the way".format(path))
    if stat.S_IMODE(status.st_mode) == 0o600 and status.st_uid == os.geteuid():
        return ""
    if not dry:
        os.chown(path, os.geteuid(), -1)
        path.chmod(0o600)
    return "permissions"


def _write(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_BYTES))
