# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of tests/fleet/run: its network, its gateways, the controller, and the table of figures."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.keys import ensure_keys
from tests.fleet import figures, gateway, network
from tests.fleet.controller import Controller
from tests.fleet.fleet import ANSWER_LIMIT, FEW, Fleet

MODULES = ("overlay", "bridge", "veth", "ipv6", "xfrm_user", "esp4", "esp6", "iptable_nat", "xt_MASQUERADE")


def pytest_addoption(parser):
    parser.addoption("--sites", type=int, default=5, help="spokes beside the hub, at least 3")


def mount(kind: str, directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, kind, str(directory)], check=True)


@pytest.fixture(scope="session")
def fleet(request):
    """A hub and its spokes. They're booted as they are needed."""
    if "KERNEL_TESTS_WORK" not in os.environ:
        pytest.exit("these tests need the machine that tests/fleet/run boots", 2)
    subprocess.run([os.environ["KERNEL_TESTS_WORK"] + "/modprobe", "-a", *MODULES], check=True)
    mount("tmpfs", Path("/dev/shm"))  # for the locks between Ansible's processes
    # Ansible gives an ssh a terminal. Without this, it's an old BSD one, which hangs up on Ansible's worker at its end.
    mount("devpts", Path("/dev/pts"))
    directory = Path("/run/controller")
    keys = ensure_keys(directory / "keys")
    network.build()
    gateway.prepare(keys)
    return Fleet(Controller(directory, keys), request.config.getoption("--sites"))


@pytest.fixture
def few(fleet):
    """The hub and its first spokes, deployed; the others keep what they have."""
    fleet.grow(max(FEW, len(fleet.spokes)))
    everybody = list(fleet.gateways)
    fleet.gateways = everybody[: FEW + 1]
    fleet.play()
    with fleet.pings(fleet.spokes) as pings:
        pings.wait_for_all(ANSWER_LIMIT)
    yield fleet
    fleet.gateways, fleet.overrides = everybody, {}


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line("")
    terminalreporter.write_line(figures.text())
    figures.save(Path("/run/work/results/fleet.json"))
