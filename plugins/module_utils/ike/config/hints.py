# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What probably was meant: hints for syntax errors whose cause is known."""

from __future__ import annotations

import difflib
import re

from .grammar import CONTEXTS, RESERVED, TANUKI, TOP, WORD_CLASSES, Rule, contexts_of
from .lexer import CLOSE, END, ILLEGAL, OPEN, QUOTED, WORD, Token

MAX_GUESS = 64  # longer words are not compared with the known ones
MAX_SHOWN = 40

_NUMBER_AND_UNIT = re.compile(r"([0-9]+)([A-Za-z]+)\Z")
_CHARACTERS = {
    "\r": "a carriage return without line feed",
    "\f": "a form feed",
    "\v": "a vertical tab",
    '"': "a quote that is never closed",
    "\u00a0": "a no-break space",
}
_MISNAMED = {"user_fqdn": "email", "address": "ipaddr", "asn1dn": "x509_subject", "pre_shared_key": "psk"}


def shown(text: str) -> str:
    """A text as a message shows it: printable, not too long, on one line."""
    if text in _CHARACTERS:
        return _CHARACTERS[text]
    cut = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    return cut if cut.isprintable() else ascii(cut)


def named(token: Token) -> str:
    """A token as a message names it."""
    if token.kind == END:
        return "the end of the file"
    return '"{}"'.format(shown(token.text)) if token.kind == QUOTED else shown(token.text)


def one_of(words: frozenset[str]) -> str:
    """``a, b or c``."""
    ordered = sorted(words)
    if len(ordered) > 12:
        return "one of the {} names that are known here".format(len(ordered))
    return " or ".join(filter(None, (", ".join(ordered[:-1]), ordered[-1])))


def for_illegal(text: str) -> str:
    if text == "\r":
        return "lines end in LF or CRLF"
    return "" if text == '"' else "such characters stand only inside quotes and comments"


def for_name(text: str, context: str, dialect: str) -> str:
    """For an unknown directive or section."""
    if text in CONTEXTS[context]:
        return _only_ours(text)
    near = _near(text, [name for name, rule in CONTEXTS[context].items() if rule.known(dialect)])
    if near:
        return near
    elsewhere = [place for place in contexts_of(text) if place != TOP and CONTEXTS[place][text].known(dialect)]
    if elsewhere and text:
        return "it belongs in {}".format(", ".join(elsewhere))
    if text in CONTEXTS[TOP]:
        return "it belongs between the sections"
    return ""


def for_value(token: Token, rule: Rule, dialect: str) -> str:
    """For a token that doesn't fit a directive's argument."""
    if token.kind == OPEN:
        return "it takes one value, not a list"
    if token.kind == ILLEGAL:
        return for_illegal(token.text)
    if rule.argument == "pattern" and token.kind == WORD:
        return "a path to include must be quoted"
    if token.text in rule.more_words and dialect != TANUKI:
        return _only_ours(token.text)
    if rule.argument in ("time", "bytes", "number"):
        return _for_number(token, rule)
    words = set(rule.known_words(dialect)) | _class_words(rule)
    if token.kind == QUOTED and token.text in words:
        return "keywords stand without quotes"
    return _near(token.text, words) or for_string(token)


def for_string(token: Token) -> str:
    if token.kind == WORD and token.text in RESERVED:
        return "{} is a reserved word: as a string it needs quotes".format(token.text)
    return for_illegal(token.text) if token.kind == ILLEGAL else ""


def for_semicolon(kind: str) -> str:
    return "a closing brace needs a semicolon too" if kind == CLOSE else ""


def for_surplus(name: str, token: Token) -> str:
    """For a token where a statement should end."""
    if name == "include":
        return "a path to include must be quoted"
    if token.kind == WORD and token.text == "port":
        return "{} takes no port".format(name)
    return for_illegal(token.text) if token.kind == ILLEGAL else ""


def _for_number(token: Token, rule: Rule) -> str:
    if "$" in token.text:
        return "numbers are read before variables are known: write the number itself"
    glued = _NUMBER_AND_UNIT.match(token.text)
    if glued is not None and rule.argument != "number":
        return "write a blank between number and unit: {} {}".format(*glued.groups())
    if token.text == "infinite":
        return "infinite stands only for times and sizes"
    return ""


def _class_words(rule: Rule) -> frozenset[str]:
    first = {
        "boolean": "BOOLEAN",
        "identity": "ID_TYPE",
        "hook": "EVENT",
        "key pair": "KEY_TYPE",
        "public key": "KEY_TYPE",
    }
    return WORD_CLASSES.get(first.get(rule.argument, ""), frozenset())


def _only_ours(text: str) -> str:
    return "only dialect tanuki knows {}: racoon2 does not".format(text)


def _near(text: str, words: object) -> str:
    """A hint towards the word that ``text`` resembles, or nothing."""
    known = [word for word in words if word]
    if _MISNAMED.get(text) in known:
        return "did you mean {}?".format(_MISNAMED[text])
    if text.lower() in known:
        return "did you mean {}? keywords are lower case".format(text.lower())
    if len(text) > MAX_GUESS:
        return ""
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.75)
    return "did you mean {}?".format(close[0]) if close else ""
