# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_deploy on the controller: plan, render, collect keys; ask the host what differs; send only that."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.controller import NoPlace, beside_inventory, plan_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.host_files import HostFile
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.implementations import (
    IMPLEMENTATIONS,
    Implementation,
    Racoon2,
    Unfit,
)
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.keys import collect_keys
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import Plan, TunnelEnd, warnings
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.psk_store import PskStore, PskStoreError, operator_keys

ARGUMENT_SPEC = {
    "group": {"type": "str", "default": "ipsec_sites"},
    "psk_directory": {"type": "str", "default": "psk"},
    "psks": {"type": "dict", "default": {}, "no_log": True},
    "python": {"type": "str", "default": "/usr/bin/python3"},
    "packages": {"type": "list", "elements": "str", "default": ["python3-cryptography"]},
    "commands": {"type": "list", "elements": "list", "default": []},
    "implementation": {"type": "str", "default": "xfrm_linux", "choices": list(IMPLEMENTATIONS)},
    "ikev2": {"type": "bool", "default": False},
}

_FROM_THE_MODULE = (
    "changed",
    "files",
    "settings",
    "service",
    "tunnel_changes",
    "diff",
    "warnings",
    "failed",
    "msg",
    "exception",
)


class ActionModule(ActionBase):
    """See plugins/modules/ipsec_deploy.py for what it takes and returns."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        self.task_vars = task_vars or {}
        self.executions = 0
        self.implementation = _implementation(arguments)
        try:
            plan, ends = self._tunnels(arguments["group"])
            files = self._files(plan, ends, arguments)
        except (NoPlace, InventoryError, PskStoreError, Unfit) as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            raise AnsibleActionFail("the key store: {}".format(error)) from error
        for warning in warnings(ends):
            self._display.warning(warning)
        result = self._deploy(files, ends, arguments)
        return {key: value for key, value in result.items() if key in _FROM_THE_MODULE} | {
            "executions": self.executions,
            "tunnels": [{"name": end.name, "peer": end.peer.name, "profile": end.profile.name} for end in ends],
        }

    def _tunnels(self, group: str) -> tuple[Plan, tuple[TunnelEnd, ...]]:
        plan = plan_of(self.task_vars, group)
        name = self.task_vars["inventory_hostname"]
        if name not in plan.sites:
            raise AnsibleActionFail("{} is not in the group {}, so it has no tunnels".format(name, group))
        return plan, plan.ends[name]

    def _files(self, plan: Plan, ends: Sequence[TunnelEnd], arguments: Mapping[str, Any]) -> list[HostFile]:
        store = PskStore(beside_inventory(arguments["psk_directory"], self.task_vars))
        given = operator_keys(arguments["psks"], plan.sites)
        keys, complaints = collect_keys(ends, store, given, make=not self._task.check_mode)
        for complaint in complaints:
            self._display.warning(complaint)
        site = plan.sites[self.task_vars["inventory_hostname"]]
        return self.implementation.files(site, ends, keys, arguments["python"])

    def _deploy(
        self, files: Sequence[HostFile], ends: Sequence[TunnelEnd], arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Ask, install what's missing, send what differs: one execution where nothing differs, at most three."""
        parameters = {**self.implementation.parameters(ends), "python": arguments["python"]}
        key = secrets.token_hex(32)
        probe = {"key": key, "files": [file.parameters(key) for file in files], "probe": True}
        answer = self._on_the_host("tanuki.ipsec.ipsec_apply", {**parameters, **probe})
        if answer.get("failed") or "needs" not in answer:
            return answer
        installed = self._install(answer, arguments["packages"], arguments["commands"])
        if installed.get("failed"):
            return installed
        contents = [file.parameters(key, str(file.path) in answer["needs"]) for file in files]
        runnable = not (answer["lacks_program"] and self._task.check_mode)
        result = self._on_the_host(
            "tanuki.ipsec.ipsec_apply", {**parameters, "key": key, "files": contents, "validate": runnable}
        )
        result["changed"] = bool(result.get("changed") or installed.get("changed"))
        return result

    def _install(
        self, answer: Mapping[str, Any], packages: Sequence[str], commands: Sequence[Sequence[str]]
    ) -> dict[str, Any]:
        """Install what the daemon lacks; the answer of the last module that was called for it."""
        if not answer["lacks_program"]:
            return {}
        if self.implementation.install and packages:
            commands = [*commands, [*self.implementation.install, *packages]]
        if commands:
            return self._run_commands(commands)
        if self.implementation.name == "racoon2":
            raise AnsibleActionFail("spmd and iked are not in /usr/local/sbin; docs/freebsd.md says where to get them")
        if not packages:
            return {}
        if not answer["package_manager"]:
            raise AnsibleActionFail("neither apt nor dnf is there to install {}".format(", ".join(packages)))
        options: dict[str, Any] = {"name": list(packages), "state": "present"}
        if answer["package_manager"] == "apt":
            options.update(update_cache=True, cache_valid_time=3600, install_recommends=False)
        return self._on_the_host("ansible.builtin." + answer["package_manager"], options)

    def _run_commands(self, commands: Sequence[Sequence[str]]) -> dict[str, Any]:
        """One after the other, until one fails. In check mode they'd all be run."""
        answer: dict[str, Any] = {"changed": True}
        for command in [] if self._task.check_mode else commands:
            answer = self._on_the_host("ansible.builtin.command", {"argv": list(command)})
            if answer.get("failed"):
                answer["msg"] = "{}: {}".format(" ".join(command), answer.get("stderr") or answer.get("msg"))
                break
        return answer

    def _on_the_host(self, module: str, options: dict[str, Any]) -> dict[str, Any]:
        self.executions += 1
        return self._execute_module(module_name=module, module_args=options, task_vars=self.task_vars)


def _implementation(arguments: Mapping[str, Any]) -> Implementation:
    chosen = IMPLEMENTATIONS[arguments["implementation"]]
    return replace(chosen, ikev2=arguments["ikev2"]) if isinstance(chosen, Racoon2) else chosen
