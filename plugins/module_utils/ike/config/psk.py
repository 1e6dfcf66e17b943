# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-shared key files: the whole file, byte for byte, is the key. What is wrong with one is named, never shown.

While a key is being rotated there are two of a peer. The file itself has the one that we prove; beside it lies the one
that the peer may prove already (``.next``) or still (``.previous``).
"""

from __future__ import annotations

import os
import stat

MAX_KEY = 65536  # bytes
NEXT = ".next"
PREVIOUS = ".previous"


class PskError(Exception):
    """Why a key file can't be used. The text names the file, never its content."""


def read_psk(path: str, uid: int = 0) -> bytes:
    """The key in a file that belongs to ``uid`` and that nobody else may touch. Raises :class:`PskError`.

    The file is opened once and judged by its descriptor, so that nothing changes in between.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise PskError("{}: {}".format(path, getattr(error, "strerror", None) or error)) from None
    try:
        reason = _unsafe(os.fstat(descriptor), uid)
        key = b"" if reason else _content(descriptor)
    finally:
        os.close(descriptor)
    if reason or not key:
        raise PskError("{}: {}".format(path, reason or "the file is empty"))
    return key


def read_psks(path: str, uid: int = 0) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """The keys that a peer may prove, the current one first; and what is wrong with the files beside it.

    A rotation writes ``.previous``, renames the new key to ``path``, and then removes ``.next``. Read in this order,
    neither key is missed, whatever happens meanwhile. Raises :class:`PskError` for the current one.
    """
    complaints: list[str] = []
    upcoming = _beside(path + NEXT, uid, complaints)
    current = read_psk(path, uid)
    retiring = _beside(path + PREVIOUS, uid, complaints)
    keys = dict.fromkeys(key for key in (current, upcoming, retiring) if key)
    return tuple(keys), tuple(complaints)


def _beside(path: str, uid: int, complaints: list[str]) -> bytes:
    """The key in a file that needn't be there; one that can't be used hides no other."""
    if not os.path.lexists(path):
        return b""
    try:
        return read_psk(path, uid)
    except PskError as error:
        complaints.append(str(error))
        return b""


def _unsafe(status: os.stat_result, uid: int) -> str:
    """What is wrong with a key file's kind, owner or mode; "" if nothing is."""
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if status.st_uid != uid:
        return "owned by uid {}, not {}".format(status.st_uid, uid)
    if mode & 0o077:
        return "mode {:04o}: group or others may use it, set 0600".format(mode)
    if status.st_size > MAX_KEY:
        return "larger than {} bytes".format(MAX_KEY)
    return ""


def _content(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read(MAX_KEY)
