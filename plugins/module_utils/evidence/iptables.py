# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading ``iptables-save`` and ``ip6tables-save`` into the common form of a packet filter."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace

from . import packet_filter as form
from .packet_filter import Chain, Condition, Filter, Rule

_HOOKS = {"INPUT": form.INPUT, "FORWARD": form.FORWARD, "OUTPUT": form.OUTPUT, "POSTROUTING": form.POSTROUTING}
_PRIORITIES = {"raw": -300, "mangle": -150, "nat": 100}
_TARGETS = {
    "ACCEPT": form.ACCEPT,
    "DROP": form.DROP,
    "REJECT": form.DROP,
    "RETURN": form.RETURN,
    "MASQUERADE": form.NAT,
    "SNAT": form.NAT,
}
_IN_PART = re.compile(r"^# Table `(\w+)' contains incompatible", re.MULTILINE)
_HARMLESS = ("LOG", "NFLOG", "TCPMSS", "MARK", "CONNMARK", "CT", "NOTRACK", "CHECKSUM")

# What takes one argument; options of a target stand after -j and are passed over.
_OPTIONS = {
    "-s": form.SOURCE,
    "-d": form.DESTINATION,
    "-p": form.PROTOCOL,
    "-i": form.IN_DEVICE,
    "-o": form.OUT_DEVICE,
    "--dport": form.PORT,
    "--dports": form.PORT,
    "--ctstate": form.STATE,
    "--state": form.STATE,
    "--pol": form.IPSEC,
}
_IGNORED = ("-m", "--comment", "--dir")


def read_iptables(text: str, family: int = 4) -> Filter:
    """The chains of ``iptables-save``'s output."""
    chains: dict[tuple[str, str], Chain] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            chains[table, name] = _chain(table, name, policy, family)
        elif line.startswith("-A "):
            name = line.split()[1]
            chain = chains.get((table, name)) or _chain(table, name, "-", family)
            chains[table, name] = replace(chain, rules=(*chain.rules, _rule(line)))
    return Filter(tuple(chains.values()))


def tables_of(text: str, family: int = 4) -> frozenset[str]:
    """The tables that an ``iptables-save`` of the nf_tables kind has told of, as nftables calls them; else none.

    One with chains that iptables can't show is told of only in part, so it isn't among them.
    """
    if "(nf_tables)" not in text:
        return frozenset()
    prefix = "ip6" if family == 6 else "ip"
    told = {line[1:].strip() for line in text.splitlines() if line.startswith("*")} - set(_IN_PART.findall(text))
    return frozenset("{} {}".format(prefix, table) for table in told)


def _chain(table: str, name: str, policy: str, family: int) -> Chain:
    hook = _HOOKS.get(name, "") if policy != "-" else ""
    return Chain(
        table="ip{}tables {}".format("6" if family == 6 else "", table),
        name=name,
        families=(family,),
        rules=(),
        kind=form.NAT_TYPE if table == "nat" else form.FILTER_TYPE,
        hook=hook,
        priority=_PRIORITIES.get(table, 0),
        policy=form.DROP if policy == "DROP" else form.ACCEPT,
    )


def _rule(line: str) -> Rule:
    words = shlex.split(line)[2:]
    target, jump, verdict = "", "", form.CONTINUE
    for word in ("-j", "-g"):
        if word in words:
            at = words.index(word)
            words, jump, target = words[:at], word, words[at + 1]
    if target in _TARGETS:
        verdict, chain = _TARGETS[target], ""
    elif target and target not in _HARMLESS:
        verdict, chain = (form.GOTO if jump == "-g" else form.JUMP), target
    else:
        chain = ""
    return Rule(tuple(_conditions(words)), verdict, chain, line, clamps=target == "TCPMSS")


def _conditions(words: list[str]) -> Iterator[Condition]:
    negated = False
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "!":
            negated = True
            continue
        if word in _OPTIONS or word in _IGNORED:
            argument = words[position]
            position += 1
            if word in _OPTIONS:
                yield _condition(_OPTIONS[word], argument, negated)
        elif word.startswith("-"):
            yield Condition(form.UNKNOWN)
        negated = False


def _condition(field: str, argument: str, negated: bool) -> Condition:
    if field == form.IPSEC:
        return Condition(field, (), negated != (argument == "none"))
    if field == form.PORT:
        ranges = [_range(text) for text in argument.split(",")]
        return Condition(field, tuple(ranges), negated) if None not in ranges else Condition(form.UNKNOWN)
    if field == form.STATE:
        return Condition(field, tuple(argument.lower().split(",")), negated)
    if field in (form.IN_DEVICE, form.OUT_DEVICE):
        return Condition(field, (argument.replace("+", "*"),), negated)
    return Condition(field, tuple(argument.split(",")), negated)


def _range(text: str) -> tuple[int, int] | None:
    first, _colon, last = text.partition(":")
    return (int(first), int(last or first)) if first.isdigit() and (last or first).isdigit() else None
