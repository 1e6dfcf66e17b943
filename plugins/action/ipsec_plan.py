# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_plan: the plan of the whole inventory and what's questionable in it. Runs on the controller alone."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.controller import management, plan_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.lint import WARNING, lint
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan_view import plan_data, plan_text

ARGUMENT_SPEC = {
    "group": {"type": "str", "default": "ipsec_sites"},
    "strict": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """See plugins/modules/ipsec_plan.py for what it takes and returns."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        variables = task_vars or {}
        try:
            plan = plan_of(variables, arguments["group"])
        except InventoryError as error:
            raise AnsibleActionFail(str(error)) from error
        managed = {name: variables["hostvars"][name] for name, site in plan.sites.items() if site.managed}
        findings = lint(plan, management(managed))
        data = plan_data(plan, findings)
        warnings = [finding for finding in findings if finding.severity == WARNING]
        result = {"changed": False, "plan": data, "text": plan_text(data).splitlines()}
        if arguments["strict"] and warnings:
            return {**result, "failed": True, "msg": "\n".join(map(str, warnings))}
        return result
