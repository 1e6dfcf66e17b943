# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_status: what all sites have registered, as one report. Runs on the controller alone."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.controller import NoPlace, beside_inventory, plan_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.document import fleet_document
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.metrics import fleet_metrics
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.page import fleet_page
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.fleet.text import fleet_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError

ARGUMENT_SPEC = {
    "group": {"type": "str", "default": "ipsec_sites"},
    "answers": {"type": "str", "default": "ipsec_status_answer"},
    "directory": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """See plugins/modules/ipsec_status.py for what it takes and returns."""

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
        answers = {name: variables["hostvars"][name].get(arguments["answers"]) or {} for name in plan.sites}
        document = fleet_document(plan, answers, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
        files = self._write(document, arguments["directory"], variables) if arguments["directory"] else []
        return {
            "changed": False,
            "status": document,
            "text": fleet_text(document).splitlines(),
            "files": [str(path) for path in files],
        }

    def _write(self, document: dict[str, Any], directory: str, variables: dict[str, Any]) -> list[Path]:
        """The three files, each replaced as a whole: something may be reading them. In check mode only their names."""
        texts = {
            "status.json": json.dumps(document, indent=1) + "\n",
            "status.prom": fleet_metrics(document),
            "status.html": fleet_page(document),
        }
        try:
            folder = beside_inventory(directory, variables)
            if not self._task.check_mode:
                folder.mkdir(parents=True, exist_ok=True)
                for name, text in texts.items():
                    _replace(folder / name, text)
        except (NoPlace, OSError) as error:
            raise AnsibleActionFail("directory: {}".format(error)) from error
        return [folder / name for name in texts]


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".{}.".format(path.name), dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
