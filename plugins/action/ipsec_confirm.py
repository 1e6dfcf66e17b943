# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_confirm: reach the host over a fresh connection; or wait until it has undone the deployment, and say so."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

ARGUMENT_SPEC = {
    "seconds": {"type": "int", "default": 60},
    "state_directory": {"type": "str", "default": "/var/lib/tanuki-ipsec"},
    "unit_directory": {"type": "str", "default": "/etc/systemd/system"},
}

_LATER = 30.0  # seconds after the host's time is over
_PAUSE = 5.0


class ActionModule(ActionBase):
    """See plugins/modules/ipsec_confirm.py for what it takes and returns."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        deadline, reason = time.monotonic() + arguments["seconds"] + _LATER, ""
        while True:
            self._connection.reset()
            try:
                answer = self._execute_module(
                    module_name="tanuki.ipsec.ipsec_confirm", module_args=arguments, task_vars=task_vars
                )
            except AnsibleConnectionFailure as error:
                reason = str(error)
            else:
                return _told(answer, reason)
            if time.monotonic() > deadline:
                raise AnsibleConnectionFailure(
                    "out of reach since the deployment, though the host should have undone it by now: " + reason
                )
            time.sleep(_PAUSE)


def _told(answer: dict[str, Any], reason: str) -> dict[str, Any]:
    """The host's answer; where it undid the deployment, with why it was out of reach."""
    if answer.get("undone") and reason:
        answer["msg"] = "{}; the controller couldn't reach it: {}".format(answer["undone"], reason)
    return answer
