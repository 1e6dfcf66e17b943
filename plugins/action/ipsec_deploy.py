# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ipsec_deploy on the controller: plan, render, collect keys; ask the host what differs; send only that."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.service import RESTART
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.controller import NoPlace, beside_inventory, plan_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.gateway_work import AUTO, PACKET_FILTERS, GatewayWork
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.host_files import HostFile
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.implementations import (
    IMPLEMENTATIONS,
    Implementation,
    Racoon2,
    Unfit,
    XfrmLinux,
)
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.keys import Keys, collect_keys, record_phases
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.lint import captured, management_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import Plan, TunnelEnd, warnings
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.psk_store import PskStore, PskStoreError, operator_keys
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rotation import Rotations

ALWAYS, NEVER = "always", "never"

ARGUMENT_SPEC = {
    "group": {"type": "str", "default": "ipsec_sites"},
    "psk_directory": {"type": "str", "default": "psk"},
    "psks": {"type": "dict", "default": {}, "no_log": True},
    "python": {"type": "str", "default": "/usr/bin/python3"},
    "packages": {"type": "list", "elements": "str", "default": ["python3-cryptography"]},
    "commands": {"type": "list", "elements": "list", "default": []},
    "implementation": {"type": "str", "default": "xfrm_linux", "choices": list(IMPLEMENTATIONS)},
    "ikev2": {"type": "bool", "default": False},
    "remove_routes": {"type": "bool", "default": False},
    "confirm": {"type": "str", "default": AUTO, "choices": [AUTO, ALWAYS, NEVER]},
    "confirm_seconds": {"type": "int", "default": 60},
    "nat_exemption": {"type": "bool", "default": True},
    "mss_clamp": {"type": "bool", "default": True},
    "ftp_helper": {"type": "bool", "default": False},
    "packet_filter": {"type": "str", "default": AUTO, "choices": list(PACKET_FILTERS)},
}

