# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text to tokens: one pass, linear in the length of the text, every token with its line and column.

Whatever upstream's lexer doesn't know becomes an ILLEGAL token of one character: what that means depends on
where it stands, and the parser knows where that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .model import Position

WORD = "word"
QUOTED = "quoted"
ILLEGAL = "illegal"
END = "end"
OPEN = "{"
CLOSE = "}"
SEMICOLON = ";"
COMMA = ","
DASH = "-"

MAX_TOKENS = 2_000_000  # some ten thousand tunnels

_TOKEN = re.compile(
    r"""
    [ \t]* (?: \#[^\n]* )?
    (?: (?P<line> \r?\n )
      | (?P<word> [0-9A-Za-z%*\-./:?@_]+ )
      | (?P<quoted> "[^"]*" )
      | (?P<mark> [{};,] )
      | (?P<end> \Z )
      | (?P<illegal> . )
    )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """``kind`` is WORD, QUOTED, ILLEGAL, END or the punctuation itself; ``text`` is without the quotes."""

    kind: str
    text: str
    line: int
    column: int

    def at(self, file: str) -> Position:
        return Position(file, self.line, self.column)

    @property
    def width(self) -> int:
        """The columns that it takes in the text."""
        return len(self.text) + 2 * (self.kind == QUOTED)


def tokenize(text: str) -> Iterator[Token]:
    """The tokens of a text, ending in one END. A text of more than MAX_TOKENS ends early, in an ILLEGAL one."""
    line, line_start = 1, 0
    count = 0
    for match in _TOKEN.finditer(text):
        kind, group = match.lastgroup, match.lastindex
        if kind == "line":
            line, line_start = line + 1, match.end()
            continue
        value = match[group]
        start = match.start(group)
        column = start - line_start + 1
        if kind == "word":
            yield Token(DASH if value == "-" else WORD, value, line, column)
        elif kind == "mark":
            yield Token(value, value, line, column)
        elif kind == "quoted":
            yield Token(QUOTED, value[1:-1], line, column)
            if "\n" in value:
                line, line_start = line + value.count("\n"), start + value.rindex("\n") + 1
        else:
            yield Token(kind, value, line, column)  # END or ILLEGAL
            if kind == END:
                return
        count += 1
        if count >= MAX_TOKENS:
            yield Token(ILLEGAL, "after {} tokens".format(MAX_TOKENS), line, column)
            yield Token(END, "", line, column)
            return
