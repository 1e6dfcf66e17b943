# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading ``pfctl -sr`` and ``pfctl -sn`` (pf.conf(5)) into the common form of a packet filter.

pf has directions where the common form has hooks: what comes in is INPUT, what goes out is OUTPUT, forwarded or not.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence

from . import packet_filter as form
from .packet_filter import Chain, Condition, Filter, Rule

Own = Mapping[str, Sequence[str]]  # an interface's addresses, for `(em0)`

_WORD = re.compile(r'"[^"]*"|\([^)]*\)|\S+')
_DIRECTIONS = {"in": form.INPUT, "out": form.OUTPUT}
_FAMILIES = {"inet": 4, "inet6": 6}
_UNKNOWN = Condition(form.UNKNOWN)
_COMPARISONS = ("=", "!=", "<", ">", "<=", ">=")

# Words that don't decide whether a rule applies, with the number of words that belong to each
_HARMLESS = {
    "quick": 0, "all": 0, "log": 0, "keep": 1, "modulate": 1, "synproxy": 1, "no": 1, "allow-opts": 0, "label": 1,
    "tag": 1, "queue": 1, "ridentifier": 1, "reply-to": 1, "return": 0, "drop": 0, "return-rst": 0, "return-icmp": 0,
}  # fmt: skip


def read_pf(rules: str, translations: str, own: Own, skipped: Collection[str] = ()) -> Filter:
    """The rules that are in force. ``skipped`` are the interfaces that pf leaves alone.

    The last rule that applies wins, or the first one with ``quick``. So the quick ones are walked first, then the
    others from the last to the first. What an anchor holds isn't shown: it stays a doubt.
    """
    chains = []
    for direction, hook in _DIRECTIONS.items():
        device = form.IN_DEVICE if hook == form.INPUT else form.OUT_DEVICE
        spared = [Rule((Condition(device, (name,)),), form.ACCEPT, "", "set skip on " + name) for name in skipped]
        read = [_rule(line, device, own) for line in rules.splitlines() if _concerns(line, direction)]
        quick = [rule for is_quick, rule in read if is_quick]
        others = [rule for is_quick, rule in reversed(read) if not is_quick]
        chains.append(Chain("pf", "rules", (4, 6), (*spared, *quick, *others), form.FILTER_TYPE, hook))
    translated = tuple(_translation(line, own) for line in translations.splitlines() if line.strip())
    chains.append(Chain("pf", "nat", (4, 6), translated, form.NAT_TYPE, form.POSTROUTING))
    return Filter(tuple(chains))


def read_skipped(text: str) -> list[str]:
    """``pfctl -sI -v``: the interfaces that are marked with ``(skip)``."""
    return [line.split()[0] for line in text.splitlines() if line[:1].strip() and line.rstrip().endswith("(skip)")]


def _concerns(line: str, direction: str) -> bool:
    """Whether a line decides about packets of a direction; one without any decides about both."""
    words = _WORD.findall(line)
    if not words or words[0] not in ("block", "pass", "anchor"):
        return False
    return next((word for word in words if word in _DIRECTIONS), direction) == direction


def _rule(line: str, device: str, own: Own) -> tuple[bool, Rule]:
    """Whether it's walked first, and the rule."""
    action, *words = _WORD.findall(line)
    if action == "anchor":
        return True, Rule((_UNKNOWN,), form.DROP, "", line.strip())
    verdict = form.DROP if action == "block" else form.ACCEPT
    conditions = tuple(_conditions([word for word in words if word not in _DIRECTIONS], device, own))
    return "quick" in words, Rule(conditions, verdict, "", line.strip())


def _translation(line: str, own: Own) -> Rule:
    """``nat on em0 inet from A to B -> C``; the first that applies wins. What is redirected comes in."""
    action, *words = _WORD.findall(line)
    verdict = form.NAT
    if action == "no" and words:
        action, *words = words
        verdict = form.ACCEPT
    if action.endswith("-anchor"):
        return Rule((_UNKNOWN,), form.NAT, "", line.strip())
    if action not in ("nat", "binat"):
        return Rule((), form.CONTINUE, "", line.strip())
    body = words[: words.index("->")] if "->" in words else words
    conditions = _conditions([word for word in body if word != "pass"], form.OUT_DEVICE, own)
    return Rule(tuple(conditions), verdict, "", line.strip())


def _conditions(words: Sequence[str], device: str, own: Own) -> Iterator[Condition]:
    """A rule's conditions. A word that isn't understood becomes a condition of which nothing is known."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in _HARMLESS:
            del rest[: _HARMLESS[word]]
            if rest[:1] and rest[0].startswith("("):  # keep state (if-bound)
                del rest[0]
        elif word in _FAMILIES:
            yield Condition(form.FAMILY, (_FAMILIES[word],))
        elif word == "on":
            yield _one(rest, device)
        elif word == "proto":
            yield _one(rest, form.PROTOCOL)
        elif word in ("from", "to"):
            yield from _end(rest, form.SOURCE if word == "from" else form.DESTINATION, own)
        elif word == "flags" and rest[:1] in (["S/SA"], ["any"]):
            del rest[0]  # the first packet of a connection, and all that isn't TCP
        else:
            yield _UNKNOWN


def _one(rest: list[str], field: str) -> Condition:
    negated = _negated(rest)
    return Condition(field, (rest.pop(0) if rest else "",), negated)


def _negated(rest: list[str]) -> bool:
    negated = rest[:1] == ["!"]
    del rest[: int(negated)]
    return negated


def _end(rest: list[str], field: str, own: Own) -> Iterator[Condition]:
    """``any``, an address, a network, ``(em0)`` or ``<table>``, with ``!`` before and a port after it."""
    negated = _negated(rest)
    value = rest.pop(0) if rest else "any"
    if value != "any":
        interface = value.strip("()").partition(":")[0]
        # A table's name, or that of an interface that isn't there, is no address: nothing is known of it then.
        values = own.get(interface, (value,)) if value.startswith("(") else (value,)
        yield Condition(field, tuple(values), negated)
    if rest[:1] == ["port"]:
        del rest[0]
        yield _port(rest, field)


def _port(rest: list[str], field: str) -> Condition:
    """``port = isakmp``, ``port 500:4500``; other comparisons, and a source's port, aren't followed."""
    comparison = rest.pop(0) if rest and rest[0] in _COMPARISONS else "="
    low, _colon, high = (rest.pop(0) if rest else "").partition(":")
    if rest[:1] in (["><"], ["<>"]):
        del rest[:2]
        return _UNKNOWN
    numbers = _number(low), _number(high or low)
    if field == form.SOURCE or None in numbers or comparison not in ("=", "!="):
        return _UNKNOWN
    return Condition(form.PORT, (numbers,), comparison == "!=")


def _number(name: str) -> int | None:
    """A port's number; pfctl prints the names of /etc/services."""
    try:
        return int(name) if name.isdigit() else socket.getservbyname(name)
    except OSError:
        return None
