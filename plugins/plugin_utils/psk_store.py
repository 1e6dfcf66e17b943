# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-shared keys on the controller: one per pair of sites, made once and kept.

A key is made with 256 random bits, in a file of its own (0600) in a directory of its own (0700), and never made
anew while that file exists. An operator may bring his own keys instead. Keys never stand in an error's text.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .inventory import InventoryError, Problem, Site

RANDOM_BYTES = 32
WEAK_BELOW = 20  # bytes: fewer than this can be guessed offline by whoever records one handshake


class PskStoreError(Exception):
    """The key store can't be used: the text names the file and what is wrong with it."""


def operator_keys(value: Any, sites: Mapping[str, Site], variable: str = "ipsec_psks") -> dict[tuple[str, str], bytes]:
    """The keys that an operator brings in this variable, a dictionary ``{"SITE--SITE": KEY}`` in either order.

    Returns them by pair of sites' names, sorted. Raises InventoryError, which never holds a key.
    """
    if not isinstance(value, Mapping):
        raise _wrong(variable, "a dictionary is needed: {SITE--SITE: KEY}")
    keys: dict[tuple[str, str], bytes] = {}
    for label, key in value.items():
        pair = tuple(sorted(str(label).split("--")))
        if len(pair) != 2 or not all(name in sites for name in pair):
            raise _wrong(variable, "{!r} is not SITE--SITE with two sites of the inventory".format(label))
        if not isinstance(key, str) or not key:
            raise _wrong(variable, "the key of {!r} is empty or not a text".format(label))
        if pair in keys:
            raise _wrong(variable, "the key of {!r} is there twice".format(label))
        keys[pair] = key.encode("utf-8")
    return keys


def _wrong(variable: str, text: str) -> InventoryError:
    return InventoryError((Problem("all sites", variable, text),))


def new_key() -> bytes:
    """256 random bits as printable text, so that an operator can hand the key to someone else."""
    return secrets.token_urlsafe(RANDOM_BYTES).encode("ascii")


def weaknesses(key: bytes) -> Iterator[str]:
    """Why a key is weak or probably not what was meant. Says nothing about its content."""
    if len(key) < WEAK_BELOW:
        yield "shorter than {} bytes: it can be guessed from one recorded handshake".format(WEAK_BELOW)
    if key != key.strip():
        yield "begins or ends with white space, which is part of the key"


class PskStore:
    """A directory of keys. Several processes may use it at once: whoever is first makes a pair's key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self) -> None:
        """Make the directory, where there is none."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, one: Site, other: Site) -> Path:
        """The file of a pair's key, whatever the order. An index has no hyphen, so the name is unambiguous."""
        return self.directory / "{}--{}.psk".format(*sorted((one.index, other.index)))

    def read(self, one: Site, other: Site) -> bytes | None:
        """A pair's key, or None where none was made yet. Raises PskStoreError if others could read or change it."""
        return self._read(self.path(one, other))

    def make(self, one: Site, other: Site) -> bytes:
        """Make a pair's key unless there is one; the key that the store holds afterwards."""
        self._write_once(self.path(one, other), new_key())
        key = self.read(one, other)
        if key is None:
            raise PskStoreError("{}: vanished while it was made".format(self.path(one, other)))
        return key

    def read_next(self, one: Site, other: Site) -> bytes | None:
        """The key that a rotation is about to bring, None where none is under way."""
        return self._read(self._next_path(one, other))

    def write_next(self, one: Site, other: Site, key: bytes) -> None:
        """Keep the new key beside the old one, unless there is one already."""
        self._write_once(self._next_path(one, other), key)

    def adopt_next(self, one: Site, other: Site) -> None:
        """The new key takes the old one's place."""
        self._next_path(one, other).replace(self.path(one, other))

    def keep(self, one: Site, other: Site, key: bytes) -> None:
        """Keep this key of the operator's, in the place of another one."""
        self.replace(self.path(one, other), key)

    def forget(self, one: Site, other: Site) -> None:
        """Remove a pair's key."""
        self.path(one, other).unlink(missing_ok=True)

    def replace(self, path: Path, content: bytes) -> None:
        """Replace a file of this directory as a whole."""
        temporary = self._written(content)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink()
            raise

    def _next_path(self, one: Site, other: Site) -> Path:
        path = self.path(one, other)
        return path.with_name(path.name + ".next")

    def _read(self, path: Path) -> bytes | None:
        if not path.exists():
            return None
        _refuse_unsafe(self.directory, stat.S_ISDIR, "a directory")
        _refuse_unsafe(path, stat.S_ISREG, "a regular file")
        key = path.read_bytes()
        if not key:
            raise PskStoreError("{}: empty; restore it, or remove it to have a new key made".format(path))
        return key

    def _write_once(self, path: Path, content: bytes) -> None:
        """Write the whole file, then give it its name: a link fails where the name exists already."""
        temporary = self._written(content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()

    def _written(self, content: bytes) -> Path:
        """A new file (0600) with this content, on the disk before it gets its name."""
        self.open()
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=self.directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            Path(temporary).unlink()
            raise
        return Path(temporary)


def _refuse_unsafe(path: Path, is_kind: Any, kind: str) -> None:
    status = path.lstat()
    if not is_kind(status.st_mode):
        raise PskStoreError("{}: not {}".format(path, kind))
    if stat.S_IMODE(status.st_mode) & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise PskStoreError("{}: mode {:04o} lets others in; take their permissions away".format(path, mode))
    if status.st_uid not in (os.geteuid(), 0):
        raise PskStoreError("{}: belongs to user id {}".format(path, status.st_uid))
