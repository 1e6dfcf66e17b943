# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens to the syntax tree: recursive descent along the grammar table.

Every problem is reported. After one, reading goes on at the next ``;`` or ``}`` of the same block: the directive stays
in the tree as ``broken`` (or its block as ``damaged``), so that later checks don't complain about its absence.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import hints
from .grammar import CONTEXTS, RACOON2, TOP, Rule, rule_of
from .lexer import CLOSE, END, ILLEGAL, OPEN, QUOTED, SEMICOLON, WORD, Token, tokenize
from .model import STRING, Block, Directive, Item, Node, Position, Word
from .problem import Problems
from .syntax import SYNTAX, Element, Sequence

BYTE_ORDER_MARK = "\ufeff"


class _Mismatch(Exception):
    """The token at hand can't stand here."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint


class _Unclosed(Exception):
    """A section begins inside another: some block above lacks its closing brace."""


def parse(text: str, file: str, problems: Problems) -> tuple[Node, ...]:
    """The sections of one file's text. What is wrong goes to ``problems``, with ``file`` as the name in messages."""
    return _Parser(tokenize(text), file, problems).sections()


class _Parser:
    """Reads ``_token``, knows ``_previous`` and sees one ahead, ``_following``. ``_depth`` counts open braces."""

    def __init__(self, tokens: Iterator[Token], file: str, problems: Problems):
        self._tokens = tokens
        self._previous = self._token = next(tokens)
        self._following = next(tokens, self._token)
        self._depth = 0
        self._file = file
        self._problems = problems
        self._words: dict[int, frozenset[str]] = {}

    # ---- Statements -------------------------------------------------------------------------------------------------

    def sections(self) -> tuple[Node, ...]:
        nodes: list[Node] = []
        while self._token.kind != END and not self._problems.full:
            if self._token.kind == ILLEGAL:
                if self._illegal_between_sections():
                    break
                continue
            self._depth = 0
            self._add_statement(TOP, nodes)
        if not nodes and not self._problems.errors:
            self._problems.error(self._token.at(self._file), "the file has no section", "at least one is required")
        return tuple(nodes)

    def _illegal_between_sections(self) -> bool:
        """Report the character; whether the rest of the file is then ignored."""
        token = self._take()
        position = token.at(self._file)
        if token.text == BYTE_ORDER_MARK:
            self._problems.error(position, "the file starts with a byte order mark", "save it as UTF-8 without BOM")
            return False
        message = "illegal character {} between sections".format(hints.named(token))
        if self._problems.dialect == RACOON2:
            message += ": the rest of the file is ignored"
        self._problems.deviation(position, message, "ignores the rest of the file without a word")
        return self._problems.dialect == RACOON2

    def _add_statement(self, context: str, nodes: list[Node]) -> bool:
        """Read one statement into ``nodes``; False if something stood there that left no trace in them."""
        start, depth, count = self._token, self._depth, len(nodes)
        try:
            self._statement(context, nodes)
            return True
        except _Mismatch as mismatch:
            self._problems.error(self._token.at(self._file), mismatch.message, mismatch.hint)
        except _Unclosed:
            if context != TOP:
                raise
        if len(nodes) == count:
            self._keep_broken(context, start, nodes)
        self._recover(start, depth)
        return len(nodes) > count

    def _statement(self, context: str, nodes: list[Node]) -> None:
        name = self._token
        rules = CONTEXTS[context]
        rule = (rules.get(name.text) if name.kind == WORD else None) or rules.get("")
        if rule is None or not rule.known(self._problems.dialect):
            self._refuse_name(context, name)
        if rule.name:
            self._advance()
        if rule.argument == "block":
            self._block(rule, name, nodes)
        else:
            nodes.append(self._directive(rule, name))
        self._end_statement(name)

    def _refuse_name(self, context: str, name: Token) -> None:
        begins = name.kind == WORD and self._following.kind in (WORD, QUOTED, OPEN)
        if context != TOP and begins and name.text in CONTEXTS[TOP]:
            self._problems.error(
                name.at(self._file),
                "section {} begins inside a {} block".format(name.text, context),
                'a block above lacks its closing "};"',
            )
            raise _Unclosed
        if name.kind == ILLEGAL:
            raise _Mismatch("illegal character {}".format(hints.shown(name.text)), hints.for_illegal(name.text))
        place = "section" if context == TOP else "directive of {}".format(context)
        raise _Mismatch(
            "unknown {}: {}".format(place, hints.named(name)),
            hints.for_name(name.text, context, self._problems.dialect),
        )

    def _block(self, rule: Rule, name: Token, nodes: list[Node]) -> None:
        position = name.at(self._file)
        index = self._index() if rule.indexed else None
        if self._token.kind != OPEN:
            raise self._expected("{{ after {}".format(name.text))
        opened = self._take()
        body: list[Node] = []
        damaged = False
        try:
            while self._token.kind not in (CLOSE, END) and not self._problems.full:
                damaged |= not self._add_statement(rule.name, body)
        except _Unclosed:
            nodes.append(Block(rule.name, index, tuple(body), position, True))
            raise
        nodes.append(Block(rule.name, index, tuple(body), position, damaged))
        if self._token.kind != CLOSE:
            raise self._expected("}} for the block that begins at line {}".format(opened.line))
        self._take()
        if not body and not damaged and not rule.empty:
            self._problems.error(position, "{} is empty".format(nodes[-1].label), "at least one directive is required")

    def _directive(self, rule: Rule, name: Token) -> Directive:
        position = name.at(self._file)
        words = self._words_of(rule)
        if rule.listed and self._token.kind == OPEN:
            return Directive(rule.name, self._list(rule, words), True, position)
        item = self._item(rule, words)
        if rule.argument == "hook":
            self._end_item()
            if self._token.kind != SEMICOLON:
                raise _Mismatch(
                    "the short form of script ends in two semicolons", "write script { event path; }; instead"
                )
        return Directive(rule.name, (item,), False, position)

    def _list(self, rule: Rule, words: frozenset[str]) -> tuple[Item, ...]:
        self._take()
        items = []
        while self._token.kind != CLOSE:
            items.append(self._item(rule, words))
            self._end_item()
        if not items and not rule.empty:
            raise _Mismatch("the list is empty")
        self._take()
        return tuple(items)

    def _end_item(self) -> None:
        if self._token.kind != SEMICOLON:
            raise self._expected("; after {}".format(hints.named(self._previous)))
        self._advance()

    def _end_statement(self, name: Token) -> None:
        """Take the ``;``. Where it is merely missing at a line's end, say so and read on."""
        token = self._token
        if token.kind == SEMICOLON:
            self._advance()
            return
        previous = self._previous
        if token.kind in (CLOSE, END) or token.line > previous.line:
            after = Position(self._file, previous.line, previous.column + previous.width)
            self._problems.error(
                after, "expected ; after {}".format(hints.named(previous)), hints.for_semicolon(previous.kind)
            )
            return
        raise self._expected("; after {}".format(hints.named(previous)), hints.for_surplus(name.text, token))

    # ---- Values -----------------------------------------------------------------------------------------------------

    def _item(self, rule: Rule, words: frozenset[str]) -> Item:
        alternatives = SYNTAX[rule.argument]
        for sequence in alternatives:
            if sequence[0].fits(self._token, words):
                taken: list[Word] = []
                self._sequence(sequence, words, taken, rule)
                return tuple(taken)
        raise self._unfit(alternatives, rule)

    def _sequence(self, sequence: Sequence, words: frozenset[str], taken: list[Word], rule: Rule) -> None:
        for element in sequence:
            if element.group:
                if element.group[0].fits(self._token, words):
                    self._sequence(element.group, words, taken, rule)
            elif element.fits(self._token, words):
                taken.append(self._word(element))
            else:
                raise self._unfit((sequence[sequence.index(element) :],), rule)

    def _index(self) -> Word:
        if not _INDEX.fits(self._token, frozenset()):
            raise self._expected(_INDEX.expected, hints.for_string(self._token))
        return self._word(_INDEX)

    def _word(self, element: Element) -> Word:
        """The token at hand, which fits the element."""
        token = self._token
        self._advance()
        return Word(token.text, element.kind, token.at(self._file))

    def _unfit(self, alternatives: tuple[Sequence, ...], rule: Rule) -> _Mismatch:
        words = self._words_of(rule)
        expected = " or ".join(_expectation(sequence[0], words) for sequence in alternatives)
        message = "{}: expected {}, found {}".format(rule.name or "range", expected, hints.named(self._token))
        return _Mismatch(message, hints.for_value(self._token, rule, self._problems.dialect))

    def _words_of(self, rule: Rule) -> frozenset[str]:
        words = self._words.get(id(rule))
        if words is None:
            words = self._words[id(rule)] = frozenset(rule.known_words(self._problems.dialect))
        return words

    # ---- Tokens -----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Go on to the next token; END stays."""
        self._previous = self._token
        self._token = self._following
        self._following = next(self._tokens, self._following)

    def _take(self) -> Token:
        """Go on over a token that may be a brace."""
        token = self._token
        if token.kind == OPEN:
            self._depth += 1
        elif token.kind == CLOSE:
            self._depth -= 1
        self._advance()
        return token

    def _expected(self, what: str, hint: str = "") -> _Mismatch:
        return _Mismatch("expected {}, found {}".format(what, hints.named(self._token)), hint)

    def _keep_broken(self, context: str, name: Token, nodes: list[Node]) -> None:
        """Leave a trace of a statement whose name was right, so that nothing calls it missing."""
        rule = rule_of(context, name.text) if name.kind == WORD else None
        if rule is not None and rule.argument != "block":
            nodes.append(Directive(rule.name, position=name.at(self._file), broken=True))

    def _recover(self, start: Token, depth: int) -> None:
        """Skip to the end of the statement that began at ``start``, at this depth of braces."""
        while self._token.kind != END:
            kind = self._token.kind
            if kind == CLOSE and self._depth <= depth:
                if depth > 0:
                    return
                self._depth = 1  # a stray brace between sections
            if self._at_section(depth) and self._token is not start:
                return
            self._take()
            if kind == SEMICOLON and self._depth <= depth:
                return

    def _at_section(self, depth: int) -> bool:
        """Whether a section seems to begin here: at column 1, by its name. Only for recovery between sections."""
        token = self._token
        return depth == 0 and token.column == 1 and token.kind == WORD and token.text in CONTEXTS[TOP]


_INDEX = Element("STRING", STRING)


def _expectation(element: Element, words: frozenset[str]) -> str:
    return hints.one_of(words) if element.name == "WORD" else element.expected
