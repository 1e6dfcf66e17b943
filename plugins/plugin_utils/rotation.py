# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotation of a pair's key: what the controller remembers of it, so that whoever runs next can go on.

    phase       what a gateway has: proves / also accepts    begins when
    (none)      old                                          before
    staged      old / new                                    the new key is in the store
    switched    new / old                                    both gateways have the files of the phase before
    retiring    new                                          an IKE SA was authenticated with it, both being switched
    (none)      new                                          both gateways have the files of the phase before

Two gateways are never more than one step apart, and in two neighbouring lines each end accepts what the other one
proves. So it doesn't matter in which order they're reached, when the controller dies, or how long it stays away.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from .inventory import Site
from .psk_store import PskStore, PskStoreError, new_key

STAGED = "staged"
SWITCHED = "switched"
RETIRING = "retiring"

_OWED = "owed"  # over, and the operator has still to enter the new key where he keeps the old one
_PHASES = (STAGED, SWITCHED, RETIRING, _OWED)
_SCHEMA = 1


@dataclass(frozen=True)
class KeySet:
    """A pair's keys as its gateways are to have them: what they prove, and what else they accept meanwhile."""

    current: bytes = field(repr=False)
    next: bytes | None = field(default=None, repr=False)
    previous: bytes | None = field(default=None, repr=False)
    phase: str = ""  # of the rotation that is under way

    @property
    def newest(self) -> bytes:
        return self.current if self.next is None else self.next


@dataclass(frozen=True)
class Progress:
    """A rotation that is under way. ``holders`` are the sites whose gateways have the files of this phase.

    ``proven``: an IKE SA was authenticated with the new key. ``unaskable`` are sites whose daemon can't be asked to
    authenticate anew. ``owed``: the operator keeps the old key elsewhere, and has to enter the new one there.
    """

    phase: str = STAGED
    holders: frozenset[str] = frozenset()
    proven: bool = False
    unaskable: frozenset[str] = frozenset()
    owed: bool = False


class Rotations:
    """The rotations in a key store. Several processes may use it at once. Methods raise PskStoreError or OSError."""

    def __init__(self, store: PskStore) -> None:
        self.store = store

    def progress(self, one: Site, other: Site) -> Progress | None:
        """How far a pair is; None where no rotation is under way."""
        found = _load(self._path(one, other))
        if self.store.read_next(one, other) is not None:
            return found or Progress()
        if found is None or found.phase in (_OWED, STAGED):
            return None  # the latter: it ended before the new key was there
        if found.phase == RETIRING:
            return found
        return Progress(RETIRING, owed=found.owed)  # it ended between the two steps of `retire`

    def keys(self, one: Site, other: Site) -> KeySet | None:
        """What the pair's gateways are to have, by the store; None where no key was made yet."""
        current, upcoming = self.store.read(one, other), self.store.read_next(one, other)
        progress = self.progress(one, other)
        if current is None or progress is None:
            return None if current is None else KeySet(current)
        if upcoming is None:
            return KeySet(current, phase=RETIRING)
        if progress.phase == SWITCHED:
            return KeySet(upcoming, previous=current, phase=SWITCHED)
        return KeySet(current, next=upcoming, phase=STAGED)

    def begin(self, one: Site, other: Site, key: bytes | None = None, old: bytes | None = None) -> None:
        """Put the new key into the store, a random one where none is given; nothing where a rotation is under way.

        ``old`` is the operator's, where he keeps it elsewhere: an interrupted rotation needs both.
        """
        self.store.open()
        with self._exclusive():
            if self.progress(one, other) is not None:
                return
            self._save(one, other, Progress(owed=old is not None))
            if old is not None:
                self.store.keep(one, other, old)
            self.store.write_next(one, other, key or new_key())

    def record(self, one: Site, other: Site, phase: str, holder: str) -> None:
        """This site's gateway has the files of the phase."""
        with self._changing(one, other, phase) as progress:
            if progress is not None and holder not in progress.holders:
                self._save(one, other, replace(progress, holders=progress.holders | {holder}))

    def record_proof(self, one: Site, other: Site) -> None:
        """An IKE SA was authenticated with the new key."""
        with self._changing(one, other, SWITCHED) as progress:
            if progress is not None:
                self._save(one, other, replace(progress, proven=True))

    def record_unaskable(self, one: Site, other: Site, site: str) -> None:
        """This site's daemon can't be asked to authenticate anew."""
        with self._changing(one, other, SWITCHED) as progress:
            if progress is not None:
                self._save(one, other, replace(progress, unaskable=progress.unaskable | {site}))

    def switch(self, one: Site, other: Site) -> None:
        """From now on the gateways are to prove the new key."""
        with self._changing(one, other, STAGED) as progress:
            if progress is not None:
                self._save(one, other, Progress(SWITCHED, owed=progress.owed))

    def retire(self, one: Site, other: Site) -> None:
        """From now on the new key is the pair's only one."""
        with self._changing(one, other, SWITCHED) as progress:
            if progress is not None:
                self.store.adopt_next(one, other)
                self._save(one, other, Progress(RETIRING, owed=progress.owed))

    def close(self, one: Site, other: Site) -> None:
        """The rotation is over."""
        with self._changing(one, other, RETIRING) as progress:
            if progress is not None and progress.owed:
                self._save(one, other, Progress(_OWED))
            elif progress is not None:
                self._path(one, other).unlink()

    def settle(self, one: Site, other: Site, given: bytes, dry: bool) -> bool:
        """Whether the operator's own key is the right one. Once he has entered the new one, the store's copy goes."""
        found = _load(self._path(one, other))
        if found is None or found.phase != _OWED:
            return True
        if self.store.read(one, other) not in (None, given):
            return False
        if not dry:
            self.store.forget(one, other)
            self._path(one, other).unlink(missing_ok=True)
        return True

    @contextmanager
    def _changing(self, one: Site, other: Site, phase: str) -> Iterator[Progress | None]:
        """The rotation if it's in this phase, while no other process changes it."""
        with self._exclusive():
            progress = self.progress(one, other)
            yield progress if progress is not None and progress.phase == phase else None

    def _path(self, one: Site, other: Site) -> Path:
        return self.store.path(one, other).with_suffix(".rotation")

    def _save(self, one: Site, other: Site, progress: Progress) -> None:
        data = {
            "schema": _SCHEMA,
            "phase": progress.phase,
            "holders": sorted(progress.holders),
            "proven": progress.proven,
            "unaskable": sorted(progress.unaskable),
            "owed": progress.owed,
        }
        self.store.replace(self._path(one, other), json.dumps(data).encode("ascii") + b"\n")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep other processes from changing a rotation meanwhile."""
        descriptor = os.open(self.store.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _load(path: Path) -> Progress | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != _SCHEMA or data["phase"] not in _PHASES:
            raise ValueError("written by another version of this collection")
        return Progress(
            phase=data["phase"],
            holders=frozenset(data["holders"]),
            proven=data["proven"] is True,
            unaskable=frozenset(data["unaskable"]),
            owed=data["owed"] is True,
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise PskStoreError(
            "{}: damaged ({}); remove it, and the rotation goes back to its first step, with the same new key".format(
                path, error
            )
        ) from error
