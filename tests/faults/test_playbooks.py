# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify.yml, diagnose.yml and the modules' examples as an operator runs them, against the pair, both namespaces.

A site's interpreter is a script that enters the site's namespace. There's no systemd on this machine: what restarts a
site's daemon is a stand-in. Nothing else is different from a real host.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

TREE = Path("build/checkout").absolute()
ROOT = Path.cwd()
# What looks at tunnels and asserts.
MODULES = ("sa_info", "sa_assert", "route_assert", "psk_assert", "evidence", "leak_assert", "tunnel_assert", "diagnose")


@pytest.fixture(scope="module")
def playbook(pair, tmp_path_factory):
    """Runs a playbook; its exit code and output."""
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
        "ANSIBLE_PIPELINING": "1",
        "LC_ALL": "C.UTF-8",
    }
    Path("/dev/shm").mkdir(exist_ok=True)  # for the locks between Ansible's processes
    subprocess.run(["mount", "-t", "tmpfs", "shm", "/dev/shm"], check=True)

    def run(playbook: Path, *options: str) -> subprocess.CompletedProcess:
        command = [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            inventory,
            playbook,
            *options,
        ]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    return run


def _inventory(pair, directory: Path) -> dict:
    hosts = {}
    for gateway in pair.gateways:
        name = gateway.site.name
        interpreter = directory / ("python-" + name)
        words = _service_manager(gateway, directory / name), name, sys.executable
        interpreter.write_text('#!/bin/sh\nPATH={}:$PATH\nexec ip netns exec {} {} "$@"\n'.format(*words))
        interpreter.chmod(0o755)
        hosts[name] = {
            **gateway.inventory[name],
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": str(interpreter),
            "ipsec_control": gateway.control,
            "ipsec_configuration": str(gateway.configuration),
        }
    return {"ipsec_sites": {"hosts": hosts}}


def _service_manager(gateway, directory: Path) -> Path:
    """Where a `systemctl` is that has this gateway's daemon restarted, and waits for it."""
    directory.mkdir()
    request, answer = directory / "request", directory / "answer"
    for pipe in (request, answer):
        os.mkfifo(pipe)
    program = directory / "systemctl"
    program.write_text('#!/bin/sh\necho "$*" >{} && read -r answer <{}\n'.format(request, answer))
    program.chmod(0o755)

    def serve() -> None:
        while request.read_text() == "restart tanuki-iked.service\n":
            gateway.stop()
            gateway.start()
            answer.write_text("done\n")

    threading.Thread(target=serve, daemon=True).start()
    return directory


def _examples(pair) -> list[dict]:
    """The tasks that the modules' documentation shows, each once. What names osaka as the peer is tokyo's to do."""
    tasks: list[dict] = []
    for name in MODULES:
        module = importlib.import_module("ansible_collections.tanuki.ipsec.plugins.modules.ipsec_" + name)
        shown = yaml.safe_load(module.EXAMPLES.replace("/etc/racoon2/psk/osaka.psk", str(pair.first.key_file)))
        tasks += [task for task in shown if task not in tasks]
    return [
        {**task, "when": "inventory_hostname == 'tokyo'"} if "osaka" in json.dumps(task) else task for task in tasks
    ]


def _defaults() -> dict:
    """Where this pair's daemons and files are."""
    control, configuration = {"control": "{{ ipsec_control }}"}, {"configuration": "{{ ipsec_configuration }}"}
    defaults = {
        "sa_info": control,
        "sa_assert": control,
        "leak_assert": control,
        "evidence": {**control, **configuration},
        "psk_assert": configuration,
    }
    return {"tanuki.ipsec.ipsec_" + name: options for name, options in defaults.items()}


def test_a_healthy_pair_is_verified(playbook):
    leaks = ("ipsec_verify_leaks=true", "ipsec_verify_leaks_restart=true")
    done = playbook(ROOT / "playbooks/verify.yml", *(word for one in leaks for word in ("-e", one)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not proven" not in done.stdout + done.stderr


def test_the_examples_of_the_documentation_hold_on_a_healthy_pair(playbook, pair, tmp_path):
    """Nothing is said to be changed but by the canary, which rekeys and restarts; in check mode not by it either."""
    tasks = _examples(pair)
    tasks += [{**task, "check_mode": True} for task in tasks if "tanuki.ipsec.ipsec_leak_assert" in task]
    play = {"hosts": "ipsec_sites", "gather_facts": False, "module_defaults": _defaults(), "tasks": tasks}
    (tmp_path / "examples.yml").write_text(json.dumps([play]))
    shutil.copy(ROOT / "playbooks/tasks/evidence.yml", tmp_path)
    done = playbook(tmp_path / "examples.yml", "-e", "ipsec_salt=pepper")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"changed=(\d+)", done.stdout) == ["1", "1"], done.stdout


def test_a_pair_whose_traffic_is_masqueraded_is_diagnosed(playbook, pair):
    from tests.faults.faults import FAULTS

    (fault,) = [fault for fault in FAULTS if fault.name == "masquerade ahead of the exemption"]
    fault.inject(pair)
    try:
        verified, diagnosed = (playbook(ROOT / "playbooks" / name) for name in ("verify.yml", "diagnose.yml"))
    finally:
        fault.mend(pair)
    assert verified.returncode == 2 and "1. NAT rewrites the traffic" in verified.stdout, verified.stdout
    assert diagnosed.returncode == 0 and "1. NAT rewrites the traffic" in diagnosed.stdout, diagnosed.stdout
