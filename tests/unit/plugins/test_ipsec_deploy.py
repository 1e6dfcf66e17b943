"""The action plugin and its module together: how often a host is asked, and what it is told.

The host is simulated (see simulated.py); between the two, the plugin's real plan, files and keys.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.tanuki.ipsec.plugins.action import ipsec_deploy
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy import gateway_rules
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_apply
from ansible_collections.tanuki.ipsec.plugins.plugin_utils import implementations
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.implementations import XfrmLinux
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import Paths
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.psk_store import PskStore
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rotation import Rotations

from tests.unit.plugins.simulated import SimulatedHost

INVENTORY = {
    "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"], "ipsec_profile": "2007"},
    "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"], "ipsec_profile": "2007"},
}
SPOKES = {
    f"spoke{number}": {
        "ipsec_address": f"203.0.113.{number}",
        "ipsec_networks": [f"10.0.{number}.0/24"],
        "ipsec_profile": "2007",
    }
    for number in range(1, 101)
}


class Site(ipsec_deploy.ActionModule):
    """The action plugin for tokyo, whose executions on the host happen here."""

    def __init__(self, host, tmp_path, inventory=INVENTORY, check_mode=False, **arguments):
        self.host = host
        self.told = []
        self.warned = []
        self.inventory = inventory
        self.arguments = {"psk_directory": str(tmp_path / "keys"), **arguments}
        self._task = SimpleNamespace(check_mode=check_mode, args=self.arguments, action="ipsec_deploy")
        self._display = SimpleNamespace(warning=self.warned.append)
        self._connection = SimpleNamespace()

    def validate_argument_spec(self, argument_spec):
        defaults = {name: option["default"] for name, option in argument_spec.items()}
        return None, {**defaults, **self.arguments}

    def deploy(self, inventory=None):
        self.told.clear()
        sites = inventory or self.inventory
        self.task_vars = {"groups": {"ipsec_sites": list(sites)}, "hostvars": sites, "inventory_hostname": "tokyo"}
        return ipsec_deploy.ActionModule.run(self, task_vars=self.task_vars)

    def _execute_module(self, module_name, module_args, task_vars):
        self.told.append((module_name, json.loads(json.dumps(module_args))))
        if module_name != "tanuki.ipsec.ipsec_apply":
            self.host.has_cryptography = True
            return {"changed": True}
        return self.host.apply(module_args, self._task.check_mode)


class Host(SimulatedHost):
    """Runs ipsec_apply's code on what an execution brings."""

    has_cryptography = True

    def apply(self, arguments, check_mode):
        defaults = {"probe": False, "validate": True, "confirm_seconds": 0, "secrets": [], "demands": {}}
        files = [{"content": None, **file} for file in arguments["files"]]
        module = SimpleNamespace(
            params={**defaults, **arguments, "files": files},
            check_mode=check_mode,
            _diff=True,
            warn=lambda text: None,
        )
        return ipsec_apply.deploy(module)

    def run(self, command):
        if command[1:2] == ["-c"]:
            return 0 if self.has_cryptography else 1, "", ""
        return super().run(command)


@pytest.fixture
def host(tmp_path, monkeypatch):
    root = tmp_path / "host"
    root.mkdir()
    simulated = Host(root)
    for name in ("library", "unit", "sysctl"):
        (root / name).mkdir()
    places = {name: str(root / name) for name in ("config", "library", "state", "unit", "sysctl", "nftables")}
    paths = Paths(**{name + "_directory": place for name, place in places.items()})
    monkeypatch.setitem(ipsec_deploy.IMPLEMENTATIONS, "xfrm_linux", XfrmLinux(paths=paths))
    monkeypatch.setattr(Paths, "control", property(lambda _paths: str(simulated.target.system.control)))
    monkeypatch.setattr(implementations, "kernel_settings", lambda ipv6: {})
    monkeypatch.setattr(ipsec_apply, "run", simulated.run)
    monkeypatch.setattr(ipsec_deploy.ActionBase, "run", lambda *_arguments: {})
    yield simulated
    simulated.close()


def test_the_first_deployment_takes_two_executions_and_the_second_one(host, tmp_path):
    site = Site(host, tmp_path)
    first = site.deploy()
    assert first["changed"] and first["executions"] == 2
    second = site.deploy()
    assert not second["changed"] and second["executions"] == 1


