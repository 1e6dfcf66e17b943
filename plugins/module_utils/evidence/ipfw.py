# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading ``ipfw list`` (ipfw(8)) into the common form of a packet filter.

ipfw sees a packet when it comes in and when it goes out, forwarded or not: INPUT and OUTPUT. The first rule that
applies wins. What goes on elsewhere (``skipto``, ``divert``, ``nat``, ``pipe``) isn't followed, and stays a doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import packet_filter as form
from .packet_filter import Chain, Condition, Filter, Rule

_ACCEPTING = ("allow", "accept", "pass", "permit")
_DROPPING = ("deny", "drop", "reject", "reset", "reset6", "unreach", "unreach6")
_GOING_ON = ("count", "check-state", "setfib", "setdscp", "tag", "untag")
_ANY_PROTOCOL = ("ip", "all")
_FAMILIES = {"ip4": 4, "ipv4": 4, "ip6": 6, "ipv6": 6}
_UNKNOWN = Condition(form.UNKNOWN)


def read_ipfw(text: str, own: Sequence[str]) -> Filter:
    """``own`` are this host's addresses, for ``me``."""
    bare = (line.partition("//")[0].strip() for line in text.splitlines())  # without comments
    lines = [line for line in bare if line[:1].isdigit() and len(line.split()) > 1]
    return Filter(
        tuple(
            Chain(
                "ipfw",
                "rules",
                (4, 6),
                tuple(_rule(line, direction, own) for line in lines),
                form.FILTER_TYPE,
                hook,
            )
            for direction, hook in (("in", form.INPUT), ("out", form.OUTPUT))
        )
    )


def _rule(line: str, direction: str, own: Sequence[str]) -> Rule:
    """``00500 allow udp from any to me 500 in via em0 keep-state``."""
    _number, action, *words = line.replace("{", " { ").replace("}", " } ").split()
    verdict, certain = form.DROP, True
    if action in _ACCEPTING:
        verdict = form.ACCEPT
    elif action in _GOING_ON:
        return Rule((), form.CONTINUE, "", line)
    elif action not in _DROPPING:
        certain = False
    if action in ("unreach", "unreach6"):
        del words[:1]
    if words[:1] == ["log"]:
        del words[: 3 if words[1:2] == ["logamount"] else 1]
    conditions = tuple(_body(words, direction, own))
    return Rule(conditions if certain else (*conditions, _UNKNOWN), verdict, "", line)


def _body(words: Sequence[str], direction: str, own: Sequence[str]) -> Iterator[Condition]:
    rest = list(words)
    if "from" in rest[:2]:
        yield from _protocol(rest.pop(0))
        del rest[0]
        yield from _end(rest, form.SOURCE, own)
        if rest[:1] == ["to"]:
            del rest[0]
            yield from _end(rest, form.DESTINATION, own)
    yield from _options(rest, direction)


def _protocol(word: str) -> Iterator[Condition]:
    if word in _FAMILIES:
        yield Condition(form.FAMILY, (_FAMILIES[word],))
    elif word not in _ANY_PROTOCOL:
        yield Condition(form.PROTOCOL, (word,))


def _end(rest: list[str], field: str, own: Sequence[str]) -> Iterator[Condition]:
    """An address or list of them, and ports. ``table(1)`` and ``{ a or b }`` aren't known."""
    negated = rest[:1] == ["not"]
    del rest[: int(negated)]
    word = rest.pop(0) if rest else "any"
    if word == "{":
        del rest[: rest.index("}") + 1 if "}" in rest else len(rest)]
        yield _UNKNOWN
    elif word in ("me", "me6"):
        yield Condition(field, tuple(own), negated)
    elif word != "any":
        yield Condition(field, tuple(word.split(",")), negated)
    if rest and rest[0][:1].isdigit():
        yield _ports(rest.pop(0), field)


def _ports(word: str, field: str) -> Condition:
    """``500,4500`` or ``1024-65535``; a source's aren't followed."""
    ranges = []
    for part in word.split(","):
        low, _dash, high = part.partition("-")
        if not (low.isdigit() and (high or low).isdigit()):
            return _UNKNOWN
        ranges.append((int(low), int(high or low)))
    return Condition(form.PORT, tuple(ranges)) if field == form.DESTINATION else _UNKNOWN


def _options(rest: list[str], direction: str) -> Iterator[Condition]:
    own_device = form.IN_DEVICE if direction == "in" else form.OUT_DEVICE
    while rest:
        word = rest.pop(0)
        if word in ("in", "out"):
            if word != direction:
                yield Condition(form.PROTOCOL)  # none: the rule is for the other direction
        elif word == "via" and rest:
            yield Condition(own_device, (rest.pop(0),))
        elif word in ("recv", "xmit") and rest:
            yield Condition(form.IN_DEVICE if word == "recv" else form.OUT_DEVICE, (rest.pop(0),))
        elif word == "dst-port" and rest:
            yield _ports(rest.pop(0), form.DESTINATION)
        elif word == "established":
            yield Condition(form.STATE, ("established",))
        elif word not in ("keep-state", "setup", "limit") and not word.startswith(":"):
            yield _UNKNOWN
