#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that one end can tell of its tunnels: what the proof and the diagnosis of both ends are made from."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_evidence
short_description: Gather what one end of a tunnel can tell
version_added: 0.1.0
description:
  - Returns what this host's kernel, daemon, configuration, key files, routes and packet filter say about some tunnels,
    as plain data. Never a key.
  - M(tanuki.ipsec.ipsec_tunnel_assert) and M(tanuki.ipsec.ipsec_diagnose) make a verdict of what both ends told.
  - What couldn't be looked at is named in RV(unseen); the rest is returned all the same.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.attributes.info
  - tanuki.ipsec.daemon
  - tanuki.ipsec.tunnels
attributes:
  check_mode:
    support: full
    details: Brings no tunnel up. Probes are sent all the same.
  platform:
    support: full
    platforms: linux, freebsd
requirements:
  - on Linux ip (iproute2), ping (iputils); nft and iptables-save where the kernel holds rules of theirs
options:
  tunnels:
    default: []
  look:
    description: What to look at.
    type: list
    elements: str
    choices: [kernel, daemon, configuration, keys, surroundings]
    default: [kernel, daemon, configuration, keys, surroundings]
  configuration:
    description:
      - The configuration file; by default the one that the roles write, C(/etc/racoon2/racoon2.conf), on FreeBSD
        C(/usr/local/etc/racoon2/racoon2.conf).
    type: path
  salt:
    description:
      - Goes into the fingerprints of the keys. Give both ends the same, and a new one each time.
      - Needed to look at V(keys).
    type: str
    default: ''
  probes:
    description:
      - Pings to send before looking; the filter P(tanuki.ipsec.ipsec_probes#filter) makes them.
      - Where small ones are answered, one is sent that fills the tunnel's MTU, and the biggest that passes is sought.
    type: list
    elements: dict
    default: []
    suboptions:
      tunnel:
        description: The tunnel that it belongs to.
        type: str
        required: true
      network:
        description: The near network.
        type: str
        required: true
      far:
        description: The far network.
        type: str
        required: true
      source:
        description: An address of this host in the near network.
        type: str
        required: true
      target:
        description: An address in the far network.
        type: str
        required: true
  bring_up:
    description: Before all else ask the daemon for the tunnels that this end initiates and that are down.
    type: bool
    default: false
  timeout:
    description: How long to wait for a tunnel that is asked for, in seconds.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Look at this end of the tunnels
  tanuki.ipsec.ipsec_evidence:
    tunnels: "{{ hostvars | tanuki.ipsec.ipsec_tunnels(inventory_hostname, groups['ipsec_sites']) }}"
    look: [kernel, daemon, surroundings]
  register: ipsec_evidence
  become: true
"""

RETURN = r"""
looked_at:
  description: What was looked at, of O(look).
  returned: success
  type: list
  elements: str
time:
  description: This host's time when it was looked at, in seconds since the epoch.
  returned: success
  type: float
sas:
  description: The kernel's security associations, as M(tanuki.ipsec.ipsec_sa_info) returns them.
  returned: with V(kernel)
  type: list
  elements: dict
policies:
  description: The kernel's policies, likewise.
  returned: with V(kernel)
  type: list
  elements: dict
directions:
  description: The directions of policies that this kernel knows.
  returned: with V(kernel)
  type: list
  elements: str
counters:
  description: Packets that IPsec or IP refused, by the kernel's name; those that aren't 0.
  returned: with V(kernel)
  type: list
  elements: dict
daemon:
  description: Whether the daemon answers, and the error where it doesn't.
  returned: with V(daemon)
  type: dict
ike_sas:
  description: The daemon's IKE SAs.
  returned: with V(daemon)
  type: list
  elements: dict
tunnels:
  description: The daemon's tunnels, with the reason where one isn't up.
  returned: with V(daemon)
  type: list
  elements: dict
configuration:
  description: The configuration's text. Keys aren't part of it.
  returned: with V(configuration)
  type: str
keys:
  description: By remote, the key file's path, the fingerprints of its key and of all that it accepts, and problems.
  returned: with V(keys)
  type: dict
inner:
  description: This host's own address in each of its protected networks.
  returned: with V(surroundings)
  type: dict
checks:
  description: By tunnel, what was checked of routes, settings, policies and packet filter. The state of each is
    V(holds), V(fails) or V(unsure).
  returned: with V(surroundings)
  type: dict
probes:
  description: What came back of each probe, and the SPIs of the usable SAs that this host had when it began.
  returned: with O(probes)
  type: list
  elements: dict
capture:
  description: By tunnel, what passed the outside device while tunnels were asked for and probes were sent. Headers are
    read, contents aren't.
  returned: with O(probes) or O(bring_up), on Linux
  type: list
  elements: dict
  contains:
    tunnel:
      description: The tunnel.
      type: str
    device:
      description: The device by which its peer is reached.
      type: str
    packets:
      description: Packets of IKE (V(udp 500), V(udp 4500)) and V(esp) between the gateways, as C(out) and C(in).
      type: dict
    errors:
      description: What hops on the way said of packets to the peer, by ICMP.
      type: list
      elements: str
unseen:
  description: What couldn't be looked at, and why.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.commands import run
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.capture import Capture
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.daemon import CONTROL_SPEC
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.gather import KEYS, SUBJECTS, Gatherer
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.options import (
    CONFIGURATION_SPEC,
    PROBE_SPEC,
    configuration_path,
    expectations,
    tunnels_spec,
)
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.probe import Probe
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.snapshot import databases
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import settled_by

ARGUMENT_SPEC = {
    **CONTROL_SPEC,
    **CONFIGURATION_SPEC,
    **tunnels_spec(default=[]),
    "look": {"type": "list", "elements": "str", "choices": list(SUBJECTS), "default": list(SUBJECTS)},
    "salt": {"type": "str", "default": "", "no_log": False},
    "probes": {"type": "list", "elements": "dict", "default": [], "options": PROBE_SPEC},
    "bring_up": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 10},
}


def _known_now(look: Look, tunnels: list) -> list:
    """The expectations, with ends that weren't known beforehand where the kernel's policies lead now."""
    policies = databases(look.run, [])["policies"] if any(one.is_open for one in tunnels) else []
    return [settled_by(one, policies) for one in tunnels]


def evidence(module: AnsibleModule) -> dict:
    """Raises ValueError for an option that means nothing."""
    parameters = module.params
    look = Look(run)
    gatherer = Gatherer(
        look,
        _known_now(look, expectations(module)),
        parameters["control"],
        configuration_path(module, look),
        parameters["salt"],
    )
    asks = parameters["bring_up"] and not module.check_mode
    with Capture(look, gatherer.tunnels if asks or parameters["probes"] else ()) as capture:
        if asks:
            initiated = [tunnel["name"] for tunnel in parameters["tunnels"] if tunnel["initiates"]]
            gatherer.bring_up(initiated, parameters["timeout"])
        probes = [gatherer.probe(Probe(**probe)) for probe in parameters["probes"]]
        captured = capture.as_data()
    return {**gatherer.gather(parameters["look"]), "probes": probes, "capture": captured}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if KEYS in module.params["look"] and not module.params["salt"]:
        module.fail_json(msg="salt: needed for the keys' fingerprints; leave keys out of look to do without")
    try:
        found = evidence(module)
    except ValueError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
