# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_impact: read a host's deployed configuration and unit, and say what a deployment would do to its tunnels."""

from __future__ import annotations

import base64
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.files import CONFIGURATION, UNIT
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.controller import plan_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.impact import effects, impact
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.implementations import IMPLEMENTATIONS, Unfit
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError

ARGUMENT_SPEC = {
    "group": {"type": "str", "default": "ipsec_sites"},
    "python": {"type": "str", "default": "/usr/bin/python3"},
    "implementation": {"type": "str", "default": "xfrm_linux", "choices": list(IMPLEMENTATIONS)},
}

_ABSENT = "file not found"  # how slurp begins to say that there's no file


class ActionModule(ActionBase):
    """See plugins/modules/ipsec_impact.py for what it takes and returns."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        self.task_vars = task_vars or {}
        name, implementation = self.task_vars["inventory_hostname"], IMPLEMENTATIONS[arguments["implementation"]]
        try:
            plan = plan_of(self.task_vars, arguments["group"])
            if name not in plan.sites:
                raise AnsibleActionFail("{} is not in the group {}".format(name, arguments["group"]))
            files = implementation.files(plan.sites[name], plan.ends[name], {}, arguments["python"])
        except (InventoryError, Unfit) as error:
            raise AnsibleActionFail(str(error)) from error
        planned = {file.role: file for file in files if file.role in (CONFIGURATION, UNIT)}
        deployed = {role: self._slurp(file.path) for role, file in planned.items()}
        # Upstream's daemons can't reload: any change is a restart. Ours are only restarted for a changed unit.
        decisive = UNIT if UNIT in planned else CONFIGURATION
        restart = deployed[decisive] is not None and deployed[decisive] != planned[decisive].content
        found = impact(deployed[CONFIGURATION], planned[CONFIGURATION].content, restart)
        return {"changed": False, "tunnels": found, "text": effects(found)}

    def _slurp(self, path: str) -> bytes | None:
        """A file's content, None where there's no such file."""
        answer = self._execute_module(
            module_name="ansible.builtin.slurp", module_args={"path": path}, task_vars=self.task_vars
        )
        if "content" in answer:
            return base64.b64decode(answer["content"])
        if str(answer.get("msg", "")).lower().startswith(_ABSENT):
            return None
        raise AnsibleActionFail("{}: {}".format(path, answer.get("msg", "can't be read")))
