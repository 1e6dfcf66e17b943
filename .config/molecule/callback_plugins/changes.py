"""Keeps what a converge.yml changed, and what it announced in check mode, for lab/changes.py to compare."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible import context
from ansible.plugins.callback import CallbackBase

_KEPT = ("diff", "files", "settings", "routes", "service", "stdout")


class CallbackModule(CallbackBase):
    """One JSON file a run: a list of results, each with host, task, changed and what it said of the change.

    A run in check mode begins anew; the first real one after it is kept, later ones aren't.
    """

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "changes"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.directory = Path(os.environ["MOLECULE_CHANGES"])
        self.results = []
        self.deploys = False

    def v2_playbook_on_start(self, playbook):
        self.deploys = Path(playbook._file_name).name == "converge.yml"

    def v2_runner_on_ok(self, result):
        said = {name: result._result[name] for name in _KEPT if name in result._result}
        changed = bool(result._result.get("changed"))
        entry = {"host": result._host.get_name(), "task": result._task.get_name(), "changed": changed}
        self.results.append({**entry, **said})

    def v2_playbook_on_stats(self, stats):
        if not self.deploys:
            return
        check, converge = self.directory / "check.json", self.directory / "converge.json"
        if context.CLIARGS["check"]:
            self.directory.mkdir(parents=True, exist_ok=True)
            converge.unlink(missing_ok=True)
            check.write_text(json.dumps(self.results, indent=1))
        elif check.exists() and not converge.exists():
            converge.write_text(json.dumps(self.results, indent=1))
