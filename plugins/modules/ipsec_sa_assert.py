#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove by the kernel's SAs and policies that tunnels are up."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_sa_assert
short_description: Assert that tunnels are up, by what the kernel says
version_added: 0.1.0
description:
  - A tunnel is up when the kernel has a mature security association in each direction between its end points, in
    tunnel mode and with the algorithms that were asked for, and the policies that lead traffic into it, in all three
    directions.
  - Waits until all tunnels are up, or until O(timeout). Then a failure says of each tunnel what was found, what is
    missing, and what the daemon says the reason is.
  - With O(bring_up) it first asks the daemon for the tunnels that are down.
  - Security associations come and go by themselves; bringing a tunnel up is not reported as a change.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.attributes.info
  - tanuki.ipsec.daemon
attributes:
  check_mode:
    support: full
    details: Looks once, neither brings a tunnel up nor waits.
  platform:
    support: full
    platforms: linux
options:
  tunnels:
    description:
      - What this host should have; the filter P(tanuki.ipsec.ipsec_tunnels#filter) takes it from the plan.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The index of the tunnel's policy in racoon2.conf.
        type: str
        required: true
      local:
        description: This end's outer address.
        type: str
        required: true
      peer:
        description: The other end's outer address.
        type: str
        required: true
      networks:
        description: The networks that it joins, pairs of C(local) and C(peer).
        type: list
        elements: dict
        required: true
      encryption:
        description: The ciphers of which one is to be in use, for example V(aes256_cbc).
        type: list
        elements: str
        required: true
      integrity:
        description: The integrity algorithms of which one is to be in use, for example V(hmac_sha2_256).
        type: list
        elements: str
        default: []
      initiates:
        description: Whether this end brings it up, where O(bring_up) asks for it; one end of each tunnel does.
        type: bool
        default: true
  bring_up:
    description:
      - Ask the daemon for the tunnels that are down.
      - An end that doesn't initiate waits for a third of O(timeout) first, so that both ends don't start at once.
    type: bool
    default: false
  timeout:
    description: How long to wait for the tunnels, in seconds.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Assert that this site's tunnels are up, and bring up those that aren't
  tanuki.ipsec.ipsec_sa_assert:
    tunnels: "{{ hostvars | tanuki.ipsec.ipsec_tunnels(inventory_hostname, groups['ipsec_sites']) }}"
    bring_up: true
  become: true

- name: Assert one tunnel, whoever made it
  tanuki.ipsec.ipsec_sa_assert:
    tunnels:
      - name: osaka
        local: 210.11.11.11
        peer: 210.22.22.22
        networks:
          - local: 192.168.10.0/24
            peer: 192.168.20.0/24
        encryption: [3des_cbc]
        integrity: [hmac_sha1]
  become: true
"""

RETURN = r"""
tunnels:
  description: What was found of each tunnel.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The tunnel.
      type: str
    up:
      description: Whether nothing is missing.
      type: bool
    holds:
      description: What is as it should be.
      type: list
      elements: str
    missing:
      description: What isn't, with what was found instead.
      type: list
      elements: str
    reasons:
      description: What the daemon says about a tunnel that isn't up.
      type: list
      elements: str
seconds:
  description: How long it took.
  returned: always
  type: float
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.daemon import CONTROL_SPEC, Daemon
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import expectation
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.watch import Watch, report
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.base import KernelError
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.open import open_kernel

TUNNEL_SPEC = {
    "name": {"type": "str", "required": True},
    "local": {"type": "str", "required": True},
    "peer": {"type": "str", "required": True},
    "networks": {"type": "list", "elements": "dict", "required": True},
    "encryption": {"type": "list", "elements": "str", "required": True},
    "integrity": {"type": "list", "elements": "str", "default": []},
    "initiates": {"type": "bool", "default": True},
}
ARGUMENT_SPEC = {
    **CONTROL_SPEC,
    "tunnels": {"type": "list", "elements": "dict", "required": True, "options": TUNNEL_SPEC},
    "bring_up": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 30},
}


def watch_of(module: AnsibleModule) -> Watch:
    """Raises ValueError for an option that means nothing, KernelError where the kernel can't be asked."""
    patient = not module.check_mode
    return Watch(
        kernel=open_kernel(),
        daemon=Daemon(module.params["control"]),
        expectations=tuple(expectation(tunnel) for tunnel in module.params["tunnels"]),
        initiators=frozenset(tunnel["name"] for tunnel in module.params["tunnels"] if tunnel["initiates"]),
        bring_up=module.params["bring_up"] and patient,
        timeout=module.params["timeout"] if patient else 0,
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    start = time.monotonic()
    try:
        verdicts = watch_of(module).verdicts()
    except (ValueError, KernelError) as error:
        module.fail_json(msg=str(error))
    result = {"tunnels": verdicts, "seconds": round(time.monotonic() - start, 1)}
    if all(verdict["up"] for verdict in verdicts):
        module.exit_json(changed=False, **result)
    module.fail_json(msg=report(verdicts), **result)


if __name__ == "__main__":
    main()
