# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-shared key files: there, private, without a stray newline, hard to guess. Nothing of a key reaches a message."""

from __future__ import annotations

import hashlib
import math

from .. import view
from ..grammar import IKEV1, IKEV2
from ..model import Position
from ..psk import PskError, read_psk
from .subject import Subject

MIN_BITS = 80  # below, a key that protects recorded handshakes can be searched for


def check_keys(subject: Subject) -> None:
    """Every key file that a remote may use, once."""
    if not subject.options.files:
        return
    seen: set[str] = set()
    owners: dict[bytes, str] = {}
    for block, remote in subject.remotes():
        for protocol in (IKEV1, IKEV2):
            settings = remote.settings(protocol)
            used = subject.upstream or protocol in remote.acceptable
            if settings is None or not used or not settings.pre_shared_key or settings.pre_shared_key in seen:
                continue
            seen.add(settings.pre_shared_key)
            place = subject.place(view.inner(block, protocol), "pre_shared_key")
            _check_file(subject, settings.pre_shared_key, place, owners)


def _check_file(subject: Subject, path: str, place: Position, owners: dict[bytes, str]) -> None:
    try:
        key = read_psk(path, subject.options.owner)
    except PskError as error:
        subject.problems.error(place, "pre-shared key {}".format(error))
        return
    if key[-1:] in b"\r\n":
        subject.problems.warning(
            place,
            "pre-shared key {}: the file ends in a newline".format(path),
            "racoon2 reads the whole file as the key: the peer's must end in one too",
        )
    bits = _entropy(key)
    if bits < MIN_BITS:
        subject.problems.warning(
            place,
            "pre-shared key {}: easy to guess, at most {} bits of entropy".format(path, bits),
            "use 32 random characters",
        )
    other = owners.setdefault(hashlib.sha256(key).digest(), path)
    if other != path:
        subject.problems.warning(
            place,
            "pre-shared key {}: the same key as in {}".format(path, other),
            "each pair of peers has its own key",
        )


def _entropy(key: bytes) -> int:
    """An upper bound of a key's entropy in bits: its length in the alphabet that it uses, repetition not counted."""
    text = key.rstrip(b"\r\n")
    alphabet = sum(size for size, member in _ALPHABETS if any(member(byte) for byte in text))
    distinct = len(set(text))
    spread = len(text) * math.log2(distinct) if distinct > 1 else 0
    return int(min(len(text) * math.log2(alphabet), spread)) if alphabet > 1 else 0


_ALPHABETS = (
    (10, lambda byte: 0x30 <= byte <= 0x39),
    (26, lambda byte: 0x41 <= byte <= 0x5A),
    (26, lambda byte: 0x61 <= byte <= 0x7A),
    (33, lambda byte: 0x20 <= byte <= 0x7E and not chr(byte).isalnum()),
    (161, lambda byte: byte < 0x20 or byte > 0x7E),
)
