"""The host's half of a deployment, on a real file system under a temporary root.

systemd and the daemon's answers are simulated: the tests of the role in molecule/ run the real ones.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import (
    DeployError,
    load_manifest,
    save_manifest,
)

from tests.unit.plugins.simulated import CONTENTS, SimulatedHost


@pytest.fixture
def host(tmp_path):
    simulated = SimulatedHost(tmp_path)
    yield simulated
    simulated.close()


def test_a_fresh_host_gets_everything_and_a_running_service(host):
    outcome = host.deploy()
    assert host.commands == ["gateway enable", "gateway start", "enable", "start"] and outcome.changed
    for role, path in host.paths.items():
        assert path.read_bytes() == CONTENTS[role]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((host.root / "etc/psk").stat().st_mode) == 0o700
    assert (host.root / "proc/net/ipv4/ip_forward").read_text() == "1\n"


def test_a_second_run_changes_nothing_and_needs_no_content(host):
    host.deploy()
    told = [replace(file, content=None) for file in host.wanted()]
    deployment = host.deployment(told)
    assert deployment.needs() == []
    host.commands.clear()
    outcome = deployment.apply(dry=False)
    assert not outcome.changed and outcome.diff == [] and host.commands == []


def test_what_differs_is_asked_for_and_nothing_else(host):
    host.deploy()
    told = [replace(file, content=None) for file in host.wanted(psk=b"another key")]
    assert host.deployment(told).needs() == [str(host.paths["psk"])]


@pytest.mark.parametrize(
    ("role", "commands"),
    [
        ("application", ["restart", "status"]),
        ("unit", ["daemon-reload", "restart"]),
        ("configuration", ["status", "reload", "status"]),
        ("psk", ["status", "reload", "status"]),
        ("sysctl", []),
        ("gateway", ["gateway reload"]),
        ("gateway_unit", ["daemon-reload"]),
    ],
)
def test_the_service_is_told_no_more_than_a_change_needs(host, role, commands):
    host.deploy()
    outcome = host.deploy(host.wanted(**{role: b"changed"}))
    assert host.commands == commands and outcome.files == {str(host.paths[role]): "updated"}


def test_rules_that_somebody_flushed_are_loaded_again(host):
    host.deploy()
    host.rules_loaded = False
    foreseen = host.deploy(dry=True)
    assert foreseen.service == ("gateway reload",) and host.commands == []
    assert host.deploy().service == ("gateway reload",) and host.commands == ["gateway reload"]


@pytest.mark.parametrize("dry", [True, False])
def test_rules_that_no_packet_filter_can_load_are_a_warning(host, dry):
    outcome = host.deploy(host.wanted(gateway=b"useless"), dry=dry)
    assert outcome.warnings == ["neither nftables nor iptables works on this host"]


@pytest.mark.parametrize("dry", [True, False])
def test_rules_that_the_packet_filter_refuses_change_nothing(host, dry):
    host.deploy()
    before = {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()}
    with pytest.raises(DeployError, match=r"lib/gateway, nothing was changed:\nsyntax error, unexpected wrong"):
        host.deploy(host.wanted(gateway=b"wrong", psk=b"new key"), dry=dry)
    assert {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()} == before
    assert host.commands == []


def test_a_daemon_that_fails_over_and_over_is_started_afresh(host):
    """What systemd is just starting may hold halves of the old program and of the new one."""
    host.starting = True
    assert host.deploy().service[-2:] == ("enable", "restart")


def test_check_mode_on_a_fresh_host_writes_nothing_and_says_everything(host):
    before = host.files()
    outcome = host.deploy(dry=True)
    assert host.files() == before and host.commands == []
    assert set(outcome.files) >= {str(path) for path in host.paths.values()}
    assert outcome.service[-2:] == ("enable", "start") and outcome.settings == {"net.ipv4.ip_forward": "1"}


def test_check_mode_says_what_the_run_then_does(host):
    host.deploy()
    wanted = host.wanted(configuration=b"interface { ike };\n")
    foreseen = host.deploy(wanted, dry=True)
    done = host.deploy(wanted)
    assert (foreseen.files, foreseen.service, foreseen.diff) == (done.files, done.service, done.diff)


def test_a_refused_configuration_leaves_everything_as_it_was(host):
    host.deploy()
    before = {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()}
    with pytest.raises(DeployError) as caught:
        host.deploy(host.wanted(configuration=b"wrong", psk=b"new key", application=b"program 2"))
    assert "{}:1:13: syntax error".format(host.paths["configuration"]) in str(caught.value)
    assert {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()} == before
    assert host.commands == []


def test_a_refused_configuration_is_refused_in_check_mode_too(host):
    with pytest.raises(DeployError, match=r"racoon2\.conf:1:13: syntax error"):
        host.deploy(host.wanted(configuration=b"wrong"), dry=True)


def test_the_diff_shows_text_and_never_a_key(host):
    host.deploy()
    outcome = host.deploy(host.wanted(psk=b"another key", configuration=b"interface { ike };\n"))
    shown = {entry["after_header"]: (entry["before"], entry["after"]) for entry in outcome.diff}
    assert shown[str(host.paths["configuration"])] == ("interface { };\n", "interface { ike };\n")
    before, after = shown[str(host.paths["psk"])]
    assert before != after and before.startswith("fingerprint ") and after.startswith("fingerprint ")
    assert "key" not in before + after


def test_a_removed_peers_key_goes_with_it(host):
    host.deploy()
    wanted = [file for file in host.wanted() if file.role != "psk"]
    outcome = host.deploy(wanted)
    assert outcome.files == {str(host.paths["psk"]): "removed"} and not host.paths["psk"].exists()
    assert not host.deploy(wanted).changed


def test_a_file_that_someone_else_changed_is_not_removed(host):
    host.deploy()
    host.paths["psk"].write_bytes(b"the operator's own")
    outcome = host.deploy([file for file in host.wanted() if file.role != "psk"])
    assert host.paths["psk"].read_bytes() == b"the operator's own"
    assert "changed by someone else" in outcome.warnings[0]


def test_files_in_the_same_directory_that_are_not_ours_stay(host):
    host.deploy()
    (host.root / "etc/psk/other.psk").write_bytes(b"not ours")
    assert not host.deploy().changed and (host.root / "etc/psk/other.psk").exists()


def test_a_foreign_configuration_is_kept_beside_ours(host):
    host.paths["configuration"].parent.mkdir()
    host.paths["configuration"].write_text("their configuration\n")
    outcome = host.deploy()
    (copy,) = host.paths["configuration"].parent.glob("racoon2.conf.*~")
    assert copy.read_text() == "their configuration\n" and str(host.paths["configuration"]) in outcome.warnings[0]
    assert any(entry["before"] == "their configuration\n" for entry in outcome.diff)


def test_wrong_permissions_are_put_right(host):
    host.deploy()
    host.paths["psk"].chmod(0o644)
    outcome = host.deploy([replace(file, content=None) for file in host.wanted()])
    assert outcome.files == {str(host.paths["psk"]): "permissions"}
    assert stat.S_IMODE(host.paths["psk"].stat().st_mode) == 0o600 and host.paths["psk"].read_bytes() == CONTENTS["psk"]


def test_a_stopped_service_is_started_again(host):
    host.deploy()
    host.active = False
    assert host.deploy().service == ("start",)


def test_a_daemon_that_does_not_start_is_reported_with_its_last_words(host):
    host.failing = "start"
    with pytest.raises(
        DeployError, match=r"systemctl start tanuki-iked\.service: Job failed.\nthe daemon's last words"
    ):
        host.deploy()


def test_a_service_that_systemd_says_nothing_of_is_not_taken_for_a_stopped_one(host):
    host.deploy()
    host.mute = True
    with pytest.raises(DeployError, match=r"systemd can't be asked about tanuki-iked\.service: it said nothing"):
        host.deploy()


def test_a_reload_says_which_tunnels_changed(host):
    host.deploy()
    outcome = host.deploy(host.wanted(configuration=b"interface { ike };\n"))
    assert outcome.tunnels == {"changed": ["osaka"], "disturbed": []}


def test_a_new_program_takes_over_without_a_restart(host):
    host.deploy()
    outcome = host.deploy(host.wanted(application=b"program 2"))
    assert outcome.service == ("handover",)
    assert host.commands == ["restart", "status"]


def test_a_refused_reload_is_reported_and_done_again_by_the_next_run(host):
    host.deploy()
    host.control.answer = {"ok": False, "error": "210.11.11.11 port 500: Address in use"}
    changed = host.wanted(configuration=b"interface { ike };\n")
    with pytest.raises(DeployError, match=r"status: 210\.11\.11\.11 port 500: Address in use"):
        host.deploy(changed)
    host.control.answer = {"ok": True, "changes": {}}
    assert host.deploy(changed).service == ("reload",)
    assert not host.deploy(changed).changed


def test_what_an_interrupted_run_left_undone_is_done_by_the_next(host):
    host.deploy()
    original = host.run

    def cut_off(command):
        if command[1] == "restart":
            raise KeyboardInterrupt
        return original(command)

    host.target = replace(host.target, system=replace(host.target.system, run=cut_off))
    changed = host.wanted(unit=b"unit 2")
    with pytest.raises(KeyboardInterrupt):
        host.deploy(changed)
    host.target = replace(host.target, system=replace(host.target.system, run=original))
    assert host.deploy(changed).service == ("restart",)
    assert not host.deploy(changed).changed


def test_a_full_disk_leaves_everything_as_it_was(host, monkeypatch):
    host.deploy()
    before = {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()}

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        host.deploy(host.wanted(configuration=b"interface { ike };\n"))
    assert {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()} == before


def test_something_else_than_a_file_in_the_way_is_named(host):
    host.paths["configuration"].mkdir(parents=True)
    with pytest.raises(DeployError, match=r"racoon2\.conf: not a regular file"):
        host.deploy()


def test_a_damaged_manifest_is_named(host):
    host.deploy()
    host.target.manifest.write_text("{")
    with pytest.raises(DeployError, match=r"manifest\.json: damaged"):
        host.deploy()


def test_a_lost_manifest_is_made_again_without_a_change(host):
    host.deploy()
    host.target.manifest.unlink()
    assert not host.deploy().changed
    assert set(load_manifest(host.target.manifest).files) == {str(path) for path in host.paths.values()}


def test_the_manifest_holds_no_key_and_is_closed(host):
    host.deploy()
    assert b"a secret key" not in host.target.manifest.read_bytes()
    assert stat.S_IMODE(host.target.manifest.stat().st_mode) == 0o600


def test_a_manifest_is_read_as_it_was_written(host, tmp_path):
    host.deploy()
    manifest = load_manifest(host.target.manifest)
    save_manifest(tmp_path / "copy.json", manifest)
    assert load_manifest(tmp_path / "copy.json") == manifest


def tunnel(name, *spis):
    """The last one carries the traffic."""
    states = ["rekeyed"] * (len(spis) - 1) + ["up"]
    return {"name": name, "child_sas": [{"spi_in": spi, "state": state} for spi, state in zip(spis, states)]}


@pytest.mark.parametrize(
    ("after", "disturbed"),
    [
        ([tunnel("kept", "0x1"), tunnel("changed", "0x9")], []),
        ([tunnel("kept", "0x1", "0x3"), tunnel("changed")], []),  # it was just rekeyed
        ([tunnel("kept", "0x3"), tunnel("changed")], ["kept"]),
        ([tunnel("kept"), tunnel("changed")], ["kept"]),
    ],
)
def test_a_tunnel_that_was_to_go_on_and_lost_its_sas_is_named(host, after, disturbed):
    host.deploy()
    host.control.answer = {"ok": True, "changes": {"kept": ["kept"], "changed": ["changed"]}}
    host.control.tunnels = [[tunnel("kept", "0x0", "0x1"), tunnel("changed", "0x2")], after]
    outcome = host.deploy(host.wanted(configuration=b"another"))
    assert outcome.tunnels == {"kept": ["kept"], "changed": ["changed"], "disturbed": disturbed}
