# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax tree back to text, in a form that both upstream and we read: ``parse(render(tree)) == tree``.

Every value is quoted that is neither a keyword nor a plain number, so that no reserved word is met as a string. The
path of an ``include`` is always quoted: upstream wants it so.
"""

from __future__ import annotations

from .grammar import rule_of
from .model import KEYWORD, MARK, Block, Configuration, Directive, Item, Node, Word

INDENT = "    "


def render(configuration: Configuration) -> str:
    """A configuration's text, one directive a line. ValueError for a string that the language can't express."""
    return "\n".join("\n".join(_node(section, 0)) + "\n" for section in configuration.sections)


def _node(node: Node, depth: int) -> list[str]:
    return _block(node, depth) if isinstance(node, Block) else _directive(node, depth)


def _block(block: Block, depth: int) -> list[str]:
    margin = INDENT * depth
    index = " " + _word(block.index) if block.index is not None else ""
    lines = [line for node in block.body for line in _node(node, depth + 1)]
    return ["{}{}{} {{".format(margin, block.name, index), *lines, margin + "};"]


def _directive(directive: Directive, depth: int) -> list[str]:
    margin = INDENT * depth
    head = directive.name + " " if directive.name else ""
    if not directive.listed:
        end = ";;" if _ends_twice(directive) else ";"
        value = _quoted(directive.items[0][0].text) if directive.name == "include" else _item(directive.items[0])
        return [margin + head + value + end]
    entries = [_item(item) + ";" for item in directive.items]
    if all(len(item) == 1 for item in directive.items):
        return ["{}{}{{ {} }};".format(margin, head, " ".join(entries))]
    return [margin + head + "{", *(margin + INDENT + entry for entry in entries), margin + "};"]


def _ends_twice(directive: Directive) -> bool:
    """The short form of ``script`` ends in two semicolons."""
    rule = rule_of("ikev1", directive.name)
    return rule is not None and rule.argument == "hook"


def _item(item: Item) -> str:
    """The comma of an algorithm's parameters sticks to what stands before it."""
    text = ""
    for word in item:
        comma = word.kind == MARK and word.text == ","
        text += _word(word) if comma or not text else " " + _word(word)
    return text


def _word(word: Word) -> str:
    if word.kind in (KEYWORD, MARK) or (word.text.isascii() and word.text.isdigit()):
        return word.text
    return _quoted(word.text)


def _quoted(text: str) -> str:
    if '"' in text:
        raise ValueError("a string of racoon2.conf cannot hold a quote")
    return '"{}"'.format(text)
