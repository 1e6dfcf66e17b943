"""ipsec_plan and ipsec_impact: the plan of an inventory, and what it does to what is deployed."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.tanuki.ipsec.plugins.action import ipsec_impact, ipsec_plan
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_impact as impact_documentation
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_plan as plan_documentation
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.gateway import unit_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import Paths
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan

INVENTORY = {
    "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"], "ipsec_profile": "2007"},
    "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"], "ipsec_profile": "2007"},
    "nara": {"ipsec_address": "210.33.33.33", "ipsec_networks": ["192.168.30.0/24"], "ipsec_profile": "2007"},
}


def acting(plugin, inventory, monkeypatch, files=None, **arguments):
    """Run an action plugin for tokyo; ``files`` are what slurp finds on it."""

    class Action(plugin.ActionModule):
        def __init__(self):
            self._task = SimpleNamespace(check_mode=False)

        def validate_argument_spec(self, argument_spec):
            return None, {name: arguments.get(name, option["default"]) for name, option in argument_spec.items()}

        def _execute_module(self, module_name, module_args, task_vars):
            assert module_name == "ansible.builtin.slurp"
            content = files.get(module_args["path"])
            if content is None:
                return {"failed": True, "msg": "File not found: " + module_args["path"]}
            return content if isinstance(content, dict) else {"content": base64.b64encode(content).decode()}

    monkeypatch.setattr(plugin.ActionBase, "run", lambda *_arguments: {})
    variables = {"groups": {"ipsec_sites": list(inventory)}, "hostvars": inventory, "inventory_hostname": "tokyo"}
    return Action().run(task_vars=variables)


def deployed(inventory, unit="as it is now"):
    plan, paths = make_plan(inventory), Paths()
    text = unit_text(paths, "/usr/bin/python3") if unit == "as it is now" else unit
    return {
        paths.configuration: configuration_text(plan.sites["tokyo"], plan.ends["tokyo"], paths).encode(),
        paths.unit: text.encode(),
    }


def impact_of(inventory, monkeypatch, files):
    tunnels = acting(ipsec_impact, inventory, monkeypatch, files)["tunnels"]
    return {kind: names for kind, names in tunnels.items() if names}


def test_the_plan_comes_as_data_and_as_text(monkeypatch):
    result = acting(ipsec_plan, INVENTORY, monkeypatch)
    assert [tunnel["sites"] for tunnel in result["plan"]["tunnels"]] == [
        ["nara", "osaka"],
        ["nara", "tokyo"],
        ["osaka", "tokyo"],
    ]
    assert "Tunnels (3)" in result["text"] and not result.get("failed")


def test_strict_fails_at_a_warning_and_still_shows_the_plan(monkeypatch):
    weak = {name: {**site, "ipsec_profile": "2007"} for name, site in INVENTORY.items()}
    result = acting(ipsec_plan, weak, monkeypatch, strict=True)
    assert result["failed"] and "profile 2007: 3des_cbc" in result["msg"] and result["plan"]["tunnels"]


def test_an_impossible_plan_fails_with_its_reasons(monkeypatch):
    with pytest.raises(AnsibleActionFail, match="tokyo: ipsec_address: the site has no public address"):
        acting(ipsec_plan, {"tokyo": {"ipsec_networks": ["10.0.0.0/8"]}}, monkeypatch)


def test_on_a_fresh_host_every_tunnel_is_added(monkeypatch):
    assert impact_of(INVENTORY, monkeypatch, {}) == {"added": ["nara_1_out", "osaka_1_out"]}


def test_a_deployed_plan_changes_nothing(monkeypatch):
    assert impact_of(INVENTORY, monkeypatch, deployed(INVENTORY)) == {"kept": ["nara_1_out", "osaka_1_out"]}


def test_one_more_site_leaves_the_others_alone(monkeypatch):
    before = {name: INVENTORY[name] for name in ("tokyo", "osaka")}
    assert impact_of(INVENTORY, monkeypatch, deployed(before)) == {"added": ["nara_1_out"], "kept": ["osaka_1_out"]}
    assert impact_of(before, monkeypatch, deployed(INVENTORY)) == {"removed": ["nara_1_out"], "kept": ["osaka_1_out"]}


def test_a_peers_new_address_changes_its_tunnel_only(monkeypatch):
    moved = {**INVENTORY, "osaka": {**INVENTORY["osaka"], "ipsec_address": "210.22.22.99"}}
    found = impact_of(moved, monkeypatch, deployed(INVENTORY))
    assert found == {"changed": ["osaka_1_out"], "kept": ["nara_1_out"]}


def test_a_new_unit_interrupts_what_would_be_kept(monkeypatch):
    found = impact_of(INVENTORY, monkeypatch, deployed(INVENTORY, unit="[Service]\n"))
    assert found == {"interrupted": ["nara_1_out", "osaka_1_out"]}


def test_a_configuration_that_does_not_load_counts_as_none(monkeypatch):
    files = {Paths().configuration: b"not ours {"}
    assert impact_of(INVENTORY, monkeypatch, files) == {"added": ["nara_1_out", "osaka_1_out"]}


def test_a_file_that_may_not_be_read_is_not_taken_for_none(monkeypatch):
    files = {Paths().unit: {"failed": True, "msg": "file is not readable"}}
    with pytest.raises(AnsibleActionFail, match="file is not readable"):
        impact_of(INVENTORY, monkeypatch, files)


@pytest.mark.parametrize(
    ("plugin", "documentation"), [(ipsec_plan, plan_documentation), (ipsec_impact, impact_documentation)]
)
def test_each_takes_what_is_documented(plugin, documentation):
    options = yaml.safe_load(documentation.DOCUMENTATION)["options"]
    assert sorted(options) == sorted(plugin.ARGUMENT_SPEC)
    for name, spec in plugin.ARGUMENT_SPEC.items():
        assert (options[name]["type"], options[name]["default"]) == (spec["type"], spec["default"])


def test_another_profile_renews_a_tunnel_and_another_network_changes_it(monkeypatch):
    files = deployed(INVENTORY)
    moved = {name: {**site, "ipsec_profile": "ikev1-aes"} for name, site in INVENTORY.items()}
    assert impact_of(moved, monkeypatch, files) == {"renewed": ["nara_1_out", "osaka_1_out"]}
    assert acting(ipsec_impact, moved, monkeypatch, files)["text"] == [
        "renewed (no packet is lost, if the other end follows in the lifetime of their SAs): nara_1_out, osaka_1_out"
    ]
    osaka = {**INVENTORY["osaka"], "ipsec_networks": ["192.168.29.0/24"]}
    found = impact_of({**INVENTORY, "osaka": osaka}, monkeypatch, files)
    assert found == {"changed": ["osaka_1_out"], "kept": ["nara_1_out"]}


def test_a_restart_interrupts_what_would_be_renewed(monkeypatch):
    moved = {name: {**site, "ipsec_profile": "ikev1-aes"} for name, site in INVENTORY.items()}
    found = impact_of(moved, monkeypatch, deployed(INVENTORY, unit="an older one"))
    assert found == {"interrupted": ["nara_1_out", "osaka_1_out"]}
