# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify.yml and diagnose.yml as an operator runs them, against the pair: Ansible, its modules, both namespaces.

A site's interpreter is a script that enters the site's namespace; nothing else is different from a real host.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path("build/checkout").absolute()
ROOT = Path.cwd()


@pytest.fixture(scope="module")
def playbook(pair, tmp_path_factory):
    """Runs one of the collection's playbooks; its exit code and output."""
    directory = tmp_path_factory.mktemp("ansible")
    inventory = directory / "inventory.json"
    inventory.write_text(json.dumps(_inventory(pair, directory)))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(TREE),
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "local"),
        "ANSIBLE_REMOTE_TEMP": str(directory / "remote"),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    Path("/dev/shm").mkdir(exist_ok=True)  # for the locks between Ansible's processes
    subprocess.run(["mount", "-t", "tmpfs", "shm", "/dev/shm"], check=True)

    def run(name: str) -> subprocess.CompletedProcess:
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, ROOT / "playbooks" / name]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    return run


def _inventory(pair, directory: Path) -> dict:
    from tests.faults.pair import INVENTORY

    hosts = {}
    for gateway in pair.gateways:
        name = gateway.site.name
        interpreter = directory / ("python-" + name)
        interpreter.write_text('#!/bin/sh\nexec ip netns exec {} {} "$@"\n'.format(name, sys.executable))
        interpreter.chmod(0o755)
        hosts[name] = {
            **INVENTORY[name],
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": str(interpreter),
            "ipsec_control": gateway.control,
            "ipsec_configuration": str(gateway.configuration),
        }
    return {"ipsec_sites": {"hosts": hosts}}


def test_a_healthy_pair_is_verified(playbook):
    done = playbook("verify.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not proven" not in done.stdout + done.stderr


def test_a_pair_whose_traffic_is_masqueraded_is_diagnosed(playbook, pair):
    from tests.faults.faults import FAULTS

    (fault,) = [fault for fault in FAULTS if fault.cause == "masquerade"]
    fault.inject(pair)
    try:
        verified, diagnosed = playbook("verify.yml"), playbook("diagnose.yml")
    finally:
        fault.mend(pair)
    assert verified.returncode == 2 and "1. NAT rewrites the traffic" in verified.stdout, verified.stdout
    assert diagnosed.returncode == 0 and "1. NAT rewrites the traffic" in diagnosed.stdout, diagnosed.stdout
