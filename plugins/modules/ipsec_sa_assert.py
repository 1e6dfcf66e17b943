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
  - tanuki.ipsec.tunnels
attributes:
  check_mode:
    support: full
    details: Looks once, neither brings a tunnel up nor waits.
  platform:
    support: full
    platforms: linux, freebsd
options:
  tunnels:
    required: true
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
        encryption: [aes256_cbc]
        integrity: [hmac_sha2_256]
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
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.options import expectations, tunnels_spec
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.watch import Watch, report
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.base import KernelError
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.open import open_kernel

ARGUMENT_SPEC = {
    **CONTROL_SPEC,
    **tunnels_spec(required=True),
    "bring_up": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 30},
}


def watch_of(module: AnsibleModule) -> Watch:
    """Raises ValueError for an option that means nothing, KernelError where the kernel can't be asked."""
    patient = not module.check_mode
    return Watch(
        kernel=open_kernel(),
        daemon=Daemon(module.params["control"]),
        expectations=tuple(expectations(module)),
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
