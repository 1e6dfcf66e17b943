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
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.two_ended import TwoEnded


class ActionModule(TwoEnded):
    """See plugins/modules/ipsec_tunnel_assert.py for what it takes and returns."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        pairs = self.pairs(task_vars)
        verdicts = [_verdict(pair) for pair in pairs]
        for verdict in verdicts:
            for text in verdict[UNSURE]:
                self._display.warning("not proven: {}".format(text))
        result: dict[str, Any] = {"changed": False, "tunnels": verdicts}
        failing = [pair for pair, verdict in zip(pairs, verdicts) if not verdict["proven"]]
        if failing:
            result.update(failed=True, msg=_message(verdicts, failing))
        return result


def _verdict(pair: Pair) -> dict[str, Any]:
    checks = correlate(pair)
    texts = {state: [check.text for check in checks if check.state == state] for state in (HOLDS, FAILS, UNSURE)}
    seen = all(end.seen for end in pair.ends)
    return {"ends": [end.name for end in pair.ends], "proven": seen and not texts[FAILS], **texts}


def _message(verdicts: Sequence[dict[str, Any]], failing: Sequence[Pair]) -> str:
    """What fails, and what the diagnosis makes of it."""
    lines = ["{} of {} tunnels not proven".format(len(failing), len(verdicts))]
    lines += ["fails: {}".format(text) for verdict in verdicts for text in verdict[FAILS]]
    return "\n".join([*lines, report([diagnose(pair) for pair in failing])])
