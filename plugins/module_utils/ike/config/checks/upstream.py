# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What crashes upstream's daemons, or silently does nothing: only dialect racoon2 has to avoid it."""

from __future__ import annotations

from .. import view
from ..grammar import IKEV2
from ..model import NOWHERE, Block
from ..settings import IkeSettings
from ..values import Place
from .subject import Subject

NAT_PORT = 4500


def check_interface(subject: Subject) -> None:
    """Without a socket neither daemon is of use; upstream's spmd then exits and its iked says nothing."""
    interface = view.first(subject.tree, "interface")
    if interface is None:
        start = subject.tree.sections[0].position if subject.tree.sections else NOWHERE
        consequence = "spmd exits, iked runs deaf" if subject.upstream else "nothing is listened on"
        subject.problems.error(start, "there is no interface section", consequence)
        return
    for name in ("ike", "spmd", "spmd_password") if subject.upstream else ("ike",):
        if subject.missing(interface, name):
            subject.problems.error(interface.position, "interface has no {}".format(name))
    _check_nat_port(subject, interface)
    if subject.upstream:
        _check_spmd_socket(subject, interface)


def _check_nat_port(subject: Subject, interface: Block) -> None:
    ports = {listen.port for listen in subject.effective.listen}
    wanted = any(_uses_nat_traversal(subject, name) for name in ("ikev1", "ikev2"))
    if ports and wanted and NAT_PORT not in ports:
        subject.problems.warning(
            subject.place(interface, "ike"),
            "nat_traversal is on but interface ike has no port 4500",
            "behind a NAT no tunnel comes up",
        )


def _uses_nat_traversal(subject: Subject, protocol: str) -> bool:
    for _block, remote in subject.remotes():
        settings: IkeSettings | None = remote.settings(protocol)
        if settings is not None and protocol in remote.acceptable and settings.nat_traversal:
            return True
    return False


def _check_spmd_socket(subject: Subject, interface: Block) -> None:
    places: tuple[Place, ...] = subject.values(interface, "spmd")
    if places and not any(place.path for place in places):
        subject.problems.error(
            subject.place(interface, "spmd"),
            "spmd has no unix socket",
            'only unix "path" is accepted',
        )


def check_upstream(subject: Subject) -> None:
    """The guards that remain: what loads, and then crashes spmd or iked."""
    for selector in subject.blocks("selector"):
        for policy in subject.targets(selector, "policy_index", "policy"):
            _check_policy(subject, policy)
        if any(character.isspace() for character in selector.index.text):
            subject.problems.error(selector.index.position, "the name of a selector has a blank", "spmd cannot name it")
    if subject.default_sa is not None:
        subject.problems.warning(
            subject.default_sa.position,
            "default sa: iked demands each of its algorithms from the kernel",
            "leave it out",
        )


def _check_policy(subject: Subject, policy: Block) -> None:
    names = subject.values(policy, "remote_index")
    if not names and subject.missing(policy, "remote_index") and subject.value(policy, "action") != "auto_ipsec":
        subject.problems.error(
            policy.position,
            "{} has no remote_index: spmd crashes".format(policy.label),
            "name any existing remote",
        )
    for remote in subject.targets(policy, "remote_index", "remote"):
        if subject.missing(remote, IKEV2):
            subject.problems.error(
                remote.position,
                "{} has no ikev2 block: spmd crashes".format(remote.label),
                "add one; acceptable_kmp keeps it from being used",
            )
