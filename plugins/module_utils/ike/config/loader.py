# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a file, with all that it includes, to a checked syntax tree and the list of what is wrong.

The verdict is upstream's loader's: syntax, types, references. What its daemons then refuse at their start, and what
operators would rather know, is :mod:`ike.config.checks`' part.
"""

from __future__ import annotations

import contextlib
import gc
import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .grammar import TANUKI
from .model import Configuration, Directive, Node, Position
from .parser import parse
from .problem import Problem, Problems
from .typecheck import check_types
from .variables import Variables

MAX_BYTES = 32 << 20  # of one file
MAX_FILES = 1000
MAX_DEPTH = 8  # levels of include below the main file: one more crashes upstream


@dataclass(frozen=True)
class Loaded:
    """``configuration`` is None if anything is an error. ``problems`` stand in the order of the files.

    ``tree`` is what could be read in spite of errors, for the checks that go on.
    """

    configuration: Configuration | None
    problems: list[Problem]
    tree: Configuration


def load(path: str, dialect: str = TANUKI) -> Loaded:
    """Load a configuration file. Never raises: a file that can't be read is a Problem of severity ``unreadable``."""
    problems = Problems(dialect)
    try:
        data = _read(path)
    except (OSError, ValueError) as error:
        problems.unreadable(Position(str(path)), _reason(error))
        return _loaded((), problems)
    return _load(data, str(path), problems)


def load_text(data: bytes, name: str, dialect: str = TANUKI) -> Loaded:
    """Load a configuration from its bytes; ``name`` stands for the file in messages. Never raises."""
    return _load(data, name, Problems(dialect))


def _load(data: bytes, name: str, problems: Problems) -> Loaded:
    with without_collector():
        sections = _Includer(problems).sections(data, name, 0)
        return _loaded(sections, problems)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """The tree has no cycles: looking for them, again and again as it grows, would take a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _loaded(sections: tuple[Node, ...], problems: Problems) -> Loaded:
    tree = Configuration(sections, problems.dialect)
    check_types(tree, problems)
    return Loaded(None if problems.errors else tree, problems.found, tree)


def _read(path: str, regular: bool = False) -> bytes:
    if regular and not Path(path).is_file():
        raise OSError("not a regular file")
    with Path(path).open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError("larger than {} MB".format(MAX_BYTES >> 20))
    return data


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class _Includer:
    """Parses a file and puts the sections of what it includes in the place of the include."""

    def __init__(self, problems: Problems):
        self._problems = problems
        self._environment = Variables({}, os.environ)
        self._files = 0

    def sections(self, data: bytes, name: str, depth: int) -> tuple[Node, ...]:
        """Bytes that are no UTF-8 survive as surrogates: what is written out again is what was read."""
        text = data.decode("utf-8", "surrogateescape")
        sections: list[Node] = []
        for node in parse(text, name, self._problems):
            if isinstance(node, Directive) and node.name == "include":
                sections += self._included(node, depth + 1)
            else:
                sections.append(node)
        return tuple(sections)

    def _included(self, include: Directive, depth: int) -> list[Node]:
        sections: list[Node] = []
        for path in self._paths(include, depth):
            try:
                sections += self.sections(_read(path, regular=True), path, depth)
            except OSError as error:
                self._problems.error(include.position, "cannot read {}: {}".format(path, _reason(error)))
        return sections

    def _paths(self, include: Directive, depth: int) -> list[str]:
        if include.broken:
            return []
        try:
            pattern = self._environment.expand(include.items[0][0].text)
            paths = sorted(glob.glob(os.path.expanduser(pattern)))  # noqa: PTH111, PTH207 (as glob(3) and GLOB_TILDE)
        except ValueError as error:
            self._problems.error(include.position, "include: {}".format(error), "variables of setval are not known yet")
            return []
        self._files += len(paths)
        if not paths:
            self._problems.error(include.position, "no file matches {}".format(pattern))
        elif depth > MAX_DEPTH or self._files > MAX_FILES:
            self._problems.error(
                include.position,
                "files include each other more than {} deep, or more than {} of them".format(MAX_DEPTH, MAX_FILES),
            )
            return []
        return paths