def test_everything_lies_below_the_simulated_root(host, tmp_path):
    site = Site(host, tmp_path)
    site.deploy()
    paths = [file["path"] for _name, told in site.told for file in told["files"]]
    assert [path for path in paths if not path.startswith(str(host.root))] == []


def test_a_hundred_peers_cost_no_more_executions_than_one(host, tmp_path):
    site = Site(host, tmp_path, {**INVENTORY, **SPOKES})
    assert site.deploy()["executions"] == 2
    assert len(list((host.root / "config/psk").iterdir())) == 101
    assert site.deploy()["executions"] == 1


def test_only_what_differs_is_sent(host, tmp_path):
    site = Site(host, tmp_path)
    site.deploy()
    nara = {"nara": {**INVENTORY["osaka"], "ipsec_address": "210.33.33.33", "ipsec_networks": ["192.168.30.0/24"]}}
    result = site.deploy({**INVENTORY, **nara})
    sent = [file["path"].rpartition("/")[2] for file in site.told[-1][1]["files"] if "content" in file]
    assert sorted(sent) == ["gateway", "nara.psk", "racoon2.conf"]
    assert result["service"] == ["gateway reload", "reload"]


def test_the_first_execution_carries_no_content(host, tmp_path):
    site = Site(host, tmp_path)
    site.deploy()
    (_name, probe), (_other, _apply) = site.told
    key = (tmp_path / "keys" / "osaka--tokyo.psk").read_text()
    assert key not in json.dumps(probe) and not any("content" in file for file in probe["files"])
    assert (host.root / "config/psk/osaka.psk").read_text() == key


def test_a_missing_library_is_installed_in_between(host, tmp_path, monkeypatch):
    host.has_cryptography = False
    monkeypatch.setattr(ipsec_apply, "PACKAGE_MANAGERS", {"apt": sys.executable})
    site = Site(host, tmp_path)
    result = site.deploy()
    assert [name for name, _arguments in site.told][1] == "ansible.builtin.apt"
    assert result["changed"] and result["executions"] == 3


@pytest.mark.parametrize(
    ("options", "told", "executions"),
    [
        ({}, [["nftables"]], 3),
        ({"packet_filter": "iptables"}, [["iptables"]], 3),
        ({"packages": []}, [], 2),
        ({"nat_exemption": False, "mss_clamp": False}, [], 2),
    ],
)
def test_a_packet_filter_is_installed_where_rules_need_one(host, tmp_path, monkeypatch, options, told, executions):
    monkeypatch.setattr(gateway_rules, "_PATH", str(tmp_path))
    monkeypatch.setattr(ipsec_apply, "PACKAGE_MANAGERS", {"apt": sys.executable})
    site = Site(host, tmp_path, **options)
    assert site.deploy()["executions"] == executions
    assert [options["name"] for name, options in site.told if name == "ansible.builtin.apt"] == told


def test_check_mode_makes_no_key_and_writes_nothing(host, tmp_path):
    result = Site(host, tmp_path, check_mode=True).deploy()
    assert result["changed"] and result["files"] and host.files() == ["proc/net/ipv4/ip_forward"]
    assert not (tmp_path / "keys").exists()


def test_a_rotation_goes_through_its_files_with_none_missing_on_the_way(host, tmp_path, monkeypatch):
    site = Site(host, tmp_path)
    site.deploy()
    store = PskStore(tmp_path / "keys")
    rotations, ends = Rotations(store), make_plan(INVENTORY).sites
    pair, folder = (ends["osaka"], ends["tokyo"]), host.root / "config/psk"
    old = store.read(*pair)
    rotations.begin(*pair)
    seen = watch_keys(monkeypatch, folder)
    assert site.deploy()["service"] == ["reload"]
    assert content(folder) == {"osaka.psk": old, "osaka.psk.next": store.read_next(*pair)}
    assert rotations.progress(*pair).holders == {"tokyo"}
    new = store.read_next(*pair)
    rotations.switch(*pair)
    result = site.deploy()
    assert content(folder) == {"osaka.psk": new, "osaka.psk.previous": old}
    rotations.retire(*pair)
    site.deploy()
    assert content(folder) == {"osaka.psk": new}
    assert len(seen) == 5 and all({old, new} <= set(keys.values()) for keys in seen[:-1])
    assert old.decode() not in json.dumps(result) and new.decode() not in json.dumps(result)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".new")}


