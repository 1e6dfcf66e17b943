# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""References: from selectors to policies, remotes, ipsecs and sas; who leads where, and what leads nowhere."""

from __future__ import annotations

import difflib

from . import view
from .model import Block, Configuration, Directive
from .problem import Problems

MAX_CANDIDATES = 200  # beyond, no name is guessed: comparing takes its time
MAX_GUESSES = 20


def check_references(configuration: Configuration, index: view.Index, problems: Problems) -> set[int]:
    """Report references that lead nowhere; return the identities (``id()``) of the sections that selectors reach."""
    references = _References(index, problems)
    for section in configuration.all("selector"):
        references.selector(section)
    references.repeated(configuration)
    return references.reached


class _References:
    def __init__(self, index: view.Index, problems: Problems):
        self.reached: set[int] = set()
        self._index = index
        self._problems = problems
        self._guesses = 0

    def selector(self, selector: Block) -> None:
        for name in ("direction", "src", "dst"):
            self._require(selector, name, "spmd then refuses to run")
        if self._require(selector, "policy_index", "spmd skips the selector and iked refuses to start"):
            for policy in self._targets(selector, "policy_index", "policy"):
                if self._is_new(policy):
                    self._policy(policy)

    def _policy(self, policy: Block) -> None:
        self._remote(policy)
        for ipsec in self._targets(policy, "ipsec_index", "ipsec"):
            if self._is_new(ipsec):
                self._ipsec(ipsec)

    def _remote(self, policy: Block) -> None:
        for name, directive in self._names(policy, "remote_index"):
            if self._index.find("remote", name) is None:
                self._problems.deviation(
                    directive.position,
                    "no remote {}{}".format(name, self._guess("remote", name)),
                    "loads this, and spmd then crashes",
                    fatal=True,
                )

    def _ipsec(self, ipsec: Block) -> None:
        protocols: set[object] = set()
        for sa in self._targets(ipsec, "sa_index", "sa"):
            self.reached.add(id(sa))
            directive = view.chosen(sa, "sa_protocol")
            if directive is None:
                self._missing_protocol(sa)
                continue
            protocol = directive.items[0][0].text
            if protocol in protocols:
                self._problems.error(
                    ipsec.position, "{} has two sas of protocol {}".format(ipsec.label, protocol), "one per protocol"
                )
            protocols.add(protocol)

    def _missing_protocol(self, sa: Block) -> None:
        if not sa.damaged and not sa.has("sa_protocol"):
            self._problems.error(sa.position, "{} has no sa_protocol".format(sa.label))

    def repeated(self, configuration: Configuration) -> None:
        for section in configuration.sections:
            if isinstance(section, Block) and section.index is not None:
                name = self._index.name(section)
                if self._index.find(section.name, name) is not section:
                    self._problems.warning(
                        section.index.position, "a second {} {}: only the first one counts".format(section.name, name)
                    )

    def _require(self, selector: Block, name: str, consequence: str) -> bool:
        if not selector.has(name) and not selector.damaged:
            self._problems.deviation(
                selector.position,
                "{} has no {}".format(selector.label, name),
                "loads this, but {}".format(consequence),
                fatal=True,
            )
        return selector.has(name)

    def _targets(self, block: Block, directive: str, section: str) -> list[Block]:
        """The sections that a directive names; those that don't exist are reported."""
        found = []
        for name, node in self._names(block, directive):
            target = self._index.find(section, name)
            if target is not None:
                found.append(target)
            else:
                self._problems.error(node.position, "no {} {}{}".format(section, name, self._guess(section, name)))
        return found

    def _names(self, block: Block, name: str) -> list[tuple[str, Directive]]:
        directive = view.chosen(block, name)
        if directive is None:
            return []
        return [(text, directive) for text in self._index.strings(block, name)]

    def _is_new(self, block: Block) -> bool:
        known = id(block) in self.reached
        self.reached.add(id(block))
        return not known

    def _guess(self, section: str, name: str) -> str:
        names = self._index.names(section)
        self._guesses += 1
        if len(names) > MAX_CANDIDATES or self._guesses > MAX_GUESSES:
            return ""
        close = difflib.get_close_matches(name, names, n=1)
        return ": did you mean {}?".format(close[0]) if close else ""
