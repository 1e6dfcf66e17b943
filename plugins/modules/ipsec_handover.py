#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_handover
short_description: Write what the administrators of unmanaged peers have to enter
version_added: 0.1.0
description:
  - For each site with C(ipsec_managed=false), writes a folder with a sheet for people (addresses, identities,
    algorithms, lifetimes, networks) and ready configurations for strongSwan (C(swanctl.conf)), Libreswan
    (C(ipsec.conf)) and racoon2 (C(racoon2.conf)), derived from the same plan as the managed ends.
  - The keys lie apart, in the folder C(secret) (0700, files 0600), as bytes and in the form that each daemon takes.
  - A daemon that has no words for a profile gets no file; the sheet says why.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: Makes no keys either. Where a key is missing, the files that would hold it count as changed.
  diff_mode:
    support: none
  platform:
    support: full
    platforms: posix
options:
  group:
    description: The inventory's group of sites.
    type: str
    default: ipsec_sites
  directory:
    description: Where a folder for each site is written; a relative path starts at the inventory's directory.
    type: str
    default: handover
  psk_directory:
    description: Where the controller keeps the keys, as for M(tanuki.ipsec.ipsec_deploy).
    type: str
    default: psk
  psks:
    description: Keys that you bring yourself, as for M(tanuki.ipsec.ipsec_deploy).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Write the hand-over sheets
  tanuki.ipsec.ipsec_handover:
  run_once: true
"""

RETURN = r"""
files:
  description: The files of all sheets.
  returned: success
  type: list
  elements: str
"""
