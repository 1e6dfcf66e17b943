# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two actions share that judge both ends of a site's tunnels: their options, and where the evidence lies."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.evidence.ends import Pair
from .inventory import InventoryError
from .pairs import Registered, pairs_of

ARGUMENT_SPEC = {
    "group": {"type": "str", "default": "ipsec_sites"},
    "before": {"type": "str", "default": "ipsec_before"},
    "probes": {"type": "str", "default": "ipsec_probes"},
    "evidence": {"type": "str", "default": "ipsec_evidence"},
    "every": {"type": "bool", "default": False},
}


class TwoEnded(ActionBase):
    """An action that runs on the controller alone and judges pairs of ends."""

    ARGUMENT_SPEC = ARGUMENT_SPEC
    _supports_check_mode = True
    _requires_connection = False

    def arguments(self) -> dict[str, Any]:
        _validation, arguments = self.validate_argument_spec(argument_spec=self.ARGUMENT_SPEC)
        return arguments

    def pairs(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> list[Pair]:
        """The tunnels of the task's host with the evidence of both ends."""
        variables = task_vars or {}
        sites = variables["groups"].get(arguments["group"], [])
        host = variables["inventory_hostname"]
        if host not in sites:
            raise AnsibleActionFail("{} is not in the group {}, so it has no tunnels".format(host, arguments["group"]))
        names = Registered(arguments["before"], arguments["probes"], arguments["evidence"])
        try:
            return pairs_of(variables["hostvars"], host, sites, names, arguments["every"])
        except InventoryError as error:
            raise AnsibleActionFail(str(error)) from error
