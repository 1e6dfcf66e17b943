"""The action plugin and its module together: how often a host is asked, and what it is told.

The host is simulated (see simulated.py); between the two, the plugin's real plan, files and keys.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.tanuki.ipsec.plugins.action import ipsec_deploy
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_apply
from ansible_collections.tanuki.ipsec.plugins.plugin_utils import implementations
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.implementations import XfrmLinux
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import Paths

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
        defaults = {"probe": False, "validate": True, "secrets": [], "demands": {}}
        files = [{"content": None, **file} for file in arguments["files"]]
        module = SimpleNamespace(
            params={**defaults, **arguments, "files": files},
            run_command=self.run,
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
    for name in ("lib", "units", "sysctl"):
        (root / name).mkdir()
    paths = Paths(str(root / "etc"), str(root / "lib"), str(root / "state"), str(root / "units"), str(root / "sysctl"))
    monkeypatch.setitem(ipsec_deploy.IMPLEMENTATIONS, "xfrm_linux", XfrmLinux(paths=paths))
    monkeypatch.setattr(Paths, "control", property(lambda _paths: str(simulated.target.system.control)))
    monkeypatch.setattr(implementations, "kernel_settings", lambda ipv6: {})
    monkeypatch.setattr(ipsec_deploy.ActionBase, "run", lambda *_arguments: {})
    yield simulated
    simulated.close()


def test_the_first_deployment_takes_two_executions_and_the_second_one(host, tmp_path):
    site = Site(host, tmp_path)
    first = site.deploy()
    assert first["changed"] and first["executions"] == 2
    second = site.deploy()
    assert not second["changed"] and second["executions"] == 1


def test_a_hundred_peers_cost_no_more_executions_than_one(host, tmp_path):
    site = Site(host, tmp_path, {**INVENTORY, **SPOKES})
    assert site.deploy()["executions"] == 2
    assert len(list((host.root / "etc/psk").iterdir())) == 101
    assert site.deploy()["executions"] == 1


def test_only_what_differs_is_sent(host, tmp_path):
    site = Site(host, tmp_path)
    site.deploy()
    nara = {"nara": {**INVENTORY["osaka"], "ipsec_address": "210.33.33.33", "ipsec_networks": ["192.168.30.0/24"]}}
    result = site.deploy({**INVENTORY, **nara})
    sent = [file["path"].rpartition("/")[2] for file in site.told[-1][1]["files"] if "content" in file]
    assert sorted(sent) == ["nara.psk", "racoon2.conf"] and result["service"] == ["reload"]


def test_the_first_execution_carries_no_content(host, tmp_path):
    site = Site(host, tmp_path)
    site.deploy()
    (_name, probe), (_other, _apply) = site.told
    key = (tmp_path / "keys" / "osaka--tokyo.psk").read_text()
    assert key not in json.dumps(probe) and not any("content" in file for file in probe["files"])
    assert (host.root / "etc/psk/osaka.psk").read_text() == key


def test_a_missing_library_is_installed_in_between(host, tmp_path, monkeypatch):
    host.has_cryptography = False
    monkeypatch.setattr(ipsec_apply, "PACKAGE_MANAGERS", {"apt": sys.executable})
    site = Site(host, tmp_path)
    result = site.deploy()
    assert [name for name, _arguments in site.told][1] == "ansible.builtin.apt"
    assert result["changed"] and result["executions"] == 3


def test_check_mode_makes_no_key_and_writes_nothing(host, tmp_path):
    result = Site(host, tmp_path, check_mode=True).deploy()
    assert result["changed"] and result["files"] and host.files() == ["proc/net/ipv4/ip_forward"]
    assert not (tmp_path / "keys").exists()


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
