# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of tests/faults/run: its network, the pair, and the matrix of what was named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TREE = Path("build/checkout").absolute()
sys.path.insert(0, str(TREE))

MODULES = ("iptable_nat", "iptable_filter", "ip_tables", "xt_MASQUERADE", "xt_policy", "xt_conntrack", "nf_tables")

rows: list[tuple[str, str, str, float]] = []


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Both gateways with their daemons, and the tunnel up."""
    if "KERNEL_TESTS_WORK" not in os.environ:
        pytest.exit("these tests need the machine that tests/faults/run boots", 2)
    from tests.faults import network
    from tests.faults.pair import WorkingPair, modprobe

    modprobe(*MODULES)
    network.build()
    pair = WorkingPair(tmp_path_factory.mktemp("pair"))
    pair.start()
    pair.up()
    yield pair
    pair.stop()


def pytest_terminal_summary(terminalreporter):
    widths = [max(len(str(row[column])) for row in rows) for column in range(3)] if rows else []
    terminalreporter.write_line("")
    for fault, expected, named, seconds in rows:
        verdict = "ok " if expected == named else "BAD"
        texts = [text.ljust(width) for text, width in zip((fault, expected, named), widths)]
        terminalreporter.write_line("{} {}  {}  {}  {:5.1f} s".format(verdict, *texts, seconds))
