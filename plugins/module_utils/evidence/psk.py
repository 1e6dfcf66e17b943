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
from ..ike.config.psk import PskError, read_psks

# Makes a guess at a weak key cost what it's worth; some 30 ms a key.
_ITERATIONS = 50_000
_SHOWN = 16  # hexadecimal digits


def fingerprint(key: bytes, salt: str) -> str:
    """The same for the same bytes and the same salt. A salt is used once, so that fingerprints can't be collected."""
    return hashlib.pbkdf2_hmac("sha256", key, salt.encode("utf-8"), _ITERATIONS).hex()[:_SHOWN]


def inspect_key(path: str, salt: str, owner: int = 0) -> dict[str, Any]:
    """A key file as data, never the key: ``fingerprint`` (empty where it can't be read), ``accepted``, ``problems``.

    The fingerprint is of the key that this end proves; ``accepted`` has it and, during a rotation, those of the keys
    beside it, which the peer may prove.
    """
    try:
        keys, complaints = read_psks(path, owner)
    except PskError as error:
        keys, complaints = _unsafe_key(path), (str(error),)
    accepted = [fingerprint(key, salt) for key in keys]
    return {
        "path": path,
        "fingerprint": accepted[0] if accepted else "",
        "accepted": accepted,
        "problems": [*complaints, *("{}: {}".format(path, text) for key in keys[:1] for text in _oddities(key))],
    }


def _unsafe_key(path: str) -> tuple[bytes, ...]:
    """The key in a file that the daemon refuses, if there is one."""
    try:
        key = Path(path).read_bytes()
    except OSError:
        return ()
    return (key,) if key else ()


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
    """Whether each of two inspected ends accepts the key that the other proves; None where one couldn't be read."""
    if not ours.get("fingerprint") or not theirs.get("fingerprint"):
        return None
    return ours["fingerprint"] in theirs["accepted"] and theirs["fingerprint"] in ours["accepted"]
