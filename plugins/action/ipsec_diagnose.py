# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_diagnose: name the causes, from the evidence that both ends have registered. Runs on the controller alone."""

from __future__ import annotations

from typing import Any

from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.diagnosis import diagnose, report
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.two_ended import TwoEnded


class ActionModule(TwoEnded):
    """See plugins/modules/ipsec_diagnose.py for what it takes and returns."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        diagnoses = [diagnose(pair) for pair in self.pairs(self.arguments(), task_vars)]
        return {
            "changed": False,
            "healthy": all(diagnosis.healthy for diagnosis in diagnoses),
            "tunnels": [diagnosis.as_data() for diagnosis in diagnoses],
            "report": report(diagnoses).splitlines(),
        }
