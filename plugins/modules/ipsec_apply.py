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
    platforms: linux, freebsd
requirements:
  - systemd, or FreeBSD's rc
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
        choices: [configuration, psk, application, unit, sysctl, gateway, gateway_unit]
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
  implementation:
    description:
      - What the host runs. V(xfrm_linux) is our daemon on Linux, V(bundled) our daemon on FreeBSD, V(racoon2)
        upstream's daemons there.
    type: str
    default: xfrm_linux
    choices: [xfrm_linux, bundled, racoon2]
  service:
    description: The systemd unit; Linux only.
    type: str
    default: tanuki-iked.service
  gateway_service:
    description: The systemd unit that loads the packet filter's rules for the tunnels' traffic; Linux only.
    type: str
    default: tanuki-ipsec-gateway.service
  packet_filters:
    description: The packet filters that those rules are written for, the preferred one first. Empty without rules.
    type: list
    elements: str
    choices: [nftables, iptables]
    default: []
  demands:
    description: What the tunnels ask of the host; FreeBSD only, where it's looked at before anything is changed.
    type: dict
    default: {}
    suboptions:
      algorithms:
        description: The algorithms of ESP that the kernel has to have, by this collection's names.
        type: list
        elements: str
        default: []
      ike_3des:
        description: Whether a tunnel encrypts IKE with 3DES.
        type: bool
        default: false
      peers:
        description: The peers' addresses.
        type: list
        elements: str
        default: []
      far_networks:
        description: The networks behind them.
        type: list
        elements: str
        default: []
  secrets:
    description: Files that only this host needs to know, filled with random bytes where they're missing.
    type: list
    elements: path
    default: []
  control:
    description: The daemon's control socket, where it's asked to reload.
    type: path
    required: true
  python:
    description: The interpreter that runs the daemon.
    type: path
    required: true
  settings:
    description: Kernel settings and their values. On FreeBSD a name without a dot is a variable of rc.conf.
    type: dict
    required: true
  remove_routes:
    description: Take static routes to the far networks away, from the kernel and from rc.conf; FreeBSD only.
    type: bool
    default: false
  confirm_seconds:
    description: Undo the deployment after so many seconds unless it's confirmed. V(0) for never; Linux only.
    type: int
    default: 0
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
lacks_program:
  description: Whether something has to be installed - the library C(cryptography), or upstream's daemons.
  returned: with O(probe), where something is needed
  type: bool
lacks_packages:
  description: The package of a packet filter, where rules are to be loaded and none of O(packet_filters) is there.
  returned: with O(probe), where something is needed
  type: list
  elements: str
connection:
  description: The addresses of the controller and of this host in the SSH connection that leads here, if one does.
  returned: with O(probe), where something is needed
  type: list
  elements: str
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
routes:
  description: The static routes to far networks that were removed.
  returned: otherwise
  type: list
  elements: str
foreseen:
  description: What the service will be told.
  returned: with O(probe), where something is needed
  type: list
  elements: str
service:
  description: What the service was told.
  returned: otherwise
  type: list
  elements: str
tunnel_changes:
  description:
    - The tunnels of each kind of change, where the daemon was told to reload. C(disturbed) are those that were to keep
      their security associations and didn't, for which the module fails.
  returned: otherwise
  type: dict
"""

import base64
import ipaddress
import os
import zlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.commands import run
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.connection import this_connection
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.deployment import Deployment, Target
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.files import GATEWAY, ROLES, UNIT, WantedFile
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.freebsd import Bundled, Racoon2
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.gateway_rules import PROGRAMS, GatewayRules
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.linux import Linux
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import DeployError, exclusive
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.obstacles import Demands
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.service import DISTURBED
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.system import System
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.undo import Undo

PACKAGE_MANAGERS = {"apt": "/usr/bin/apt-get", "dnf": "/usr/bin/dnf"}

FILE_SPEC = {
    "path": {"type": "str", "required": True},
    "role": {"type": "str", "required": True, "choices": list(ROLES)},
    "mode": {"type": "str", "required": True},
    "digest": {"type": "str", "required": True},
    "content": {"type": "str", "no_log": True},
}
DEMANDS_SPEC = {
    "algorithms": {"type": "list", "elements": "str", "default": []},
    "ike_3des": {"type": "bool", "default": False},
    "peers": {"type": "list", "elements": "str", "default": []},
    "far_networks": {"type": "list", "elements": "str", "default": []},
}
ARGUMENT_SPEC = {
    "files": {"type": "list", "elements": "dict", "required": True, "options": FILE_SPEC},
    "directories": {"type": "dict", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "state_directory": {"type": "path", "required": True},
    "implementation": {"type": "str", "default": "xfrm_linux", "choices": ["xfrm_linux", "bundled", "racoon2"]},
    "service": {"type": "str", "default": "tanuki-iked.service"},
    "gateway_service": {"type": "str", "default": "tanuki-ipsec-gateway.service"},
    "packet_filters": {"type": "list", "elements": "str", "choices": list(PROGRAMS), "default": []},
    "demands": {"type": "dict", "default": {}, "options": DEMANDS_SPEC},
    "secrets": {"type": "list", "elements": "path", "default": [], "no_log": False},
    "control": {"type": "path", "required": True},
    "python": {"type": "path", "required": True},
    "settings": {"type": "dict", "required": True},
    "remove_routes": {"type": "bool", "default": False},
    "confirm_seconds": {"type": "int", "default": 0},
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
        run=run,
        system=system(module),
        state_directory=Path(parameters["state_directory"]),
        directories={Path(path): int(mode, 8) for path, mode in parameters["directories"].items()},
        python=parameters["python"],
        settings=parameters["settings"],
        secrets=[Path(path) for path in parameters["secrets"]],
        undo=undo(module) if parameters["confirm_seconds"] else None,
        confirm_seconds=parameters["confirm_seconds"],
    )


def undo(module: AnsibleModule) -> Undo | None:
    """What undoes a deployment on this host; None where that isn't Linux with systemd."""
    units = [Path(file["path"]).parent for file in module.params["files"] if file["role"] == UNIT]
    if module.params["implementation"] != "xfrm_linux":
        return None
    directory = Path(module.params["state_directory"]) / "undo"
    return Undo(run, directory, units[0], module.params["service"], module.params["gateway_service"])


