# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_tunnel_assert: do both kernels hold the same tunnels, and do packets cross? Runs on the controller alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.correlation import correlate
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.diagnosis import diagnose, report
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.ends import Pair
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.sanity import FAILS, HOLDS, UNSURE
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.two_ended import ARGUMENT_SPEC, TwoEnded


class ActionModule(TwoEnded):
    """See plugins/modules/ipsec_tunnel_assert.py for what it takes and returns."""

    ARGUMENT_SPEC = {**ARGUMENT_SPEC, "strict": {"type": "bool", "default": False}}

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = self.arguments()
        judged = [(pair, _verdict(pair)) for pair in self.pairs(arguments, task_vars)]
        for text in (text for _pair, verdict in judged for text in verdict[UNSURE]):
            self._display.warning("not proven: {}".format(text))
        result: dict[str, Any] = {"changed": False, "tunnels": [verdict for _pair, verdict in judged]}
        failing = [one for one in judged if one[1][FAILS] or (arguments["strict"] and not one[1]["proven"])]
        if failing:
            result.update(failed=True, msg=_message(failing, len(judged)))
        return result


def _verdict(pair: Pair) -> dict[str, Any]:
    checks = correlate(pair)
    texts = {state: [check.text for check in checks if check.state == state] for state in (HOLDS, FAILS, UNSURE)}
    return {"ends": [end.name for end in pair.ends], "proven": not texts[FAILS] and not texts[UNSURE], **texts}


def _message(failing: Sequence[tuple[Pair, dict[str, Any]]], total: int) -> str:
    """What fails, and what the diagnosis makes of it."""
    lines = ["{} of {} tunnels not proven".format(len(failing), total)]
    lines += ["fails: {}".format(text) for _pair, verdict in failing for text in verdict[FAILS]]
    return "\n".join([*lines, report([diagnose(pair) for pair, _verdict in failing])])
