# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tanuki.ipsec has written on this host: a list of files with digests, so that only ours are ever removed."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SCHEMA = 1


class DeployError(Exception):
    """The deployment can't go on; the text says why, in an operator's words, and never holds a key."""


def keyed_digest(key: str, content: bytes) -> str:
    """HMAC-SHA-256 in hexadecimal: compares contents without giving a weak key away to who doesn't know ``key``."""
    return hmac.new(key.encode("ascii"), content, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """``files`` maps each path to the digests of what we wrote there: one, or two while a swap is under way.

    ``pending`` names what the service still has to be told: it survives an interrupted run.
    """

    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pending: tuple[str, ...] = ()
    salt: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def digest(self, content: bytes) -> str:
        return keyed_digest(self.salt, content)

    def wrote(self, path: str, content: bytes) -> bool:
        """Whether this content at this path is ours."""
        return self.digest(content) in self.files.get(path, ())


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep every other deployment away from this host while the body runs; they wait for their turn.

    The lock is on a directory that exists before anything was deployed, and leaves nothing behind.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def load_manifest(path: Path) -> Manifest:
    """The manifest of this host; an empty one where nothing was deployed yet. Raises DeployError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise DeployError("{}: schema {} is newer than this collection".format(path, data["schema"]))
        files = {name: tuple(digests) for name, digests in data["files"].items()}
        return Manifest(files, tuple(data["pending"]), data["salt"])
    except FileNotFoundError:
        return Manifest()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeployError(
            "{}: damaged ({}); remove it to deploy afresh, existing files are then backed up".format(path, error)
        ) from error


def save_manifest(path: Path, manifest: Manifest) -> None:
    """Replace the manifest as a whole; mode 0600."""
    data = {
        "schema": SCHEMA,
        "salt": manifest.salt,
        "pending": list(manifest.pending),
        "files": {name: list(digests) for name, digests in sorted(manifest.files.items())},
    }
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
