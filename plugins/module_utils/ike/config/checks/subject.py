# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks look at: one configuration with its meaning, and what its operator said about the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .. import view
from ..effective import effective
from ..grammar import IKEV2, RACOON2, TANUKI, rule_of
from ..model import Block, Configuration, Directive, Position
from ..problem import Problems
from ..settings import Address, Effective, Remote
from ..values import Algorithm, Reader, numeric
from ..variables import variables_of


@dataclass(frozen=True)
class Options:
    """``management``: addresses that must stay reachable in clear. ``session``: (ours, theirs), the ends of the
    operator's own connection. ``files``: whether this is the gateway, so that key files are looked at, and ``owner``
    who has to own them. ``lacking``: the groups that can't be run here, and what each would need.
    """

    management: tuple[Address, ...] = ()
    session: tuple[Address, Address] | None = None
    files: bool = True
    owner: int = 0
    lacking: Mapping[str, str] = field(default_factory=dict)


class Subject:
    """One configuration under examination."""

    def __init__(self, tree: Configuration, problems: Problems, options: Options):
        self.tree = tree
        self.problems = problems
        self.options = options
        self.reader = Reader(variables_of(tree), tree.dialect)
        self.index = view.Index(tree, self.reader)
        self.effective = effective(tree)
        self.default = view.first(tree, "default")
        self.default_remote = view.inner(self.default, "remote")
        self.default_policy = view.inner(self.default, "policy")
        self.default_sa = view.inner(self.default, "sa")
        self.local_addresses = _local_addresses(self.effective)

    @property
    def upstream(self) -> bool:
        """Whether the configuration is for upstream's daemons."""
        return self.tree.dialect == RACOON2

    @property
    def ours(self) -> bool:
        return self.tree.dialect == TANUKI

    def blocks(self, section: str) -> list[Block]:
        return [node for node in self.tree.all(section) if isinstance(node, Block)]

    def remotes(self) -> Iterator[tuple[Block, Remote]]:
        """Every remote, as written and as meant."""
        yield from zip(self.blocks("remote"), self.effective.remotes)

    def values(self, block: Block | None, name: str) -> tuple:
        return view.values(self.reader, block, name)

    def value(self, block: Block | None, name: str, default: object = None) -> object:
        return view.value(self.reader, block, name, default)

    def algorithms(self, block: Block, name: str) -> Iterator[tuple[Algorithm, Position]]:
        """The entries of a list of algorithms or groups, each with its place."""
        rule = rule_of(block.name, name)
        for item in view.items(block, name):
            try:
                value = self.reader.read(rule, item)
            except ValueError:
                continue
            yield (value if isinstance(value, Algorithm) else Algorithm(value)), item[0].position

    def targets(self, block: Block, name: str, section: str) -> list[Block]:
        """The sections that a directive names, as far as they exist."""
        found = (self.index.find(section, index) for index in self.values(block, name))
        return [target for target in found if target is not None]

    def acceptable(self, remote_name: str) -> tuple[str, ...]:
        """The protocols that a remote may use; IKEv2 where nothing says so, as upstream initiates it then."""
        remote = self.effective.remote(remote_name)
        return (remote.acceptable if remote is not None else ()) or (IKEV2,)

    def missing(self, block: Block | None, *names: str) -> bool:
        """Whether a block surely says none of these: nothing of it was unreadable."""
        return block is None or not (block.damaged or any(block.has(name) for name in names))

    def place(self, block: Block, name: str) -> Position:
        """Where a directive stands, or its block if it is missing."""
        directive: Directive | None = view.chosen(block, name)
        return directive.position if directive is not None else block.position


def _local_addresses(meaning: Effective) -> set[Address]:
    """This host's addresses, as far as the configuration says them; empty where it names one by a macro."""
    listen = [numeric(listen.address) for listen in meaning.listen]
    if None in listen:
        return set()
    ends = (tunnel.my_address for tunnel in meaning.tunnels)
    return set(listen).union(end for end in ends if end is not None and not isinstance(end, str))
