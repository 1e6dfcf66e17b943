# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can be said about a configuration beyond what the loader refuses.

In dialect racoon2 an error is what upstream's daemons refuse or crash on; in dialect tanuki, what our daemon can't
run. Warnings are what works, and what an operator would rather know.

A file that neither listens nor lets a remote negotiate is a part, there to be included: it gets the loader's verdict.
"""

from __future__ import annotations

from ..loader import Loaded, without_collector
from ..problem import Problem, Problems
from .keys import check_keys
from .policies import check_policies
from .remotes import check_remotes
from .subject import Options, Subject
from .traffic import check_traffic
from .upstream import check_interface, check_upstream


def check(loaded: Loaded, options: Options | None = None) -> list[Problem]:
    """All problems of a loaded configuration, the loader's included, in the order of the files and without doubles.

    Works on what could be read of a broken configuration as well.
    """
    if not loaded.tree.sections:
        return sorted(loaded.problems)
    problems = Problems(loaded.tree.dialect)
    with without_collector():
        subject = Subject(loaded.tree, problems, options or Options())
        if _is_part(subject):
            return sorted({*loaded.problems, *_part(subject)})
        _check(subject)
    return sorted({problem.judged() for problem in loaded.problems + problems.found})


def _is_part(subject: Subject) -> bool:
    remotes = [*subject.blocks("remote"), *filter(None, [subject.default_remote])]
    runs = any(remote.has("acceptable_kmp") for remote in remotes)
    return not runs and not subject.blocks("interface")


def _part(subject: Subject) -> list[Problem]:
    subject.problems.warning(
        subject.tree.sections[0].position,
        "no interface and no acceptable_kmp: checked as a part of a configuration",
        "what the daemons need to start is not looked at",
    )
    return subject.problems.found


def _check(subject: Subject) -> None:
    check_interface(subject)
    check_remotes(subject)
    check_policies(subject)
    check_traffic(subject)
    check_keys(subject)
    if subject.upstream:
        check_upstream(subject)
