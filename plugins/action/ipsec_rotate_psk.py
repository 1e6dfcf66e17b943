# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_rotate_psk: one step of a rotation. All but `prove` run on the controller alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.controller import NoPlace, beside_inventory, plan_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.implementations import IMPLEMENTATIONS, Racoon2
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.keys import pair_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.psk_store import PskStore, PskStoreError, operator_keys
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rotation import Rotations
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rotation_steps import (
    Report,
    Run,
    begin,
    close,
    read_wanted,
    retire,
    switch,
    unproven,
)

PROVE = "prove"
_STEPS = {"begin": begin, "switch": switch, "retire": retire, "close": close}

ARGUMENT_SPEC = {
    "step": {"type": "str", "required": True, "choices": [*_STEPS, PROVE]},
    "group": {"type": "str", "default": "ipsec_sites"},
    "pairs": {"type": "list", "elements": "str", "default": []},
    "psk_directory": {"type": "str", "default": "psk"},
    "psks": {"type": "dict", "default": {}, "no_log": True},
    "psks_next": {"type": "dict", "default": {}, "no_log": True},
    "handed_over": {"type": "bool", "default": False},
    "anybody": {"type": "bool", "default": False},
    "implementation": {"type": "str", "default": "xfrm_linux", "choices": list(IMPLEMENTATIONS)},
    "control": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """See plugins/modules/ipsec_rotate_psk.py for what it takes and returns."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        self.task_vars = task_vars or {}
        try:
            run = self._run(arguments)
            if arguments["step"] == PROVE:
                return self._prove(run, arguments)
            report = _STEPS[arguments["step"]](run, self._task.check_mode)
        except (NoPlace, InventoryError, PskStoreError) as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            raise AnsibleActionFail("the key store: {}".format(error)) from error
        return _told(report)

    def _run(self, arguments: Mapping[str, Any]) -> Run:
        plan = plan_of(self.task_vars, arguments["group"])
        return Run(
            plan=plan,
            rotations=Rotations(PskStore(beside_inventory(arguments["psk_directory"], self.task_vars))),
            hosts=frozenset(self.task_vars["ansible_play_hosts_all"]),
            wanted=read_wanted(arguments["pairs"], plan),
            given=operator_keys(arguments["psks"], plan.sites),
            brought=operator_keys(arguments["psks_next"], plan.sites, "ipsec_psks_next"),
            handed_over=arguments["handed_over"],
        )

    def _prove(self, run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Have this host authenticate anew where that is its turn, and remember how it went."""
        site = self.task_vars["inventory_hostname"]
        ends = {end.name: end for end in unproven(run, site, arguments["anybody"])}
        if isinstance(IMPLEMENTATIONS[arguments["implementation"]], Racoon2):
            for end in unproven(run, site, anybody=True):
                run.rotations.record_unaskable(end.local, end.peer, site)
            ends = {}
        if not ends or self._task.check_mode:
            return _told(Report())
        options: dict[str, Any] = {"tunnels": list(ends)}
        if arguments["control"]:
            options["control"] = arguments["control"]
        answer = self._execute_module(
            module_name="tanuki.ipsec.ipsec_reauthenticate", module_args=options, task_vars=self.task_vars
        )
        if "tunnels" not in answer:
            return answer
        report = Report()
        for name, reason in answer["tunnels"].items():
            end, label = ends[name], "--".join(pair_of(ends[name]))
            if reason:
                self._display.warning("{}: {}: the new key isn't proven: {}".format(site, name, reason))
                report.waiting[label] = reason
            else:
                run.rotations.record_proof(end.local, end.peer)
                report.done.append(label)
        return _told(report)


def _told(report: Report) -> dict[str, Any]:
    return {"changed": bool(report.done), **report.data()}
