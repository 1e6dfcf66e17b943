#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a deployment off a host: thin, see plugins/module_utils/deploy/removal.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_remove
short_description: Remove what M(tanuki.ipsec.ipsec_deploy) has put on a host
version_added: 0.1.0
description:
  - Ends the daemon, which tells its peers; takes its security associations and policies out of the kernel; removes its
    unit, program, configuration, pre-shared keys and kernel settings' file; then its directories where they're empty.
  - Removes nothing else. Files are ours where they lie as they were written; one that someone else has changed stays,
    with a warning. Security associations and policies are ours by their request ids.
  - The running kernel keeps its settings (forwarding), because something else may need them by now. Its next boot
    starts without ours.
  - B(Traffic between the sites is no longer protected afterwards), nor held back.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Names what goes; contents aren't shown.
  platform:
    support: full
    platforms: linux
requirements:
  - systemd
options:
  service:
    description: The systemd unit.
    type: str
    default: tanuki-iked.service
  state_directory:
    description: Where the manifest of what was written is kept.
    type: path
    default: /var/lib/tanuki-ipsec
  directories:
    description: The directories that a deployment makes. They go where nothing else is left in them.
    type: list
    elements: path
    default: [/etc/racoon2, /etc/racoon2/psk, /usr/local/lib/tanuki-ipsec]
"""

EXAMPLES = r"""
- name: Remove the tunnels of this site
  tanuki.ipsec.ipsec_remove:
  become: true
"""

RETURN = r"""
service:
  description: What systemd was told.
  returned: success
  type: list
  elements: str
  sample: [stop, disable, daemon-reload]
sas:
  description: The security associations that left the kernel. The daemon's end may have removed them before.
  returned: success
  type: list
  elements: str
policies:
  description: The security policies that left the kernel.
  returned: success
  type: list
  elements: str
  sample: ["out: 192.168.10.0/24 to 192.168.20.0/24"]
files:
  description: The files and directories that were removed.
  returned: success
  type: list
  elements: str
left:
  description: What stayed although it was deployed once, and why.
  returned: success
  type: list
  elements: str
"""

import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import DeployError, exclusive
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.removal import Deployed, Removal
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.base import Kernel, KernelError
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.open import open_kernel

ARGUMENT_SPEC = {
    "service": {"type": "str", "default": "tanuki-iked.service"},
    "state_directory": {"type": "path", "default": "/var/lib/tanuki-ipsec"},
    "directories": {
        "type": "list",
        "elements": "path",
        "default": ["/etc/racoon2", "/etc/racoon2/psk", "/usr/local/lib/tanuki-ipsec"],
    },
}


def remove(module: AnsibleModule, kernel: Kernel) -> dict:
    """The module's result. Raises DeployError, KernelError, OSError."""
    parameters = module.params
    state_directory = Path(parameters["state_directory"])
    deployed = Deployed(
        run=module.run_command,
        kernel=kernel,
        state_directory=state_directory,
        directories=[Path(name) for name in parameters["directories"]],
        service=parameters["service"],
    )
    with exclusive(state_directory.parent):
        removed = Removal(deployed).apply(dry=module.check_mode)
    for text in removed.left:
        module.warn("left there: " + text)
    return {
        "changed": removed.changed,
        "service": list(removed.service),
        "sas": removed.sas,
        "policies": removed.policies,
        "files": removed.files,
        "left": removed.left,
        "diff": removed.diff if module._diff else [],
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if not sys.platform.startswith("linux"):
        module.fail_json(msg="removal knows Linux with systemd only, this is {}".format(sys.platform))
    try:
        kernel = open_kernel()
        try:
            result = remove(module, kernel)
        finally:
            kernel.close()
    except (DeployError, KernelError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="{}: {}".format(error.filename or "the host", error.strerror or error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
