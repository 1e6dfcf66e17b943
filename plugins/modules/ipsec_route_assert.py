#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assert that nothing around a tunnel keeps traffic out of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_route_assert
short_description: Assert that routes, policies and packet filter let traffic into tunnels
version_added: 0.1.0
description:
  - Checks what around a tunnel keeps traffic out of it, although its security associations are up. Changes nothing.
  - No ipip, gre, gif, sit or vti device of an earlier setup leads to the peer. No route takes the far network away. The
    kernel's own lookup from the inner address finds a way, by a device where IPsec applies.
  - Forwarding is on. The reverse path filter doesn't drop what the peer sends.
  - No other policy that covers the same networks wins over the tunnel's.
  - On FreeBSD also that no static route leads to the far network, but for one by the gateway's own address.
  - NAT doesn't rewrite the tunnel's traffic. The packet filter (nftables, iptables; pf, ipfw) lets IKE (UDP 500 and
    4500) and ESP through, and what is forwarded between the networks, begun at either side.
  - No connection goes on being translated because it began before it was exempt. Some rule reduces TCP's segments, in
    both directions; where none is seen, it can't be decided here whether they fit.
  - What can't be decided is returned as RV(tunnels[].unsure) and gives a warning; it is never taken for fine.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.attributes.info
  - tanuki.ipsec.tunnels
attributes:
  platform:
    support: full
    platforms: linux, freebsd
requirements:
  - on Linux ip (iproute2); nft and iptables-save where the kernel holds rules of theirs
options:
  tunnels:
    required: true
  strict:
    description: Fail where something can't be decided, too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Assert that nothing keeps traffic out of this site's tunnels
  tanuki.ipsec.ipsec_route_assert:
    tunnels: "{{ hostvars | tanuki.ipsec.ipsec_tunnels(inventory_hostname, groups['ipsec_sites']) }}"
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
    holds:
      description: What is as it should be.
      type: list
      elements: str
    fails:
      description: What isn't.
      type: list
      elements: str
    unsure:
      description: What couldn't be decided.
      type: list
      elements: str
unseen:
  description: What couldn't be looked at, and why.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.commands import run
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.network import Surroundings
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.options import expectations, tunnels_spec
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.sanity import (
    FAILS,
    HOLDS,
    UNSURE,
    check_segments,
    check_tunnel,
    ways,
)
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.snapshot import databases
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.survey import survey
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import Expectation

ARGUMENT_SPEC = {**tunnels_spec(required=True), "strict": {"type": "bool", "default": False}}


def all_checks(around: Surroundings, tunnel: Expectation) -> list:
    segments = [check for way in ways(tunnel) for check in check_segments(around, way)]
    return list(dict.fromkeys(check_tunnel(around, tunnel) + segments))


def verdicts(module: AnsibleModule, unseen: list) -> list:
    """One for each tunnel. Raises ValueError for an option that means nothing."""
    tunnels = expectations(module)
    look = Look(run)
    policies = databases(look.run, look.unseen)["policies"]
    around = survey(look, [way for tunnel in tunnels for way in ways(tunnel)], policies)
    unseen += look.unseen
    found = [(tunnel.name, all_checks(around, tunnel)) for tunnel in tunnels]
    return [
        {
            "name": name,
            **{state: [check.text for check in checks if check.state == state] for state in (HOLDS, FAILS, UNSURE)},
        }
        for name, checks in found
    ]


def report(failing: list) -> str:
    return "\n".join("{}: {}".format(verdict["name"], text) for verdict in failing for text in verdict[FAILS])


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    unseen: list = []
    try:
        found = verdicts(module, unseen)
    except ValueError as error:
        module.fail_json(msg=str(error))
    doubts = unseen + ["{}: {}".format(verdict["name"], text) for verdict in found for text in verdict[UNSURE]]
    for doubt in doubts:
        module.warn("not decided: {}".format(doubt))
    failing = [verdict for verdict in found if verdict[FAILS]]
    if failing:
        module.fail_json(msg=report(failing), tunnels=found, unseen=unseen)
    if doubts and module.params["strict"]:
        module.fail_json(msg="not decided: {}".format("; ".join(doubts)), tunnels=found, unseen=unseen)
    module.exit_json(changed=False, tunnels=found, unseen=unseen)


if __name__ == "__main__":
    main()
