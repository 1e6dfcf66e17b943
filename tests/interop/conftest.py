# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of tests/interop/run: its network, its daemons, and the matrix of what worked."""

from __future__ import annotations

import os

import pytest

from tests.interop import matrix, network
from tests.interop.libreswan import Libreswan
from tests.interop.life import eventually
from tests.interop.network import OSAKA, SITES, TOKYO, kernel_sas
from tests.interop.openiked import OpenIked
from tests.interop.ours import Ours
from tests.interop.strongswan import StrongSwan
from tests.interop.suites import Suite
from tests.interop.trees import PEERS, TESTING, find
from tests.interop.wire import Wire
from tests.namespaces import run

_LARVAL = 40.0  # seconds; OpenIKED leaves a larval SA where a negotiation fails, which the kernel keeps for 30
_DAEMONS = {"strongswan": StrongSwan, "libreswan": Libreswan, "openiked": OpenIked}


def pytest_addoption(parser):
    parser.addoption("--peer", choices=(*PEERS, TESTING.name), required=True, help="the daemon at the other site")


def pytest_configure(config):
    config.addinivalue_line("markers", "suites(*suites): run with each of these that the peer speaks")


def pytest_generate_tests(metafunc):
    """``suite`` for each test: those of its mark, as the peer can speak them."""
    marked = metafunc.definition.get_closest_marker("suites").args
    daemon, tree = _daemon(metafunc.config), _tree(metafunc.config)
    spoken = filter(None, (daemon.spoken(suite, tree) for suite in marked))
    metafunc.parametrize("suite", list(spoken), ids=lambda suite: getattr(suite, "name", ""))


def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if isinstance(item.callspec.params["suite"], Suite)]


def _tree(config):
    return find(config.getoption("--peer"))


def _daemon(config):
    return _DAEMONS[_tree(config).name.partition("-")[0]]


@pytest.fixture(scope="session", autouse=True)
def machine(pytestconfig):
    """The peer's tree, the modules that the network needs, and the network."""
    if "KERNEL_TESTS_WORK" not in os.environ:
        pytest.exit("these tests need the machine that tests/interop/run boots", 2)
    network.modprobe("ah4", "ah6", "iptable_nat", "xt_MASQUERADE")
    run("sh", "-c", _tree(pytestconfig).opening)
    network.build()


@pytest.fixture(scope="session")
def ours(machine, tmp_path_factory):
    daemon = Ours(TOKYO, tmp_path_factory.mktemp("ours"))
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def peer(machine, pytestconfig, tmp_path_factory):
    daemon = _daemon(pytestconfig)(OSAKA, tmp_path_factory.mktemp("peer"), _tree(pytestconfig))
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(params=["we begin", "they begin"])
def we_begin(request):
    return request.param == "we begin"


@pytest.fixture()
def wire(machine):
    """What each site sends, by site."""
    wires = {site: Wire(site) for site in SITES}
    yield wires
    for one in wires.values():
        one.close()


@pytest.fixture()
def pair(ours, peer):
    """Our daemon and the peer; afterwards neither knows of the other."""
    yield ours, peer
    print(ours.lines(), ours.trace(), peer.lines()[-6000:], sep="\n")  # shown where the test failed
    peer.forget()
    ours.forget()
    eventually(lambda: not kernel_sas(ours.site) and not kernel_sas(peer.site), _LARVAL)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line("")
    terminalreporter.write_line(matrix.text())
