#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which compares on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_impact
short_description: Say what a deployment would do to the tunnels of a host
version_added: 0.1.0
description:
  - Reads the host's deployed configuration and unit, and compares them with the plan as the daemon would at a reload.
    Changes nothing; two files are read.
  - A tunnel whose algorithms, addresses, networks or lifetimes change is made anew. All others go on undisturbed.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.attributes.info
attributes:
  platform:
    support: full
    platforms: linux, freebsd
options:
  group:
    description: The inventory's group of sites.
    type: str
    default: ipsec_sites
  python:
    description: The interpreter that runs the daemon on the host, as M(tanuki.ipsec.ipsec_deploy) is told.
    type: str
    default: /usr/bin/python3
  implementation:
    description: What the host runs, as M(tanuki.ipsec.ipsec_deploy) is told.
    type: str
    choices: [xfrm_linux, bundled, racoon2]
    default: xfrm_linux
"""

EXAMPLES = r"""
- name: See what a deployment would interrupt
  tanuki.ipsec.ipsec_impact:
  become: true
  register: impact
"""

RETURN = r"""
tunnels:
  description:
    - The names of selectors by what becomes of them - C(added), C(changed), C(renewed), C(removed), C(kept) and
      C(interrupted).
    - Renewed ones change what they negotiate; their security associations carry the traffic until new ones do.
    - Interrupted ones don't change, but the daemon has to be ended and started - ours where its unit changes,
      upstream's racoon2 for any change.
  returned: success
  type: dict
  sample: {added: [nara_1_out], changed: [], renewed: [], removed: [], kept: [osaka_1_out], interrupted: []}
text:
  description: The same for people, with what each kind means for the traffic.
  returned: success
  type: list
  elements: str
"""
