# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can be said about a configuration beyond what the loader refuses.

In dialect racoon2 an error is what upstream's daemons refuse or crash on; in dialect tanuki, what our daemon can't
run. Warnings are what works, and what an operator would rather know.
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
    problems = Problems(loaded.tree.dialect)
    with without_collector():
        _check(Subject(loaded.tree, problems, options or Options()))
    return sorted({problem.judged() for problem in loaded.problems + problems.found})


def _check(subject: Subject) -> None:
    if subject.tree.sections:
        check_interface(subject)
        check_remotes(subject)
        check_policies(subject)
        check_traffic(subject)
        check_keys(subject)
        if subject.upstream:
            check_upstream(subject)
