# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments of directives: the grammar's notation compiled once into what the parser walks."""

from __future__ import annotations

import re
from typing import NamedTuple

from .grammar import ARGUMENTS, RESERVED, WORD_CLASSES
from .lexer import COMMA, DASH, QUOTED, WORD, Token
from .model import KEYWORD, MARK, STRING

NUMBER = re.compile(r"-?(?:[0-9]{1,20}|0[xX][0-9A-Fa-f]{1,16})\Z")

_EXPECTED = {
    "STRING": "a string",
    "QUOTED": "a quoted string",
    "NUMBER": "a number",
    "BOOLEAN": "on or off",
    "TIME_UNIT": "a unit of time",
    "BYTE_UNIT": "a unit of size",
    "ID_TYPE": "a type of identity",
    "KEY_TYPE": "a type of key file",
    "EVENT": "an event",
}


class Element(NamedTuple):
    """One place of a syntax: a class of words, a literal, or an optional group of further elements.

    ``kind`` is that of the word which it takes.
    """

    name: str
    kind: str = ""
    group: tuple[Element, ...] = ()

    @property
    def expected(self) -> str:
        return _EXPECTED.get(self.name, self.name)

    def fits(self, token: Token, words: frozenset[str]) -> bool:
        """Whether the token may stand here. ``words`` are those of the directive."""
        name, kind, text = self.name, token.kind, token.text
        if name == "STRING":
            return (kind == WORD and text not in RESERVED) or kind == QUOTED
        if name == "WORD":
            return kind == WORD and text in words
        if name == "NUMBER":
            return kind in (WORD, QUOTED) and NUMBER.match(text) is not None
        if name == "QUOTED":
            return kind == QUOTED
        if name in (COMMA, DASH):
            return kind == name
        return kind == WORD and (text in WORD_CLASSES[name] if name in WORD_CLASSES else text == name)


Sequence = tuple[Element, ...]


def _compile(notation: str) -> tuple[Sequence, ...]:
    """The alternatives of a syntax such as ``infinite | NUMBER [TIME_UNIT]``."""
    parts = re.findall(r"[\[\]]|[^\s\[\]]+", notation)
    alternatives: list[Sequence] = []
    stack: list[list[Element]] = [[]]
    for part in parts:
        if part == "|":
            alternatives.append(tuple(stack.pop()))
            stack.append([])
        elif part == "[":
            stack.append([])
        elif part == "]":
            group = tuple(stack.pop())
            stack[-1].append(Element("", group=group))
        else:
            stack[-1].append(Element(part, _kind(part)))
    return (*alternatives, tuple(stack.pop()))


def _kind(name: str) -> str:
    if name in ("STRING", "QUOTED", "NUMBER"):
        return STRING
    return MARK if name in (COMMA, DASH) else KEYWORD


SYNTAX = {argument: _compile(notation) for argument, notation in ARGUMENTS.items()}


def number(text: str) -> int:
    """The value of a NUMBER: leading zeros stay decimal."""
    return int(text, 16) if "x" in text.lower() else int(text)
