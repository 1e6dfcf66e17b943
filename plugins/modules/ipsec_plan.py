#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_plan
short_description: Show and lint the plan of all tunnels before any host is touched
version_added: 0.1.0
description:
  - Plans the tunnels of the whole inventory, and returns the plan as data and for people. Asks no host.
  - What makes a plan impossible fails, with every problem, its host and its variable.
  - What is questionable is a finding - a selector that captures the way by which the controller reaches a site; one
    that covers the gateways themselves; a network of one site inside one of another's; weak algorithms; sites and
    networks that no tunnel leads to.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.attributes.info
attributes:
  platform:
    support: full
    platforms: posix
options:
  group:
    description: The inventory's group of sites.
    type: str
    default: ipsec_sites
  strict:
    description: Fail where a finding is a warning.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Stop a pipeline at anything questionable
  tanuki.ipsec.ipsec_plan:
    strict: true
  run_once: true
"""

RETURN = r"""
plan:
  description: The plan.
  returned: success
  type: dict
  contains:
    schema:
      description: The version of this structure. Fields are only ever added to it.
      type: int
    sites:
      description: Each site's name, address, networks, and the number of its tunnels.
      type: list
      elements: dict
    tunnels:
      description: Each tunnel's two sites, its profile, and the pairs of networks that it joins.
      type: list
      elements: dict
    findings:
      description: What is questionable - C(severity) (V(warning) or V(note)), C(subject) and C(text).
      type: list
      elements: dict
text:
  description: The plan as lines for people.
  returned: success
  type: list
  elements: str
"""
