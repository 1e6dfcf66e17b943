#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticate with peers anew: thin, see plugins/module_utils/evidence/daemon.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_reauthenticate
short_description: Authenticate with peers anew, without an interruption
version_added: 0.1.0
description:
  - For each tunnel has the daemon make a fresh IKE SA, with the pre-shared key that its file has now, and fresh
    security associations in the kernel; only then do the old ones go. Where that fails the old ones stay.
  - Asks this collection's daemon. Upstream's racoon2 can't be told.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: Authenticates nothing.
  diff_mode:
    support: none
  platform:
    support: full
    platforms: linux, freebsd
options:
  tunnels:
    description: The tunnels' names in racoon2.conf, as M(tanuki.ipsec.ipsec_deploy) returns them.
    type: list
    elements: str
    required: true
  control:
    description: The daemon's control socket. Without it, where this system's daemon listens.
    type: path
  timeout:
    description: How many seconds each tunnel may take.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Have a changed key prove itself
  tanuki.ipsec.ipsec_reauthenticate:
    tunnels: [osaka]
  become: true
"""

RETURN = r"""
tunnels:
  description: Each tunnel with the reason why it failed; empty where it didn't.
  returned: always
  type: dict
  sample:
    osaka: ""
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.daemon import CONTROL_SPEC, Daemon, DaemonError

ARGUMENT_SPEC = {
    **CONTROL_SPEC,
    "tunnels": {"type": "list", "elements": "str", "required": True},
    "timeout": {"type": "float", "default": 60},
}


def reauthenticate(daemon: Daemon, tunnel: str, timeout: float) -> str:
    """Why it failed, "" if it didn't."""
    try:
        daemon.reauthenticate(tunnel, timeout)
    except DaemonError as error:
        return str(error)
    return ""


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    daemon, timeout = Daemon(module.params["control"]), module.params["timeout"]
    names = module.params["tunnels"]
    if module.check_mode:
        module.exit_json(changed=bool(names), tunnels=dict.fromkeys(names, ""))
    outcomes = {name: reauthenticate(daemon, name, timeout) for name in names}
    failures = ["{}: {}".format(name, reason) for name, reason in outcomes.items() if reason]
    if failures:
        module.fail_json(msg="\n".join(failures), tunnels=outcomes)
    module.exit_json(changed=bool(names), tunnels=outcomes)


if __name__ == "__main__":
    main()
