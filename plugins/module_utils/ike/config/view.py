# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading blocks of the syntax tree: which of several directives counts, and its value."""

from __future__ import annotations

from collections.abc import Iterator

from .grammar import IKEV2, rule_of
from .model import Block, Configuration, Directive, Item
from .values import Reader


def chosen(block: Block, name: str) -> Directive | None:
    """The directive that counts when it is repeated: the first in ``ikev2``, else the last. None without one."""
    nodes = block.all(name)
    for node in nodes if block.name == IKEV2 else reversed(nodes):
        if isinstance(node, Directive) and not node.broken:
            return node
    return None


def inner(block: Block | None, name: str) -> Block | None:
    """The block inside a block that counts: the last one."""
    found = [node for node in block.all(name) if isinstance(node, Block)] if block is not None else []
    return found[-1] if found else None


def items(block: Block | None, name: str) -> tuple[Item, ...]:
    """The items of a directive; none where it is missing."""
    directive = chosen(block, name) if block is not None else None
    return directive.items if directive is not None else ()


def values(reader: Reader, block: Block | None, name: str) -> tuple:
    """The values of a directive's items, without those that can't be read."""
    directive = chosen(block, name) if block is not None else None
    return tuple(_readable(reader, rule_of(block.name, name), directive.items)) if directive is not None else ()


def value(reader: Reader, block: Block | None, name: str, default: object = None) -> object:
    """The first value of a directive; ``default`` where it is missing or can't be read."""
    directive = chosen(block, name) if block is not None else None
    if directive is not None:
        for found in _readable(reader, rule_of(block.name, name), directive.items):
            return found
    return default


def first(configuration: Configuration, section: str) -> Block | None:
    """The only section of its kind (``interface``, ``default``, …)."""
    return next((node for node in configuration.all(section) if isinstance(node, Block)), None)


class Index:
    """Sections by name: of two with the same index the first one is found, as upstream."""

    def __init__(self, configuration: Configuration, reader: Reader):
        self._found: dict[tuple[str, str], Block] = {}
        self._reader = reader
        for section in configuration.sections:
            if isinstance(section, Block) and section.index is not None:
                self._found.setdefault((section.name, self.name(section)), section)

    def name(self, section: Block) -> str:
        """A section's index, its variables expanded."""
        try:
            return self._reader.string((section.index,))
        except ValueError:
            return section.index.text

    def strings(self, block: Block, name: str) -> tuple[str, ...]:
        """The strings of a directive (``sa_index``, ``remote_index``, …), expanded."""
        return values(self._reader, block, name)

    def find(self, section: str, name: str | None) -> Block | None:
        return self._found.get((section, name))

    def names(self, section: str) -> list[str]:
        return [name for kind, name in self._found if kind == section]


def _readable(reader: Reader, rule: object, found: tuple[Item, ...]) -> Iterator[object]:
    for item in found:
        try:
            yield reader.read(rule, item)
        except ValueError:
            continue
