# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key files: there, private, without a stray newline, hard to guess. Nothing of a key reaches a message."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from .. import view
from ..grammar import IKEV1, IKEV2
from ..model import Block, Position
from ..psk import PskError, read_psk
from ..settings import IkeSettings
from .subject import Subject

MIN_BITS = 80  # below, a key that protects recorded handshakes can be searched for
PPK_BITS = 256  # below, a quantum computer halves it to what can be searched for (RFC 8784 6)


def check_keys(subject: Subject) -> None:
    """Every key file that a remote may use, once; and whether a post-quantum one has all that belongs to it."""
    if not subject.options.files:
        return
    seen: set[str] = set()
    owners: dict[bytes, str] = {}
    for block, remote in subject.remotes():
        for protocol in (IKEV1, IKEV2):
            settings = remote.settings(protocol)
            if settings is None or not (subject.upstream or protocol in remote.acceptable):
                continue
            for kind, path in _files(settings):
                if path and path not in seen:
                    seen.add(path)
                    place = subject.place(view.inner(block, protocol), kind.directive)
                    _check_file(subject, kind, path, place, owners)


@dataclass(frozen=True)
class _Kind:
    """A kind of key: its directive, its name for people, and the entropy that it needs."""

    directive: str
    name: str
    bits: int
    advice: str


_PSK = _Kind("pre_shared_key", "pre-shared key", MIN_BITS, "use 32 random characters")
_PPK = _Kind("ppk", "PPK", PPK_BITS, "use 32 random bytes, or 64 random characters")


def _files(settings: IkeSettings) -> tuple[tuple[_Kind, str], ...]:
    return (_PSK, settings.pre_shared_key), (_PPK, settings.ppk)


def check_ppk(subject: Subject, own: Block, settings: IkeSettings) -> None:
    """A post-quantum key has a file and a name; without them nothing can be required."""
    if settings.ppk_id and subject.missing(own, "ppk"):
        subject.problems.error(subject.place(own, "ppk_id"), "ppk_id without ppk", "ppk names the file of the key")
    if settings.ppk and subject.missing(own, "ppk_id"):
        subject.problems.error(subject.place(own, "ppk"), "ppk without ppk_id", "both ends call the key by one name")
    if settings.ppk_required and subject.missing(own, "ppk"):
        subject.problems.error(subject.place(own, "ppk_required"), "ppk_required without ppk", "nobody could connect")


def _check_file(subject: Subject, kind: _Kind, path: str, place: Position, owners: dict[bytes, str]) -> None:
    try:
        key = read_psk(path, subject.options.owner)
    except PskError as error:
        subject.problems.error(place, "{} {}".format(kind.name, error))
        return
    if key[-1:] in b"\r\n":
        subject.problems.warning(
            place,
            "{} {}: the file ends in a newline".format(kind.name, path),
            "racoon2 reads the whole file as the key: the peer's must end in one too",
        )
    bits = _entropy(key)
    if bits < kind.bits:
        subject.problems.warning(
            place,
            "{} {}: easy to guess, at most {} bits of entropy".format(kind.name, path, bits),
            kind.advice,
        )
    other = owners.setdefault(hashlib.sha256(key).digest(), path)
    if other != path:
        subject.problems.warning(
            place,
            "{} {}: the same key as in {}".format(kind.name, path, other),
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
