#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which judges on the controller what both ends have told."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_diagnose
short_description: Say why a tunnel doesn't carry traffic
version_added: 0.1.0
description:
  - Makes ranked causes of what M(tanuki.ipsec.ipsec_evidence) found at both ends of each tunnel, each with its evidence
    and a remedy. Changes nothing, and never fails because of what it finds.
  - First it says how far the tunnel gets, by the SAs that both kernels have and the packets that they counted while
    probes were sent. Causes that explain this come first, those that were read before those that were inferred. What
    is wrong but does no harm yet comes last.
  - The playbook C(tanuki.ipsec.diagnose) does all of it.
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
"""

EXAMPLES = r"""
- name: Look at each end, let each ping through its tunnels, and look again
  ansible.builtin.include_tasks: evidence.yml # playbooks/tasks/evidence.yml of this collection

- name: Name the causes
  tanuki.ipsec.ipsec_diagnose:
  register: ipsec_diagnosis
"""

RETURN = r"""
healthy:
  description: Whether every tunnel works and nothing was found.
  returned: success
  type: bool
tunnels:
  description: What was found of each tunnel.
  returned: success
  type: list
  elements: dict
  contains:
    ends:
      description: The two sites.
      type: list
      elements: str
    healthy:
      description: Whether it works and nothing was found.
      type: bool
    symptom:
      description: How far it gets.
      type: str
    causes:
      description: The causes, the likeliest first.
      type: list
      elements: dict
      contains:
        cause:
          description: Its name in the table of docs/troubleshooting.md.
          type: str
        title:
          description: The same for people.
          type: str
        explains_symptom:
          description: Whether it explains the symptom, or waits to do harm.
          type: bool
        hosts:
          description: Where it lies.
          type: list
          elements: str
        evidence:
          description: What was seen of it.
          type: list
          elements: str
        remedy:
          description: What helps.
          type: str
    unseen:
      description: What couldn't be looked at or decided.
      type: list
      elements: str
report:
  description: All of it in lines for people.
  returned: success
  type: list
  elements: str
"""
