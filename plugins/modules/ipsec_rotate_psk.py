#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name: the steps of a rotation, between which gateways are deployed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_rotate_psk
short_description: Take one step of a rotation of pre-shared keys
version_added: 0.1.0
description:
  - Used by C(playbooks/rotate_psk.yml), which has the order of the steps; between them it deploys the gateways with
    M(tanuki.ipsec.ipsec_deploy).
  - At every moment both ends of a tunnel accept the key that the other one proves. What is done is remembered in the
    key store, for each pair of sites, so that an interrupted rotation is gone on with by the next run.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: Says what V(begin) would begin. The other steps have nothing to go on with then.
  diff_mode:
    support: none
  platform:
    support: full
    platforms: linux, freebsd
options:
  step:
    description:
      - V(begin) puts a new key beside the old one in the store. Where rotations are under way that were asked for, it
        begins no others.
      - V(switch) has the pairs prove the new key whose gateways accept both.
      - V(prove) has this host authenticate anew with the peers whose gateways have switched; the only step that asks a
        host.
      - V(retire) lets the old key go where that went well.
      - V(close) ends the rotations whose gateways no longer have the old key.
    type: str
    required: true
    choices: [begin, switch, prove, retire, close]
  group:
    description: The inventory's group of sites.
    type: str
    default: ipsec_sites
  pairs:
    description: The pairs to rotate, as C(tokyo--osaka), or C(tokyo) for all of a site. Empty for every pair.
    type: list
    elements: str
    default: []
  psk_directory:
    description: Where the controller keeps the keys; a relative path starts at the inventory's directory.
    type: str
    default: psk
  psks:
    description: The keys that you bring yourself (C(ipsec_psks)).
    type: dict
    default: {}
  psks_next:
    description: New keys that you bring yourself, by pair. Others are made with 256 random bits.
    type: dict
    default: {}
  handed_over:
    description: Whether the administrators of sites that aren't managed have entered the new keys.
    type: bool
    default: false
  anybody:
    description: With V(prove), also from the end that doesn't usually begin; for those that are unproven still.
    type: bool
    default: false
  implementation:
    description: What this host runs (see M(tanuki.ipsec.ipsec_deploy)). V(racoon2) can't be asked to authenticate anew.
    type: str
    default: xfrm_linux
    choices: [xfrm_linux, bundled, racoon2]
  control:
    description: The daemon's control socket, with V(prove).
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Put new keys beside the old ones
  tanuki.ipsec.ipsec_rotate_psk:
    step: begin
    pairs: [tokyo--osaka]
  run_once: true
"""

RETURN = r"""
pairs:
  description: The pairs that took the step.
  returned: success
  type: list
  elements: str
  sample: [osaka--tokyo]
waiting:
  description: The pairs that couldn't take it, each with what it waits for.
  returned: success
  type: dict
skipped:
  description: The pairs that no rotation was begun for, each with the reason.
  returned: success
  type: dict
sites:
  description: The sites whose gateways are to be deployed next.
  returned: success
  type: list
  elements: str
"""
