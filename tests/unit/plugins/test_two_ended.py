"""The actions that judge both ends: which tunnels a site answers for, and what they return of registered evidence."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.tanuki.ipsec.plugins.action import ipsec_diagnose, ipsec_tunnel_assert
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_diagnose as diagnose_documentation
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_tunnel_assert as assert_documentation
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.pairs import Registered, pairs_of

from tests.unit.plugins.told import INVENTORY, Told, esp_is_lost

DOCUMENTED = [
    (ipsec_diagnose.ActionModule, diagnose_documentation),
    (ipsec_tunnel_assert.ActionModule, assert_documentation),
]


def hostvars(told):
    """What the three steps have registered at both sites."""
    return {
        name: {
            **INVENTORY[name],
            "ipsec_before": told.before[name],
            "ipsec_probes": {"looked_at": [], "probes": told.probes[name]},
            "ipsec_evidence": told.after[name],
        }
        for name in INVENTORY
    }


def run(action, variables, host="tokyo", **arguments):
    class Action(action):
        def __init__(self):
            self.warned = []
            self._task = SimpleNamespace(check_mode=False, args=arguments, action="ipsec", async_val=0)
            self._display = SimpleNamespace(warning=self.warned.append)
            self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="unused"))

        def validate_argument_spec(self, argument_spec):
            return None, {**{name: option["default"] for name, option in argument_spec.items()}, **arguments}

    acting = Action()
    task_vars = {"groups": {"ipsec_sites": list(INVENTORY)}, "hostvars": variables, "inventory_hostname": host}
    return acting.run(task_vars=task_vars), acting.warned


def test_a_healthy_tunnel_is_proven_at_the_end_that_initiates_it():
    variables = hostvars(Told())
    at_osaka, _warned = run(ipsec_tunnel_assert.ActionModule, variables, "osaka")
    at_tokyo, _warned = run(ipsec_tunnel_assert.ActionModule, variables, "tokyo")
    assert [verdict["proven"] for verdict in at_osaka["tunnels"]] == [True]
    assert at_tokyo["tunnels"] == [] and not at_osaka.get("failed")
    at_both, _warned = run(ipsec_tunnel_assert.ActionModule, variables, "tokyo", every=True)
    assert at_both["tunnels"][0]["ends"] == ["tokyo", "osaka"]


def test_a_failure_names_the_cause():
    told = Told()
    esp_is_lost(told)
    result, _warned = run(ipsec_tunnel_assert.ActionModule, hostvars(told), "osaka")
    assert result["failed"] and result["changed"] is False
    assert "1 of 1 tunnels not proven" in result["msg"]
    assert "1. ESP doesn't get through between the gateways" in result["msg"]


@pytest.mark.parametrize("lost", [{"unreachable": True}, {"failed": True, "msg": "no"}, "skipped", {}])
def test_a_peer_that_was_not_looked_at_is_not_proven(lost):
    variables = hostvars(Told())
    variables["osaka"]["ipsec_evidence"] = lost
    result, warned = run(ipsec_tunnel_assert.ActionModule, variables, "tokyo")
    assert [verdict["proven"] for verdict in result["tunnels"]] == [False]
    assert not result.get("failed") and "osaka couldn't be looked at" in warned[0]
    strict, _warned = run(ipsec_tunnel_assert.ActionModule, variables, "tokyo", strict=True)
    assert strict["failed"]


def test_the_diagnosis_is_returned_and_never_fails():
    told = Told()
    esp_is_lost(told)
    result, _warned = run(ipsec_diagnose.ActionModule, hostvars(told), "osaka")
    assert result["healthy"] is False and not result.get("failed")
    assert result["tunnels"][0]["causes"][0]["cause"] == "esp_lost"
    assert result["report"][0].startswith("BAD 192.168.10.0/24 -> 192.168.20.0/24 (tokyo to osaka)")


def test_a_host_outside_the_group_has_no_tunnels():
    with pytest.raises(AnsibleActionFail, match="nara is not in the group ipsec_sites"):
        run(ipsec_diagnose.ActionModule, hostvars(Told()), "nara")


@pytest.mark.parametrize(("action", "documentation"), DOCUMENTED)
def test_the_actions_take_what_is_documented(action, documentation):
    documented = yaml.safe_load(documentation.DOCUMENTATION)["options"]
    assert sorted(documented) == sorted(action.ARGUMENT_SPEC)
    for name, option in action.ARGUMENT_SPEC.items():
        assert {key: documented[name].get(key) for key in ("type", "default")} == option


def test_a_site_behind_nat_is_known_by_its_own_address():
    variables = hostvars(Told())
    variables["tokyo"]["ipsec_own_address"] = "10.0.0.2"
    names = Registered("ipsec_before", "ipsec_probes", "ipsec_evidence")
    (pair,) = pairs_of(variables, "tokyo", list(INVENTORY), names, every=True)
    assert (str(pair.first.expected.local), str(pair.second.expected.peer)) == ("10.0.0.2", "210.11.11.11")
