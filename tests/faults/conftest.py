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

MODULES = (
    "iptable_nat", "iptable_filter", "iptable_mangle", "iptable_raw", "ip6table_nat", "ip6table_mangle", "ip6table_raw",
    "ip_tables", "xt_MASQUERADE", "xt_policy", "xt_conntrack", "xt_TCPMSS", "xt_comment", "xt_CT",
    "nf_conntrack_ftp", "nf_conntrack_netlink",
    "nf_tables",
)  # fmt: skip

# About how long a test takes, to share the work: a fault, one whose negotiation has to fail, another test of a file.
_SECONDS = {
    "fault": 12, "renegotiate": 22, "test_matrix": 10, "test_leaks": 10, "test_transfers": 20, "test_playbooks": 110
}  # fmt: skip

rows: list[tuple[str, str, str, float]] = []


def pytest_addoption(parser):
    parser.addoption("--lane", help="run one of several parts that take about as long: 1/2, 2/2")


def pytest_collection_modifyitems(config, items):
    lane = config.getoption("lane")
    if lane:
        number, of = (int(word) for word in lane.split("/"))
        chosen = _lanes(items, of)[number - 1]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = [item for item in items if item in chosen]


def _lanes(items, count: int) -> list[list]:
    """What takes longest first, each to the lane that has least to do; what shares a fixture stays together."""
    groups: dict[str, list] = {}
    for item in items:
        groups.setdefault(_group(item), []).append(item)
    lanes: list[tuple[float, list]] = [(0.0, []) for _lane in range(count)]
    for group in sorted(groups.values(), key=_seconds, reverse=True):
        load, chosen = min(lanes, key=lambda lane: lane[0])
        lanes[lanes.index((load, chosen))] = (load + _seconds(group), chosen + group)
    return [chosen for _load, chosen in lanes]


def _group(item) -> str:
    """The faults of a pair behind NAT share it, the other tests of a file what the file sets up."""
    if "natted" in item.fixturenames or (_fault(item) and _fault(item).natted):
        return "natted"
    return item.nodeid if _fault(item) else item.path.name


def _seconds(group) -> float:
    """About how long it takes."""
    return sum(
        _SECONDS["renegotiate" if _fault(item).renegotiate else "fault"] if _fault(item) else _SECONDS[item.path.stem]
        for item in group
    )


def _fault(item):
    return item.callspec.params.get("fault") if hasattr(item, "callspec") else None


@pytest.fixture(scope="session")
def internet():
    """The network in which the pairs live."""
    if "KERNEL_TESTS_WORK" not in os.environ:
        pytest.exit("these tests need the machine that tests/faults/run boots", 2)
    from tests.faults import network
    from tests.faults.pair import modprobe

    modprobe(*MODULES)
    network.build()
    return network


@pytest.fixture(scope="session")
def pair(internet, tmp_path_factory):
    """Both gateways with their daemons, and the tunnel up."""
    yield from _working(internet.SITES, tmp_path_factory)


@pytest.fixture(scope="session")
def natted(internet, tmp_path_factory):
    """The same of a pair with NAT between its ends."""
    internet.build_natted()
    yield from _working(internet.NATTED_SITES, tmp_path_factory)


def _working(sites, tmp_path_factory):
    from tests.faults.pair import WorkingPair

    pair = WorkingPair(tmp_path_factory.mktemp("pair"), sites)
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
