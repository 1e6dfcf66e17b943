#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which judges on the controller what both ends have told."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_tunnel_assert
short_description: Assert that both ends of a tunnel hold the same tunnel, and that packets cross it
version_added: 0.1.0
description:
  - Compares what M(tanuki.ipsec.ipsec_evidence) found in both kernels. The SPI by which one end sends is the one by
    which the other receives, in each direction of each pair of networks; algorithms and mode are the same; the policies
    mirror each other; lifetimes are sane; no larval or duplicate security associations are left over.
  - The counters of those security associations moved at both ends while probes were sent, and the probes were
    answered, big ones too.
  - A failure lists what fails, and the causes that M(tanuki.ipsec.ipsec_diagnose) makes of the same evidence.
  - A tunnel with an end that couldn't be looked at isn't proven; that gives a warning, and with O(strict) a failure.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.attributes.info
attributes:
  platform:
    support: full
    platforms: posix
    details: Runs on the controller; nothing is executed on the host.
options:
  group:
    description: The inventory's group of sites.
    type: str
    default: ipsec_sites
  before:
    description: The variable under which each site has registered what M(tanuki.ipsec.ipsec_evidence) saw first.
    type: str
    default: ipsec_before
  probes:
    description: The variable under which each site has registered the outcome of its probes.
    type: str
    default: ipsec_probes
  evidence:
    description: The variable under which each site has registered what was seen after the probes.
    type: str
    default: ipsec_evidence
  every:
    description:
      - Judge all tunnels of this site.
      - By default each tunnel is judged at one of its ends, the one that initiates it, unless the other one couldn't
        be looked at.
    type: bool
    default: false
  strict:
    description: Fail where something couldn't be looked at or decided, too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Look at each end, let each ping through its tunnels, and look again
  ansible.builtin.include_tasks: evidence.yml # playbooks/tasks/evidence.yml of this collection

- name: Assert that the tunnels hold at both ends
  tanuki.ipsec.ipsec_tunnel_assert:
"""

RETURN = r"""
tunnels:
  description: What was found of each tunnel.
  returned: always
  type: list
  elements: dict
  contains:
    ends:
      description: The two sites.
      type: list
      elements: str
    proven:
      description: Whether nothing fails, and nothing is unsure.
      type: bool
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
"""