def watch_keys(monkeypatch, folder):
    """What the folder holds after each change of a file in it."""
    seen = []

    def watched(method):
        def change(path, *arguments, **options):
            result = method(path, *arguments, **options)
            if path.parent == folder and not (path.name.endswith(".new") and method is unlink):
                seen.append(content(folder))
            return result

        return change

    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", watched(unlink))
    monkeypatch.setattr(Path, "replace", watched(Path.replace))
    return seen


@pytest.mark.parametrize(
    ("confirm", "client", "seconds"),
    [
        ("auto", "192.168.20.9", 45),
        ("auto", "172.16.0.9", 0),
        ("always", "172.16.0.9", 45),
        ("never", "192.168.20.9", 0),
    ],
)
def test_what_captures_the_controllers_connection_has_to_be_confirmed(
    host, tmp_path, monkeypatch, confirm, client, seconds
):
    monkeypatch.setattr(ipsec_apply, "this_connection", lambda: (client, "192.168.10.1"))
    result = Site(host, tmp_path, confirm=confirm, confirm_seconds=45).deploy()
    timer = host.root / "unit/tanuki-ipsec-undo.timer"
    assert result["confirm_seconds"] == seconds and timer.exists() == bool(seconds)


class CutOff(Site):
    """A site whose answer to the deployment itself doesn't come."""

    lost: dict | Exception

    def _execute_module(self, module_name, module_args, task_vars):
        answer = super()._execute_module(module_name, module_args, task_vars)
        if module_args.get("probe"):
            return answer
        if isinstance(self.lost, Exception):
            raise self.lost
        return self.lost


NOTHING_CAME = {"failed": True, "msg": "Module result deserialization failed", "module_stdout": "", "rc": 255}


@pytest.mark.parametrize("lost", [NOTHING_CAME, AnsibleConnectionFailure("timed out")], ids=["silence", "timeout"])
def test_an_answer_that_the_change_cuts_off_is_no_failure_while_the_host_waits_to_be_confirmed(host, tmp_path, lost):
    site = CutOff(host, tmp_path, confirm="always")
    site.lost = lost
    result = site.deploy()
    assert result["changed"] and result["unanswered"] and result["confirm_seconds"] == 60 and "failed" not in result
    assert (host.root / "unit/tanuki-ipsec-undo.timer").exists()
    again = Site(host, tmp_path, confirm="always").deploy()
    assert "unanswered" not in again and not (host.root / "unit/tanuki-ipsec-undo.timer").exists()


@pytest.mark.parametrize(
    ("confirm", "lost"),
    [("never", NOTHING_CAME), ("always", {"failed": True, "msg": "the disk is full"})],
)
def test_any_other_failure_is_one(host, tmp_path, confirm, lost):
    site = CutOff(host, tmp_path, confirm=confirm)
    site.lost = lost
    result = site.deploy()
    assert result["failed"] and result["msg"] == lost["msg"]


def test_a_connection_that_fails_where_nobody_undoes_is_a_failure(host, tmp_path):
    site = CutOff(host, tmp_path, confirm="never")
    site.lost = AnsibleConnectionFailure("timed out")
    with pytest.raises(AnsibleConnectionFailure):
        site.deploy()


def test_the_next_run_that_gets_through_confirms(host, tmp_path):
    site = Site(host, tmp_path, confirm="always")
    site.deploy()
    assert (host.root / "unit/tanuki-ipsec-undo.timer").exists()
    assert site.deploy()["executions"] == 1
    assert not (host.root / "unit/tanuki-ipsec-undo.timer").exists()


def test_weak_profiles_and_keys_are_warned_about_without_being_shown(host, tmp_path):
    site = Site(host, tmp_path, psks={"tokyo--osaka": "hunter2"})
    result = site.deploy()
    assert any("3des_cbc" in text for text in site.warned) and any("shorter than" in text for text in site.warned)
    assert "hunter2" not in json.dumps(result) + "".join(site.warned)


def test_a_wrong_inventory_touches_no_host(host, tmp_path):
    site = Site(host, tmp_path)
    with pytest.raises(AnsibleActionFail, match=r"tokyo: ipsec_networks: 192\.168\.10\.0/24 is osaka's"):
        site.deploy({**INVENTORY, "osaka": {**INVENTORY["osaka"], "ipsec_networks": ["192.168.10.0/24"]}})
    assert site.told == []
