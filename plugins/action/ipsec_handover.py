# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_handover: what administrators of sites that Ansible doesn't manage have to enter. Runs on the controller."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.controller import NoPlace, beside_inventory, plan_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.handover.sheet import SheetFile, handover
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.keys import collect_keys
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.psk_store import PskStore, PskStoreError, operator_keys

ARGUMENT_SPEC = {
    "group": {"type": "str", "default": "ipsec_sites"},
    "directory": {"type": "str", "default": "handover"},
    "psk_directory": {"type": "str", "default": "psk"},
    "psks": {"type": "dict", "default": {}, "no_log": True},
}


class ActionModule(ActionBase):
    """See plugins/modules/ipsec_handover.py for what it takes and returns."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        variables = task_vars or {}
        try:
            folder = beside_inventory(arguments["directory"], variables)
            wanted = {folder / site / file.name: file for site, file in self._files(arguments, variables)}
            changed = [path for path, file in wanted.items() if not _is(path, file)]
            for path in [] if self._task.check_mode else changed:
                _write(path, wanted[path])
        except (NoPlace, InventoryError, PskStoreError) as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            raise AnsibleActionFail("the hand-over, or the key store: {}".format(error)) from error
        return {"changed": bool(changed), "files": [str(path) for path in wanted]}

    def _files(self, arguments: dict[str, Any], variables: dict[str, Any]) -> Iterator[tuple[str, SheetFile]]:
        """Each file with the name of the site that it's for."""
        plan = plan_of(variables, arguments["group"])
        store = PskStore(beside_inventory(arguments["psk_directory"], variables))
        given = operator_keys(arguments["psks"], plan.sites)
        for site in plan.sites.values():
            ends = plan.ends[site.name]
            if site.managed or not ends:
                continue
            keys, complaints = collect_keys(ends, store, given, make=not self._task.check_mode)
            for complaint in complaints:
                self._display.warning(complaint)
            for file in handover(site, ends, {name: found.newest for name, found in keys.items()}):
                yield site.name, file


def _mode(file: SheetFile) -> int:
    return 0o600 if file.secret else 0o644


def _is(path: Path, file: SheetFile) -> bool:
    return path.is_file() and path.read_bytes() == file.content and path.stat().st_mode & 0o777 == _mode(file)


def _write(path: Path, file: SheetFile) -> None:
    """Replace the file as a whole. Folders with keys are closed to others."""
    path.parent.mkdir(mode=0o700 if file.secret else 0o755, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(file.content)
            os.fchmod(stream.fileno(), _mode(file))
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
