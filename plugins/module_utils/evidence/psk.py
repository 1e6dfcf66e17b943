# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-shared keys without the keys: a salted fingerprint of the exact bytes, and what is wrong with the file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..ike.config.effective import Effective
from ..ike.config.psk import PskError, read_psk

# Makes a guess at a weak key cost what it's worth; some 30 ms a key.
_ITERATIONS = 50_000
_SHOWN = 16  # hexadecimal digits


def fingerprint(key: bytes, salt: str) -> str:
    """The same for the same bytes and the same salt. A salt is used once, so that fingerprints can't be collected."""
    return hashlib.pbkdf2_hmac("sha256", key, salt.encode("utf-8"), _ITERATIONS).hex()[:_SHOWN]


def inspect_key(path: str, salt: str, owner: int = 0) -> dict[str, Any]:
    """A key file as data: ``fingerprint`` (empty where it can't be read) and ``problems``, never the key."""
    problems = []
    try:
        read_psk(path, owner)
    except PskError as error:
        problems.append(str(error))
    try:
        key = Path(path).read_bytes()
    except OSError:
        key = b""
    return {
        "path": path,
        "fingerprint": fingerprint(key, salt) if key else "",
        "problems": problems + ["{}: {}".format(path, text) for text in _oddities(key)],
    }


def _oddities(key: bytes) -> list[str]:
    """What is seldom meant: the daemons take every byte of the file as the key."""
    if key.endswith(b"\n"):
        return ["ends in a newline, which is part of the key"]
    if key != key.strip():
        return ["begins or ends with white space, which is part of the key"]
    return []


def key_paths(configuration: Effective) -> dict[str, str]:
    """The key file of each remote that has one."""
    settings = [(remote.name, one) for remote in configuration.remotes for one in (remote.ikev1, remote.ikev2)]
    return {name: one.pre_shared_key for name, one in reversed(settings) if one is not None and one.pre_shared_key}


def compare_keys(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool | None:
    """Whether two inspected keys are the same; None where one couldn't be read."""
    if not ours.get("fingerprint") or not theirs.get("fingerprint"):
        return None
    return bool(ours["fingerprint"] == theirs["fingerprint"])
