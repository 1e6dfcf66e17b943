# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of tests/interop/run: its network, its daemons, and the matrix of what worked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop import matrix, network
from tests.interop.libreswan import Libreswan
from tests.interop.life import eventually
from tests.interop.network import NARA, OSAKA, TOKYO, kernel_sas, run
from tests.interop.ours import Ours
from tests.interop.strongswan import StrongSwan

PEERS = Path("build/interop/peers").absolute()


def pytest_addoption(parser):
    parser.addoption("--peer", default="", help="only the cells with this peer")


def pytest_collection_modifyitems(config, items):
    items[:] = [item for item in items if config.getoption("--peer") in item.name]


@pytest.fixture(scope="session", autouse=True)
def machine():
    """The peers' packages laid over /usr, the modules that they need, and the network."""
    if "KERNEL_TESTS_WORK" not in os.environ:
        pytest.exit("these tests need the machine that tests/interop/run boots", 2)
    network.modprobe("overlay", "ah4", "ah6", "iptable_nat", "xt_MASQUERADE")
    layers = ":".join(str(PEERS / name / "usr") for name in ("strongswan", "libreswan"))
    run("mount", "-t", "overlay", "peers", "-o", "lowerdir={}:/usr".format(layers), "/usr")
    network.build()


@pytest.fixture(scope="session")
def ours(machine, tmp_path_factory):
    daemon = Ours(TOKYO, tmp_path_factory.mktemp("ours"))
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def strongswan(machine, tmp_path_factory):
    daemon = StrongSwan(OSAKA, tmp_path_factory.mktemp("strongswan"))
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def libreswan(machine, tmp_path_factory):
    daemon = Libreswan(NARA, tmp_path_factory.mktemp("libreswan"))
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(params=["we begin", "they begin"])
def we_begin(request):
    return request.param == "we begin"


@pytest.fixture()
def pair(ours, peer):
    """Our daemon and a peer that its test module names; afterwards neither knows of the other."""
    yield ours, peer
    print(ours.lines(), peer.lines()[-6000:], sep="\n")  # shown where the test failed
    peer.forget()
    ours.forget()
    eventually(lambda: not kernel_sas(ours.site) and not kernel_sas(peer.site))


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line("")
    terminalreporter.write_line(matrix.text())