def go_on(module: AnsibleModule) -> None:
    """Who gets here can reach the host: a deployment that waits for that stays. One that was undone is told of."""
    earlier = undo(module)
    if earlier is None:
        return
    if not module.check_mode:
        earlier.disarm()
    told = earlier.told(forget=not module.check_mode)
    if told:
        module.warn(told)


def system(module: AnsibleModule) -> System:
    """The host's system. Raises ValueError for an address or a network that is none."""
    parameters = module.params
    control, python = Path(parameters["control"]), parameters["python"]
    if parameters["implementation"] == "xfrm_linux":
        return Linux(run, parameters["service"], control, python, gateway_rules(module))
    host = (run, demands(parameters["demands"]), parameters["remove_routes"])
    return (
        Bundled(*host, control=control, python=python) if parameters["implementation"] == "bundled" else Racoon2(*host)
    )


def gateway_rules(module: AnsibleModule) -> GatewayRules:
    scripts = [Path(file["path"]) for file in module.params["files"] if file["role"] == GATEWAY]
    return GatewayRules(run, module.params["gateway_service"], scripts[0], tuple(module.params["packet_filters"]))


def demands(parameters: dict) -> Demands:
    return Demands(
        algorithms=tuple(parameters["algorithms"]),
        ike_3des=parameters["ike_3des"],
        peers=tuple(ipaddress.ip_address(peer) for peer in parameters["peers"]),
        far_networks=tuple(ipaddress.ip_network(network) for network in parameters["far_networks"]),
    )


def deploy(module: AnsibleModule) -> dict:
    """The module's result, while no other deployment is at work on this host. Raises DeployError, OSError."""
    with exclusive(Path(module.params["state_directory"]).parent):
        return deploy_alone(module)


def deploy_alone(module: AnsibleModule) -> dict:
    go_on(module)
    wanted = [wanted_file(parameters) for parameters in module.params["files"]]
    deployment = Deployment(target(module), wanted, module.params["key"])
    if module.params["probe"]:
        needs = deployment.needs()
        lacks_program, lacks_packages = deployment.lacks_program(), deployment.lacks_packages()
        if needs or lacks_program or lacks_packages:
            managers = [name for name, path in PACKAGE_MANAGERS.items() if os.access(path, os.X_OK)]
            return {
                "changed": False,
                "needs": needs,
                "lacks_program": lacks_program,
                "foreseen": list(deployment.foreseen()),
                "lacks_packages": lacks_packages,
                "package_manager": "".join(managers[:1]),
                "connection": list(this_connection()),
            }
    outcome = deployment.apply(dry=module.check_mode, validate=module.params["validate"])
    for warning in outcome.warnings:
        module.warn(warning)
    return {
        "changed": outcome.changed,
        "files": outcome.files,
        "settings": outcome.settings,
        "routes": outcome.routes,
        "service": list(outcome.service),
        "tunnel_changes": outcome.tunnels,
        "diff": outcome.diff if module._diff else [],
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = deploy(module)
    except (DeployError, ValueError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="{}: {}".format(error.filename or "the host", error.strerror or error))
    disturbed = result.get("tunnel_changes", {}).get(DISTURBED, [])
    if disturbed:
        text = "deployed, but these tunnels were to go on undisturbed and lost security associations: {}"
        module.fail_json(msg=text.format(", ".join(disturbed)), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
