#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_status
short_description: The state of all tunnels as one report
version_added: 0.1.0
description:
  - Puts what each site's daemon and kernel say (M(tanuki.ipsec.ipsec_sa_info)) beside the plan, so that a tunnel that
    is planned and isn't there is shown too.
  - Returns it as data and as text, and writes it as JSON, as metrics for Prometheus' textfile collector, and as one
    HTML page with the topology drawn. The page needs no script and no other file.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.attributes.info
attributes:
  check_mode:
    details: Writes no report.
  platform:
    support: full
    platforms: posix
options:
  group:
    description: The inventory's group of sites.
    type: str
    default: ipsec_sites
  answers:
    description: The variable under which each site has registered what M(tanuki.ipsec.ipsec_sa_info) returned.
    type: str
    default: ipsec_status_answer
  directory:
    description:
      - Where C(status.json), C(status.prom) and C(status.html) go; a relative path starts at the inventory's directory.
      - Empty to write nothing.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Ask every site
  tanuki.ipsec.ipsec_sa_info:
  become: true
  register: ipsec_status_answer
  ignore_errors: true
  ignore_unreachable: true

- name: Write the report
  tanuki.ipsec.ipsec_status:
    directory: status
  run_once: true
"""

RETURN = r"""
status:
  description: The report as data.
  returned: success
  type: dict
  contains:
    schema:
      description: The version of this structure. Fields are only ever added to it.
      type: int
    time:
      description: When the report was made.
      type: str
    summary:
      description: How many sites there are and answer, how many tunnels there are in each state.
      type: dict
    sites:
      description: Each site with its address and networks, whether its daemon answers, and why not.
      type: list
      elements: dict
    tunnels:
      description:
        - Each planned tunnel with what its two ends say of it.
        - Its state is V(up), V(partly), V(connecting), V(down), or V(unknown) where neither end answers.
      type: list
      elements: dict
text:
  description: The report as lines for people, what needs attention first.
  returned: success
  type: list
  elements: str
files:
  description: The files that were written.
  returned: success
  type: list
  elements: str
"""
