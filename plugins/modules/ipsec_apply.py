#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's half of ipsec_deploy: thin, see plugins/module_utils/deploy/."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_apply
short_description: Bring one host to the state that M(tanuki.ipsec.ipsec_deploy) computed
version_added: 0.1.0
description:
  - The part of M(tanuki.ipsec.ipsec_deploy) that runs on the host. Use that one; this one takes its answers.
  - Compares files by keyed digests, asks for the contents that differ, lets the daemon check a new configuration
    before anything is replaced, swaps the files, and tells the service no more than what the change needs.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Pre-shared keys and the program are shown as fingerprints.
  platform:
    support: full
    platforms: linux
requirements:
  - systemd
options:
  files:
    description: The files that the host is to have, and no others of ours.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where it lies.
        type: str
        required: true
      role:
        description: What it is; this decides what the service is told when it changes.
        type: str
        required: true
        choices: [configuration, psk, application, unit, sysctl]
      mode:
        description: Its permissions, in octal.
        type: str
        required: true
      digest:
        description: HMAC-SHA-256 of its content with O(key), in hexadecimal.
        type: str
        required: true
      content:
        description: The content, deflated and in base64. Left out where the host is believed to have it.
        type: str
  directories:
    description: The directories that the files need, with their permissions in octal.
    type: dict
    required: true
  key:
    description: The key of the digests, made anew for each run.
    type: str
    required: true
  state_directory:
    description: Where the manifest of what was written is kept.
    type: path
    required: true
  service:
    description: The systemd unit.
    type: str
    required: true
  control:
    description: The daemon's control socket, where it's asked to reload.
    type: path
    required: true
  python:
    description: The interpreter that runs the daemon.
    type: path
    required: true
  settings:
    description: Kernel settings and their values.
    type: dict
    required: true
  probe:
    description: Stop and say what is needed, if anything is. Where nothing is, go on.
    type: bool
    default: false
  validate:
    description: Let the daemon check the new configuration.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Deploy (computes the options of this module)
  tanuki.ipsec.ipsec_deploy:
"""

RETURN = r"""
needs:
  description: The files whose content has to be sent. Only then is anything else missing from the result.
  returned: with O(probe), where something is needed
  type: list
  elements: str
lacks_cryptography:
  description: Whether the interpreter lacks the library C(cryptography).
  returned: with O(probe), where something is needed
  type: bool
package_manager:
  description: The host's package manager, V(apt) or V(dnf), or empty.
  returned: with O(probe), where something is needed
  type: str
files:
  description: The files that changed, each with V(created), V(updated), V(permissions), V(directory) or V(removed).
  returned: otherwise
  type: dict
settings:
  description: The kernel settings that changed, with their new values.
  returned: otherwise
  type: dict
service:
  description: What the service was told.
  returned: otherwise
  type: list
  elements: str
tunnel_changes:
  description: The tunnels of each kind of change, where the daemon was told to reload.
  returned: otherwise
  type: dict
"""

import base64
import os
import zlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.deployment import Deployment, Target
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.files import ROLES, WantedFile
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import DeployError, exclusive

PACKAGE_MANAGERS = {"apt": "/usr/bin/apt-get", "dnf": "/usr/bin/dnf"}

FILE_SPEC = {
    "path": {"type": "str", "required": True},
    "role": {"type": "str", "required": True, "choices": list(ROLES)},
    "mode": {"type": "str", "required": True},
    "digest": {"type": "str", "required": True},
    "content": {"type": "str", "no_log": True},
}
ARGUMENT_SPEC = {
    "files": {"type": "list", "elements": "dict", "required": True, "options": FILE_SPEC},
    "directories": {"type": "dict", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "state_directory": {"type": "path", "required": True},
    "service": {"type": "str", "required": True},
    "control": {"type": "path", "required": True},
    "python": {"type": "path", "required": True},
    "settings": {"type": "dict", "required": True},
    "probe": {"type": "bool", "default": False},
    "validate": {"type": "bool", "default": True},
}


def wanted_file(parameters: dict) -> WantedFile:
    content = parameters["content"]
    return WantedFile(
        path=Path(parameters["path"]),
        role=parameters["role"],
        mode=int(parameters["mode"], 8),
        digest=parameters["digest"],
        content=None if content is None else zlib.decompress(base64.b64decode(content)),
    )


def target(module: AnsibleModule) -> Target:
    parameters = module.params
    return Target(
        run=module.run_command,
        state_directory=Path(parameters["state_directory"]),
        directories={Path(path): int(mode, 8) for path, mode in parameters["directories"].items()},
        service=parameters["service"],
        control=Path(parameters["control"]),
        python=parameters["python"],
        settings=parameters["settings"],
    )


def deploy(module: AnsibleModule) -> dict:
    """The module's result, while no other deployment is at work on this host. Raises DeployError, OSError."""
    with exclusive(Path(module.params["state_directory"]).parent):
        return deploy_alone(module)


def deploy_alone(module: AnsibleModule) -> dict:
    wanted = [wanted_file(parameters) for parameters in module.params["files"]]
    deployment = Deployment(target(module), wanted, module.params["key"])
    if module.params["probe"]:
        needs = deployment.needs()
        lacks_cryptography = deployment.lacks_cryptography()
        if needs or lacks_cryptography:
            managers = [name for name, path in PACKAGE_MANAGERS.items() if os.access(path, os.X_OK)]
            return {
                "changed": False,
                "needs": needs,
                "lacks_cryptography": lacks_cryptography,
                "package_manager": "".join(managers[:1]),
            }
    outcome = deployment.apply(dry=module.check_mode, validate=module.params["validate"])
    for warning in outcome.warnings:
        module.warn(warning)
    return {
        "changed": outcome.changed,
        "files": outcome.files,
        "settings": outcome.settings,
        "service": list(outcome.service),
        "tunnel_changes": outcome.tunnels,
        "diff": outcome.diff if module._diff else [],
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = deploy(module)
    except DeployError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="{}: {}".format(error.filename or "the host", error.strerror or error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
