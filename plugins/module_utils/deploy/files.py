# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as they should be and as they are: what differs, what is foreign, and a swap that is all or nothing."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .manifest import DeployError, Manifest, keyed_digest

CONFIGURATION = "configuration"
PSK = "psk"
APPLICATION = "application"
UNIT = "unit"
SYSCTL = "sysctl"
GATEWAY = "gateway"
GATEWAY_UNIT = "gateway_unit"
ROLES = (CONFIGURATION, PSK, APPLICATION, UNIT, SYSCTL, GATEWAY, GATEWAY_UNIT)

_SHOWN_AS_TEXT = (CONFIGURATION, UNIT, SYSCTL, GATEWAY, GATEWAY_UNIT)
_FINGERPRINT_DIGITS = 8


@dataclass(frozen=True)
class WantedFile:
    """A file as it should be. ``digest`` is keyed with the run's key; ``content`` is there once it was sent."""

    path: Path
    role: str
    mode: int
    digest: str
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class FoundFile:
    """A wanted file beside what lies at its path now (``content`` None: nothing)."""

    wanted: WantedFile
    digest: str
    content: bytes | None = field(repr=False)
    safe: bool  # mode and owner are as they should be
    foreign: bool  # there, different, and not written by us

    @property
    def differs(self) -> bool:
        return self.digest != self.wanted.digest

    @property
    def change(self) -> str:
        """``created``, ``updated``, ``permissions``, or "" where nothing is to be done."""
        if self.content is None:
            return "created"
        if self.differs:
            return "updated"
        return "" if self.safe else "permissions"


def find(wanted: WantedFile, key: str, manifest: Manifest) -> FoundFile:
    """Compare a wanted file with the disk. Raises DeployError where something other than a file is in the way."""
    try:
        status = wanted.path.lstat()
    except FileNotFoundError:
        return FoundFile(wanted, "", None, False, False)
    if not stat.S_ISREG(status.st_mode):
        raise DeployError("{}: not a regular file; move it out of the way".format(wanted.path))
    content = wanted.path.read_bytes()
    digest = keyed_digest(key, content)
    safe = stat.S_IMODE(status.st_mode) == wanted.mode and status.st_uid == os.geteuid()
    foreign = digest != wanted.digest and not manifest.wrote(str(wanted.path), content)
    return FoundFile(wanted, digest, content, safe, foreign)


def ensure_directory(path: Path, mode: int, dry: bool) -> bool:
    """Make a directory with this mode, or correct the mode. Returns whether there was something to do."""
    if path.is_dir() and stat.S_IMODE(path.stat().st_mode) == mode:
        return False
    if not dry:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
    return True


def difference(found: FoundFile) -> dict[str, str]:
    """One file's entry for Ansible's diff. Keys and programs show as fingerprints only."""
    wanted = found.wanted
    return {
        "before_header": str(wanted.path),
        "after_header": str(wanted.path),
        "before": _shown(wanted.role, found.content, found.digest),
        "after": _shown(wanted.role, wanted.content if found.differs else found.content, wanted.digest),
    }


def removal(path: Path) -> dict[str, str]:
    """The diff of a file that goes. Only key files leave while others stay, so its content isn't shown."""
    return {
        "before_header": str(path),
        "after_header": str(path),
        "before": "a file that is no longer wanted\n",
        "after": "",
    }


def _shown(role: str, content: bytes | None, digest: str) -> str:
    if content is None:
        return ""
    if role in _SHOWN_AS_TEXT:
        return content.decode("utf-8", "replace")
    return "fingerprint {}\n".format(digest[:_FINGERPRINT_DIGITS])


class Swap:
    """New files beside the old ones until all are written; then they take their place. In ``scratch``: only to look.

    Use as a context manager: what was staged and not committed is removed.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self.scratch = scratch
        self.staged: dict[Path, Path] = {}

    def __enter__(self) -> Swap:
        return self

    def __exit__(self, *_error: object) -> None:
        for temporary in self.staged.values():
            temporary.unlink(missing_ok=True)

    def stage(self, path: Path, content: bytes, mode: int) -> None:
        """Write ``content`` next to ``path``. A full disk is noticed here, while nothing has changed yet."""
        descriptor, name = tempfile.mkstemp(
            prefix=".{}.".format(path.name), suffix=".new", dir=self.scratch or path.parent
        )
        self.staged[path] = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())

    def candidate(self, path: Path) -> Path:
        """Where the content for ``path`` lies for now: staged, or in place already."""
        return self.staged.get(path, path)

    def commit(self) -> None:
        for path in list(self.staged):
            self.staged[path].replace(path)
            del self.staged[path]


def back_up(path: Path) -> Path:
    """Keep a copy of a foreign file beside it: same mode, its name with the time and a tilde."""
    stamp = time.strftime("%Y-%m-%dT%H-%M-%S")
    copy = path.with_name("{}.{}~".format(path.name, stamp))
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, stat.S_IMODE(path.stat().st_mode))
    with os.fdopen(descriptor, "wb") as file:
        file.write(path.read_bytes())
    return copy
