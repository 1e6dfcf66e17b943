#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SAD and SPD of a host as data."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_sa_info
short_description: Read a host's security associations and policies
version_added: 0.1.0
description:
  - Returns the kernel's security associations and policies as data, the kernel's counters of dropped packets, and,
    where the daemon of this collection runs, its IKE SAs and tunnels.
  - Never returns a key.
  - Returns the same shape on Linux and FreeBSD, whoever negotiates there. Where FreeBSD's kernel can't be asked
    directly, C(setkey) is.
  - What couldn't be looked at is named in RV(unseen); the rest is returned all the same.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.attributes.info
  - tanuki.ipsec.daemon
attributes:
  platform:
    support: full
    platforms: linux, freebsd
"""

EXAMPLES = r"""
- name: Read the kernel's security associations
  tanuki.ipsec.ipsec_sa_info:
  register: ipsec
  become: true

- name: Show the tunnels that are configured but down
  ansible.builtin.debug:
    msg: "{{ ipsec.tunnels | rejectattr('state', 'equalto', 'up') }}"
"""

RETURN = r"""
sas:
  description: The security associations, whoever installed them.
  returned: success
  type: list
  elements: dict
  contains:
    spi:
      description: The SPI, in hexadecimal.
      type: str
      sample: '0x0f00a512'
    source:
      description: The address that packets come from.
      type: str
    destination:
      description: The address that packets go to.
      type: str
    protocol:
      description: V(esp), V(ah) or V(ipcomp).
      type: str
    mode:
      description: V(tunnel) or V(transport).
      type: str
    state:
      description: V(larval), V(mature), V(dying) or V(dead).
      type: str
    reqid:
      description: Ties it to policies with the same number.
      type: int
    encryption:
      description: The cipher, by its name in this collection's registry, or the kernel's own.
      type: str
    encryption_bits:
      description: The length of its key.
      type: int
    integrity:
      description: The integrity algorithm; empty with an AEAD.
      type: str
    integrity_bits:
      description: The length of its key.
      type: int
    icv_bits:
      description: The length of the integrity check value.
      type: int
    encapsulation:
      description: The ports of UDP encapsulation, or null.
      type: dict
    selector:
      description: The traffic that it's confined to, or null.
      type: dict
    lifetime:
      description: Its limits; 0 means none.
      type: dict
    replay_window:
      description: In packets.
      type: int
    esn:
      description: Whether it has extended sequence numbers.
      type: bool
    bytes:
      description: What it has carried.
      type: int
    packets:
      description: What it has carried.
      type: int
    age:
      description: Seconds since it was installed, or null.
      type: int
    used:
      description: Seconds since it was first used, or null.
      type: int
    errors:
      description: Packets that it refused, by reason.
      type: dict
policies:
  description: The security policies, whoever installed them.
  returned: success
  type: list
  elements: dict
  contains:
    index:
      description: The kernel's number.
      type: int
    direction:
      description: V(in), V(out) or V(fwd).
      type: str
    action:
      description: V(ipsec), V(bypass) or V(discard).
      type: str
    priority:
      description: A lower one wins.
      type: int
    selector:
      description: The traffic that it covers.
      type: dict
    templates:
      description: What it requires of a packet.
      type: list
      elements: dict
    age:
      description: Seconds since it was installed, or null.
      type: int
    used:
      description: Seconds since it was last used, or null.
      type: int
directions:
  description: The directions of policies that this kernel knows; V(fwd) is Linux's own.
  returned: success
  type: list
  elements: str
counters:
  description: Packets that the kernel's IPsec dropped since it booted, by reason. Only those that aren't 0.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The kernel's name.
      type: str
    packets:
      description: How many.
      type: int
    meaning:
      description: What it says.
      type: str
daemon:
  description: Whether the daemon of this collection answers, and the error where it doesn't.
  returned: success
  type: dict
ike_sas:
  description: The daemon's IKE SAs.
  returned: success
  type: list
  elements: dict
tunnels:
  description: The daemon's tunnels, one for each selector, with the reason where one isn't up.
  returned: success
  type: list
  elements: dict
unseen:
  description: What couldn't be looked at, and why.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.commands import run
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.daemon import CONTROL_SPEC
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.snapshot import counters, databases, negotiations


def main() -> None:
    module = AnsibleModule(argument_spec=CONTROL_SPEC, supports_check_mode=True)
    look = Look(run)
    result = {
        **databases(look.run, look.unseen),
        "counters": counters(look.unseen),
        **negotiations(module.params["control"], look.unseen),
    }
    module.exit_json(changed=False, unseen=look.unseen, **result)


if __name__ == "__main__":
    main()