_FROM_THE_MODULE = (
    "changed",
    "files",
    "settings",
    "routes",
    "service",
    "tunnel_changes",
    "unanswered",
    "diff",
    "warnings",
    "failed",
    "msg",
    "exception",
)
_RACOON2_RESTARTS = (
    "racoon2 knows no reload: iked and spmd stop, spmd and iked start, and until then packets between the sites may "
    "pass in clear"
)
_RACOON2_GONE = "FreeBSD took racoon2 out of its ports on 2025-06-02; docs/freebsd.md says where to get it"


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
            store = PskStore(beside_inventory(arguments["psk_directory"], self.task_vars))
            keys = self._keys(store, plan, ends, arguments["psks"])
            site = plan.sites[self.task_vars["inventory_hostname"]]
            files = self.implementation.files(site, ends, keys, arguments["python"])
        except (NoPlace, InventoryError, PskStoreError, Unfit) as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            raise AnsibleActionFail("the key store: {}".format(error)) from error
        for warning in warnings(ends):
            self._display.warning(warning)
        result = self._deploy(files, ends, arguments)
        if not result.get("failed") and "unanswered" not in result and not self._task.check_mode:
            self._record(store, ends, keys)
        return {key: value for key, value in result.items() if key in _FROM_THE_MODULE} | {
            "executions": self.executions,
            "confirm_seconds": result.get("confirm_seconds", 0),
            "tunnels": [{"name": end.name, "peer": end.peer.name, "profile": end.profile.name} for end in ends],
        }

    def _tunnels(self, group: str) -> tuple[Plan, tuple[TunnelEnd, ...]]:
        plan = plan_of(self.task_vars, group)
        name = self.task_vars["inventory_hostname"]
        if name not in plan.sites:
            raise AnsibleActionFail("{} is not in the group {}, so it has no tunnels".format(name, group))
        return plan, plan.ends[name]

    def _keys(self, store: PskStore, plan: Plan, ends: Sequence[TunnelEnd], psks: Mapping[str, Any]) -> Keys:
        given = operator_keys(psks, plan.sites)
        keys, complaints = collect_keys(ends, store, given, make=not self._task.check_mode)
        for complaint in complaints:
            self._display.warning(complaint)
        return keys

    def _record(self, store: PskStore, ends: Sequence[TunnelEnd], keys: Keys) -> None:
        try:
            record_phases(Rotations(store), ends, keys)
        except (PskStoreError, OSError) as error:
            raise AnsibleActionFail("deployed, but the key store can't remember it: {}".format(error)) from error

    def _deploy(
        self, files: Sequence[HostFile], ends: Sequence[TunnelEnd], arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Ask, install what's missing, send what differs: one execution where nothing differs, at most three."""
        options = {name: arguments[name] for name in ("python", "remove_routes")}
        parameters = {**self.implementation.parameters(ends), **options}
        key = secrets.token_hex(32)
        probe = {"key": key, "files": [file.parameters(key) for file in files], "probe": True}
        answer = self._on_the_host("tanuki.ipsec.ipsec_apply", {**parameters, **probe})
        if answer.get("failed") or "needs" not in answer:
            return answer
        installed = self._install(answer, arguments["packages"], arguments["commands"])
        if installed.get("failed"):
            return installed
        if self.implementation.name == "racoon2" and RESTART in answer["foreseen"]:
            self._display.warning("{}: {}".format(self.task_vars["inventory_hostname"], _RACOON2_RESTARTS))
        contents = [file.parameters(key, str(file.path) in answer["needs"]) for file in files]
        runnable = not ((answer["lacks_program"] or answer["lacks_packages"]) and self._task.check_mode)
        seconds = self._seconds_to_confirm(ends, answer["connection"], arguments)
        changes = {"key": key, "files": contents, "validate": runnable, "confirm_seconds": seconds}
        result = self._applied({**parameters, **changes}, seconds)
        result["confirm_seconds"] = 0 if self._task.check_mode else seconds
        result["changed"] = bool(result.get("changed") or installed.get("changed"))
        return result

    def _applied(self, options: dict[str, Any], seconds: int) -> dict[str, Any]:
        """The module's answer; where the change cut that off, and the host waits to be confirmed, why there's none."""
        try:
            result = self._on_the_host("tanuki.ipsec.ipsec_apply", options)
        except AnsibleConnectionFailure as error:
            if not seconds:
                raise
            return {"changed": True, "unanswered": str(error)}
        silent = result.get("failed") and not result.get("module_stdout", "silent").strip()
        if seconds and silent:
            return {"changed": True, "unanswered": "the connection ended before the host's answer came"}
        return result

    def _seconds_to_confirm(
        self, ends: Sequence[TunnelEnd], connection: Sequence[str], arguments: Mapping[str, Any]
    ) -> int:
        """After how many seconds the host is to undo this deployment; 0 for never."""
        if arguments["confirm"] == NEVER or not isinstance(self.implementation, XfrmLinux):
            if arguments["confirm"] == ALWAYS:
                self._display.warning("confirm: what this host runs knows no undo, the deployment stays")
            return 0
        way = management_of(connection)
        touched = way is not None and any(True for end in ends for _selector in captured(end, way))
        return arguments["confirm_seconds"] if touched or arguments["confirm"] == ALWAYS else 0

    def _install(
        self, answer: Mapping[str, Any], packages: Sequence[str], commands: Sequence[Sequence[str]]
    ) -> dict[str, Any]:
        """Install what the daemon lacks; the answer of the last module that was called for it."""
        if not answer["lacks_program"]:
            packages, commands = answer["lacks_packages"] if packages else [], []
            if not packages:
                return {}
        elif packages:
            packages = [*packages, *answer["lacks_packages"]]
        if self.implementation.install and packages:
            commands = [*commands, [*self.implementation.install, *packages]]
        if commands:
            return self._run_commands(commands)
        if self.implementation.name == "racoon2":
            raise AnsibleActionFail("spmd and iked are not in /usr/local/sbin: {}".format(_RACOON2_GONE))
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
                if self.implementation.name == "racoon2":
                    answer["msg"] += "\n{}".format(_RACOON2_GONE)
                break
        return answer

    def _on_the_host(self, module: str, options: dict[str, Any]) -> dict[str, Any]:
        self.executions += 1
        return self._execute_module(module_name=module, module_args=options, task_vars=self.task_vars)


def _implementation(arguments: Mapping[str, Any]) -> Implementation:
    chosen = IMPLEMENTATIONS[arguments["implementation"]]
    if isinstance(chosen, Racoon2):
        return replace(chosen, ikev2=arguments["ikev2"])
    if isinstance(chosen, XfrmLinux):
        parts = ("nat_exemption", "mss_clamp", "ftp_helper", "packet_filter")
        return replace(chosen, gateway=GatewayWork(**{name: arguments[name] for name in parts}))
    return chosen
