"""Commit-confirm: what the host keeps, what its script does, and how it's told that all is well.

systemd is simulated; the script is run by a real shell, with a command in systemctl's place that notes what it's told.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from ipaddress import ip_address as ip

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.connection import ssh_connection
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.deployment import Deployment
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import load_manifest
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.undo import Undo
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_remove
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.lint import Management, captured, management_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan

from tests.unit.plugins.simulated import CONTENTS, KEY, SERVICE, SimulatedHost

GATEWAY = "tanuki-ipsec-gateway.service"


@pytest.fixture
def host(tmp_path):
    simulated = SimulatedHost(tmp_path)
    units = tmp_path / "units"
    units.mkdir()
    simulated.undo = Undo(simulated.run, tmp_path / "state/undo", units, SERVICE, GATEWAY)
    simulated.target = replace(simulated.target, undo=simulated.undo, confirm_seconds=60)
    yield simulated
    simulated.close()


def deploy(host, **contents):
    host.commands.clear()
    return Deployment(host.target, host.wanted(**contents), KEY).apply(dry=False)


def run_script(host) -> list[str]:
    """Run the undo script as the timer would; what systemctl was told, and the configuration at that moment."""
    tools = host.root / "tools"
    tools.mkdir(exist_ok=True)
    told = host.root / "told"
    shown = f"$(cat {host.paths['configuration']} 2>/dev/null)"
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$*; {shown}" >>{told}\n')
    (tools / "systemctl").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", str(host.undo.directory / "undo.sh")], env=environment, check=True)
    return told.read_text().splitlines()


def contents(host):
    return {role: path.read_bytes() if path.is_file() else None for role, path in host.paths.items()}


def test_a_change_is_undone_with_the_files_modes_and_manifest_of_before(host):
    deploy(host)
    host.undo.disarm()
    before, manifest = contents(host), load_manifest(host.target.manifest)
    deploy(host, configuration=b"interface { ike { }; };\n", psk=b"another key")
    assert host.undo.armed and contents(host) != before
    told = run_script(host)
    assert contents(host) == before and load_manifest(host.target.manifest) == manifest
    assert {path.stat().st_mode & 0o777 for path in host.paths.values()} == {0o600}
    old = CONTENTS["configuration"].decode().strip()
    assert told[:2] == [f"daemon-reload; {old}", f"reload {SERVICE}; {old}"]
    assert not host.undo.armed and not host.undo.directory.exists()


def test_the_host_says_once_what_it_undid(host):
    deploy(host)
    run_script(host)
    assert "was undone by this host: nobody confirmed it within 60 s" in host.undo.told(forget=False)
    assert host.undo.told(forget=True) and host.undo.told(forget=True) == ""


def test_a_first_deployment_is_undone_to_nothing_after_its_policies_went(host):
    deploy(host)
    told = run_script(host)
    assert contents(host) == dict.fromkeys(host.paths) and not host.target.manifest.exists()
    no_tunnels = "interface { ike { 127.0.0.1; }; };"
    assert told[:3] == [f"{verb} {SERVICE}; {no_tunnels}" for verb in ("reload", "stop", "disable")]


def test_a_new_program_is_undone_by_a_restart(host):
    deploy(host)
    host.undo.disarm()
    deploy(host, application=b"program 2")
    assert any(line.startswith(f"restart {SERVICE};") for line in run_script(host))
    assert host.paths["application"].read_bytes() == CONTENTS["application"]


def test_a_file_that_was_removed_comes_back(host):
    deploy(host)
    host.undo.disarm()
    Deployment(host.target, [file for file in host.wanted() if file.role != "psk"], KEY).apply(dry=False)
    assert not host.paths["psk"].exists()
    run_script(host)
    assert host.paths["psk"].read_bytes() == CONTENTS["psk"]


def test_a_confirmed_deployment_stays_and_leaves_no_trace(host):
    deploy(host)
    after = contents(host)
    assert host.undo.disarm() and not host.undo.disarm()
    assert contents(host) == after and list((host.root / "units").iterdir()) == []
    assert not host.undo.directory.exists()


def test_the_time_runs_before_anything_is_replaced(host):
    deploy(host)
    host.undo.disarm()
    order, run = [], host.run

    def watched(command):
        order.append((command[1], contents(host)))
        return run(command)

    host.undo = replace(host.undo, run=watched)
    host.target = replace(host.target, undo=host.undo)
    before = contents(host)
    deploy(host, psk=b"another key")
    assert [found for verb, found in order if verb == "enable"] == [before]
    timer = host.undo.timer.read_text()
    assert "OnActiveSec=60\n" in timer and "WantedBy=timers.target" in timer


def test_a_run_that_changes_nothing_arms_nothing(host):
    deploy(host)
    host.undo.disarm()
    deploy(host)
    assert not host.undo.armed


def test_the_keys_that_are_kept_are_closed_to_others(host):
    deploy(host)
    host.undo.disarm()
    deploy(host, psk=b"another key")
    assert host.undo.directory.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in host.undo.directory.iterdir())
    script = (host.undo.directory / "undo.sh").read_bytes()
    assert CONTENTS["psk"] not in script and b"another key" not in script


def test_a_removal_forgets_what_would_be_put_back(host, monkeypatch):
    deploy(host)
    monkeypatch.setattr(ipsec_remove, "UNITS", host.root / "units")
    monkeypatch.setattr(ipsec_remove, "run", host.run)
    ipsec_remove.forget_undo(host.root / "state")
    assert not host.undo.armed and not host.undo.directory.exists()


def test_the_connection_is_found_through_sudo(tmp_path):
    processes = {
        40: (30, b"PATH=/bin\0"),
        30: (20, None),
        20: (1, b"A=b\0SSH_CONNECTION=10.0.2.2 5000 10.0.2.15 22\0"),
    }
    for pid, (parent, environment) in processes.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tx\nPPid:\t{parent}\n")
        if environment is not None:
            (tmp_path / str(pid) / "environ").write_bytes(environment)
    assert ssh_connection(40, tmp_path) == ("10.0.2.2", "10.0.2.15")
    assert ssh_connection(30, tmp_path / "nothing") == ("", "")


def test_a_selector_captures_the_connection_as_the_host_sees_it():
    sites = {
        "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["10.0.2.0/28"]},
        "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["10.9.0.0/16"]},
    }
    (end,) = make_plan(sites).ends["tokyo"]
    assert management_of(["10.9.1.1", "10.0.2.15"]) == Management(ip("10.0.2.15"), ip("10.9.1.1"))
    assert list(captured(end, management_of(["10.9.1.1", "10.0.2.15"])))
    assert not list(captured(end, management_of(["10.8.1.1", "10.0.2.15"])))
    assert management_of(["", ""]) is None
