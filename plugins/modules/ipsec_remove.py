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
  - Ends the daemon, which tells its peers; takes the packet filter's rules for the tunnels' traffic away, and the
    daemon's security associations and policies out of the kernel; removes units, program, configuration, pre-shared
    keys and kernel settings' file; then its directories where they're empty. On FreeBSD the services' variables leave
    C(rc.conf).
  - Removes nothing else. Files are ours where they lie as they were written; one that someone else has changed stays,
    with a warning. Security associations and policies are ours by their request ids.
    Upstream's racoon2 gives none - what leads between the ends of a configured tunnel is taken for its own.
  - The running kernel keeps its settings (forwarding), because something else may need them by now. Its next boot
    starts without ours; on FreeBSD C(gateway_enable) stays in C(rc.conf), and so does C(spmd.pwd) beside the
    configuration.
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
    platforms: linux, freebsd
requirements:
  - systemd, or FreeBSD's rc
options:
  implementation:
    description: What the host runs, as O(tanuki.ipsec.ipsec_deploy#module:implementation) has it.
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
  state_directory:
    description:
      - Where the manifest of what was written is kept; by default C(/var/lib/tanuki-ipsec), on FreeBSD
        C(/var/db/tanuki-ipsec).
    type: path
  configuration:
    description: The configuration of V(racoon2), which names the ends of its tunnels.
    type: path
    default: /usr/local/etc/racoon2/racoon2.conf
  directories:
    description: The directories that a deployment makes. They go where nothing else is left in them. By default those
      of O(implementation).
    type: list
    elements: path
"""

EXAMPLES = r"""
- name: Remove the tunnels of this site
  tanuki.ipsec.ipsec_remove:
  become: true
"""

RETURN = r"""
service:
  description: What the services were told.
  returned: success
  type: list
  elements: str
  sample: [stop, disable, gateway stop, gateway disable, daemon-reload]
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

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.commands import run
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.ending import Ending, RcEnding, SystemdEnding
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.gateway_rules import GatewayRules
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import DeployError, exclusive
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.removal import Deployed, Removal
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.undo import UNITS, Undo
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.gather import meaning_of
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.base import Kernel, KernelError
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.open import open_kernel
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.policy.spd import spd_entries

LINUX = "linux"
FREEBSD = "freebsd"
SERVICES = {"bundled": ("tanuki_iked",), "racoon2": ("spmd", "iked")}  # in the order of their start
STATE_DIRECTORY = {LINUX: "/var/lib/tanuki-ipsec", FREEBSD: "/var/db/tanuki-ipsec"}
DIRECTORIES = {
    LINUX: [
        "/etc/racoon2",
        "/etc/racoon2/psk",
        "/usr/local/lib/tanuki-ipsec",
        "/etc/systemd/system/nftables.service.d",
    ],
    FREEBSD: ["/usr/local/etc/racoon2", "/usr/local/etc/racoon2/psk", "/usr/local/libexec/tanuki-ipsec"],
}
ARGUMENT_SPEC = {
    "implementation": {"type": "str", "default": "xfrm_linux", "choices": ["xfrm_linux", *SERVICES]},
    "service": {"type": "str", "default": "tanuki-iked.service"},
    "gateway_service": {"type": "str", "default": "tanuki-ipsec-gateway.service"},
    "state_directory": {"type": "path"},
    "configuration": {"type": "path", "default": "/usr/local/etc/racoon2/racoon2.conf"},
    "directories": {"type": "list", "elements": "path"},
}


def services(module: AnsibleModule) -> Ending:
    parameters = module.params
    if parameters["implementation"] in SERVICES:
        return RcEnding(run, SERVICES[parameters["implementation"]])
    gateway = GatewayRules(run, parameters["gateway_service"])
    return SystemdEnding(run, parameters["service"], gateway)


def tunnel_ends(configuration: str) -> frozenset:
    """(source, destination) of every template in the configuration; none where it can't be read."""
    try:
        text = Path(configuration).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return frozenset()
    templates = (template for policy in spd_entries(meaning_of(text)) for template in policy.templates)
    return frozenset((template.source, template.destination) for template in templates)


def remove(module: AnsibleModule, kernel: Kernel) -> dict:
    """The module's result. Raises DeployError, KernelError, OSError."""
    parameters = module.params
    system = FREEBSD if parameters["implementation"] in SERVICES else LINUX
    state_directory = Path(parameters["state_directory"] or STATE_DIRECTORY[system])
    deployed = Deployed(
        kernel=kernel,
        state_directory=state_directory,
        directories=[Path(name) for name in parameters["directories"] or DIRECTORIES[system]],
        services=services(module),
        ends=tunnel_ends(parameters["configuration"]) if parameters["implementation"] == "racoon2" else frozenset(),
    )
    with exclusive(state_directory.parent):
        if system == LINUX and not module.check_mode:
            forget_undo(state_directory)
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


def forget_undo(state_directory: Path) -> None:
    """A deployment that waits to be confirmed would put back what is about to go."""
    undo = Undo(run, state_directory / "undo", UNITS, "", "")
    undo.disarm()
    undo.told(forget=True)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
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
