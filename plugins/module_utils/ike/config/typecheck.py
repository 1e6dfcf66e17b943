# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loader's second pass: types of every value, repetitions, references.

As upstream, policies, ipsecs and sas are only held to their types when a selector leads to them: what is wrong in
the others is a warning.
"""

from __future__ import annotations

from . import view
from .grammar import CONTEXTS, IKEV2, KINK, RACOON2, TANUKI, TOP, UNSUPPORTED, Rule
from .model import Block, Configuration, Directive, Item, Node, Position
from .problem import Problems
from .references import check_references
from .settings import Identity
from .values import ICMP_PROTOCOLS, MOBILITY_HEADER, Place, Reader, UpperProtocol
from .variables import definitions, variables_of

REACHED_ONLY = ("policy", "ipsec", "sa")
READ_BY_PARSER = ("boolean", "word")  # arguments in which nothing is left to check


def check_types(configuration: Configuration, problems: Problems) -> None:
    """Report everything for which upstream's loader refuses a file that parses."""
    reader = Reader(variables_of(configuration), problems.dialect)
    _check_definitions(configuration, problems)
    _check_repetition(TOP, configuration.sections, problems)
    reached = check_references(configuration, view.Index(configuration, reader), problems)
    for section in configuration.sections:
        if not isinstance(section, Block):
            continue
        if section.name in REACHED_ONLY and id(section) not in reached:
            _check_unreached(section, reader, problems)
        else:
            _Checker(reader, problems).block(TOP, section)


def _check_definitions(configuration: Configuration, problems: Problems) -> None:
    """setval: values are expanded before any name is known, so that only the environment can stand in them."""
    bare = variables_of(Configuration())
    seen: set[str] = set()
    for name, value in definitions(configuration):
        try:
            known = bare.expand(name.text)
            expanded = bare.expand(value.text)
        except ValueError as error:
            hint = "a value of setval cannot use another one" if "${" in value.text else ""
            problems.error(value.position, "setval {}: {}".format(name.text, error), hint)
            continue
        if known in seen:
            problems.warning(name.position, "{} is defined twice, the first value counts".format(known))
        elif not expanded and problems.dialect == RACOON2:
            problems.warning(
                value.position, "{} is empty: using it makes racoon2 abort".format(known), "leave it out", fatal=True
            )
        seen.add(known)


def _check_unreached(section: Block, reader: Reader, problems: Problems) -> None:
    """Where no selector leads, upstream checks the syntax only."""
    unreached = Problems(problems.dialect)
    _Checker(reader, unreached).block(TOP, section)
    for problem in unreached.found:
        message = "{} ({} is not used)".format(problem.message, section.label)
        problems.warning(Position(problem.file, problem.line, problem.column), message, problem.hint)


def _check_repetition(context: str, nodes: tuple[Node, ...], problems: Problems) -> None:
    rules = CONTEXTS[context]
    seen: set[str] = set()
    for node in nodes:
        rule = rules.get(node.name)
        if rule is None or not rule.name or rule.indexed or rule.argument == "pattern":
            continue
        if node.name not in seen:
            seen.add(node.name)
        elif rule.single:
            problems.error(node.position, "{} stands twice".format(node.name), "put all of it into one")
        else:
            counts = "first" if context == IKEV2 and isinstance(node, Directive) else "last"
            problems.warning(node.position, "{} stands twice, the {} one counts".format(node.name, counts))


class _Checker:
    """Walks the blocks of one section."""

    def __init__(self, reader: Reader, problems: Problems):
        self._reader = reader
        self._problems = problems

    def block(self, context: str, block: Block) -> None:
        if block.index is not None:
            self._index(block)
        _check_repetition(block.name, block.body, self._problems)
        self._effect(context, CONTEXTS[context][block.name], block)
        for node in block.body:
            if isinstance(node, Block):
                self.block(block.name, node)
            elif not node.broken:
                self._directive(block.name, CONTEXTS[block.name][node.name], node)

    def _index(self, block: Block) -> None:
        try:
            self._reader.string((block.index,))
        except ValueError as error:
            self._problems.error(block.index.position, str(error))

    def _directive(self, context: str, rule: Rule, directive: Directive) -> None:
        if rule.argument not in READ_BY_PARSER:
            for item in directive.items:
                self._item(rule, item)
        if rule.argument == "group" and len({item[0].kind for item in directive.items}) > 1:
            self._problems.error(directive.position, "names and numbers of groups do not mix in one list")
        if directive.name == "peers_kmp_port":
            self._problems.error(
                directive.position, "peers_kmp_port never loads", "write the port after the address in peers_ipaddr"
            )
        self._effect(context, rule, directive)

    def _item(self, rule: Rule, item: Item) -> None:
        position = item[0].position
        self._reader.deviations.clear()
        try:
            value = self._reader.read(rule, item)
        except ValueError as error:
            self._problems.error(position, "{}: {}".format(rule.name or "range", error))
            return
        for message, upstream in self._reader.deviations:
            self._problems.deviation(position, "{}: {}".format(rule.name, message), upstream)
        surprise = _surprise(rule, item, value)
        if surprise:
            self._problems.warning(position, "{}: {}".format(rule.name, surprise))

    def _effect(self, context: str, rule: Rule, node: Node) -> None:
        """Name what is read without effect."""
        if context in rule.idle and self._problems.dialect == RACOON2:
            self._problems.warning(node.position, "racoon2 ignores {} in {}".format(node.name, context))
        elif rule.ours == UNSUPPORTED and self._problems.dialect == TANUKI and context != KINK:
            self._problems.warning(node.position, "{} has no effect here".format(node.name))


def _surprise(rule: Rule, item: Item, value: object) -> str:
    """What a value means other than it seems to; "" where all is well."""
    if rule.argument == "number" and value < 0:
        return "{} is negative".format(value)
    if rule.argument == "algorithm" and value.key:
        return "the key of {} is ignored: keys come from IKE".format(value.name)
    if isinstance(value, Identity) and len(item) > 2 and value.kind != "keyid":
        return "{} is ignored for an identity of type {}".format(item[1].text, value.kind)
    if isinstance(value, Place) and value.path and rule.name != "spmd":
        return "a unix socket serves spmd only"
    if isinstance(value, UpperProtocol) and value.extra:
        return _surplus_numbers(value)
    return ""


def _surplus_numbers(protocol: UpperProtocol) -> str:
    allowed = 2 if protocol.number in ICMP_PROTOCOLS else int(protocol.number == MOBILITY_HEADER)
    if len(protocol.extra) <= allowed:
        return ""
    return "protocol {} takes {} numbers after it".format(protocol.number, allowed or "no")
