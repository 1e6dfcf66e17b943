# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where AWX runs the collection: ansible-runner with a private data folder, and what ansible-builder makes of it.

No image is built: that takes a container engine. What goes into one is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ansible_runner
import pytest
import yaml

from tests.benchmarks.checkout import ROOT, checkout

BUILDER = Path(sys.executable).with_name("ansible-builder")
SITES = {
    "tokyo": {"ipsec_address": "198.51.100.1", "ipsec_networks": ["10.1.0.0/24"]},
    "osaka": {"ipsec_address": "198.51.100.2", "ipsec_networks": ["10.2.0.0/24"]},
    "partner": {"ipsec_address": "203.0.113.9", "ipsec_networks": ["10.3.0.0/24"], "ipsec_managed": False},
}


@pytest.fixture()
def private_data(tmp_path):
    """As AWX lays it out: inventory/hosts.json, env/envvars. The sites are this machine, without a daemon."""
    for folder in ("inventory", "env", "project"):
        (tmp_path / folder).mkdir()
    local = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "ipsec_control": str(tmp_path / "no-daemon"),
    }
    inventory = {"ipsec_sites": {"hosts": SITES, "vars": local}}
    (tmp_path / "inventory/hosts.json").write_text(json.dumps(inventory))
    variables = {
        "ANSIBLE_COLLECTIONS_PATH": str(checkout()),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
        "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        "LC_ALL": "C.UTF-8",
        # The programs beside this interpreter, as in an image.
        "PATH": "{}:{}".format(Path(sys.executable).parent, os.environ["PATH"]),
    }
    (tmp_path / "env/envvars").write_text(json.dumps(variables))
    return tmp_path


def play(private_data: Path, playbook: str, **variables) -> dict[str, dict]:
    """Run one of the collection's playbooks by its name: the results of its tasks, by the tasks' names."""
    run = ansible_runner.run(
        private_data_dir=str(private_data),
        playbook=playbook,
        extravars=variables,
        quiet=True,
    )
    assert run.rc == 0, run.stdout.read()
    events = [event for event in run.events if event["event"] == "runner_on_ok"]
    return {event["event_data"]["task"]: event["event_data"]["res"] for event in events}


def test_the_plan(private_data):
    results = play(private_data, "tanuki.ipsec.plan", ipsec_plan_ask_hosts=False)
    text = "\n".join(results["Show the plan"]["ipsec_plan_result.text"])
    assert all(name in text for name in SITES)


def test_the_status_is_written_beside_the_inventory(private_data):
    play(private_data, "tanuki.ipsec.status")
    status = json.loads((private_data / "inventory/status/status.json").read_text())
    assert status["summary"]["sites"] == 2
    assert status["summary"]["answering"] == 0
    assert (private_data / "inventory/status/status.html").read_text().startswith("<!doctype html>")


def test_the_keys_stay_in_the_folder_that_outlives_the_container(private_data, tmp_path):
    keys = tmp_path / "mounted"
    play(private_data, "tanuki.ipsec.handover", ipsec_psk_dir=str(keys))
    assert sorted(path.name for path in keys.glob("*.psk")) == ["osaka--partner.psk", "partner--tokyo.psk"]


def test_the_collection_asks_an_image_for_nothing():
    command = [BUILDER, "introspect", checkout()]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = yaml.safe_load(output)
    assert found == {"python": [], "system": []}


def test_the_documented_definition_makes_a_build_context(tmp_path):
    """The one in docs/operations.md, with the name of an image in place of its blank."""
    text = (ROOT / "docs/operations.md").read_text()
    (block,) = [part for part in text.split("```yaml\n")[1:] if part.startswith("# execution-environment.yml")]
    definition = tmp_path / "execution-environment.yml"
    definition.write_text(block.partition("```")[0].replace("BASE-IMAGE:TAG", "localhost/base:1"))
    (tmp_path / "tanuki-ipsec-0.1.0.tar.gz").write_bytes(b"")
    context = tmp_path / "context"
    command = [BUILDER, "create", "-f", definition, "-c", context, "--output-filename", "Containerfile"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    recipe = (context / "Containerfile").read_text()
    assert "localhost/base:1" in recipe
    assert "COPY _build /build" in recipe
    requirements = yaml.safe_load((context / "_build/requirements.yml").read_text())
    (collection,) = requirements["collections"]
    assert (context / "_build" / collection["name"]).is_file()
