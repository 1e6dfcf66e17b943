# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax tree of a racoon2.conf: sections, blocks and directives in the order of the file, with positions.

Nothing is interpreted here. Two trees are equal when they say the same in the same order, wherever it stands:
positions do not compare, nor does the way a value was quoted. ``parse(render(tree)) == tree``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Union

KEYWORD = "keyword"
STRING = "string"
MARK = "mark"  # the comma of an algorithm's parameters, the dash of a range


class Position(NamedTuple):
    """Where something stands: the file as it was named, line and column counted from 1 (0: unknown)."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return "{}:{}:{}".format(self.file, self.line, self.column)


NOWHERE = Position()


@dataclass(frozen=True)
class Word:
    """One token of a value. A STRING's text is as written, without quotes and with variables unexpanded."""

    text: str
    kind: str = STRING
    position: Position = field(default=NOWHERE, compare=False, repr=False)


Item = tuple[Word, ...]  # one element of a value: ("10.0.0.1", port, "500") or (rijndael_cbc, ",", "256")


@dataclass(frozen=True)
class Directive:
    """``NAME ITEM;`` or, ``listed``, ``NAME { ITEM; … };``. ``broken``: its value could not be read."""

    name: str
    items: tuple[Item, ...] = ()
    listed: bool = False
    position: Position = field(default=NOWHERE, compare=False, repr=False)
    broken: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True)
class Block:
    """``NAME [INDEX] { … };``: a section, or a block inside one. ``damaged``: a part of it could not be read."""

    name: str
    index: Word | None = None
    body: tuple[Node, ...] = ()
    position: Position = field(default=NOWHERE, compare=False, repr=False)
    damaged: bool = field(default=False, compare=False, repr=False)

    @cached_property
    def _by_name(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self.body:
            found.setdefault(node.name, []).append(node)
        return found

    def all(self, name: str) -> Sequence[Node]:
        """The directives and blocks of this name, in order."""
        return self._by_name.get(name, ())

    def has(self, name: str) -> bool:
        return name in self._by_name

    @property
    def label(self) -> str:
        """What messages call this block: ``remote site_b``, ``ikev1``."""
        return self.name if self.index is None else "{} {}".format(self.name, self.index.text)


Node = Union[Directive, Block]


@dataclass(frozen=True)
class Configuration:
    """A file with everything that it includes. Its sections are Blocks; ``setval`` and ``include`` are Directives."""

    sections: tuple[Node, ...] = ()
    dialect: str = field(default="tanuki", compare=False)

    def all(self, name: str) -> Iterator[Node]:
        """The sections of this name (``remote``, ``selector``, …), in order."""
        return (section for section in self.sections if section.name == name)
