#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Confirm a deployment: thin, see plugins/module_utils/deploy/undo.py. On the controller, the action of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_confirm
short_description: Confirm a deployment that the host would undo otherwise
version_added: 0.1.0
description:
  - Connects to the host anew. If it gets there, the deployment that waits for it stays. If it doesn't, it waits until
    the host has put back what was there before, and fails with what the host says.
  - Changes nothing where no deployment waits to be confirmed, see O(tanuki.ipsec.ipsec_deploy#module:confirm).
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    support: full
    platforms: linux
options:
  seconds:
    description: How long the host waits; that long, and half a minute more, the controller tries to reach it.
    type: int
    default: 60
  state_directory:
    description: Where the deployment keeps its state.
    type: path
    default: /var/lib/tanuki-ipsec
  unit_directory:
    description: Where the host's units are.
    type: path
    default: /etc/systemd/system
"""

EXAMPLES = r"""
- name: Confirm the deployment, if the host can still be reached
  tanuki.ipsec.ipsec_confirm:
    seconds: 60
  become: true
"""

RETURN = r"""
confirmed:
  description: Whether a deployment waited to be confirmed, and has been.
  returned: success
  type: bool
undone:
  description: What the host says of a deployment that it has undone; empty where it hasn't.
  returned: always
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.commands import run
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import DeployError
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.undo import Undo

ARGUMENT_SPEC = {
    "seconds": {"type": "int", "default": 60},
    "state_directory": {"type": "path", "default": "/var/lib/tanuki-ipsec"},
    "unit_directory": {"type": "path", "default": "/etc/systemd/system"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    directory = Path(module.params["state_directory"]) / "undo"
    undo = Undo(run, directory, Path(module.params["unit_directory"]), "", "")
    try:
        undone = undo.told(forget=not module.check_mode)
        confirmed = undo.armed if module.check_mode else undo.disarm()
    except (DeployError, OSError) as error:
        module.fail_json(msg=str(error))
    if undone:
        module.fail_json(msg=undone, undone=undone)
    module.exit_json(changed=confirmed, confirmed=confirmed, undone="")


if __name__ == "__main__":
    main()
