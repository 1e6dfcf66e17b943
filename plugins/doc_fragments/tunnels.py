# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation shared by the modules that take tunnels from the plan."""

from __future__ import annotations


class ModuleDocFragment:
    """What a tunnel is."""

    DOCUMENTATION = r"""
options:
  tunnels:
    description:
      - What this host should have; the filter P(tanuki.ipsec.ipsec_tunnels#filter) takes it from the plan.
    type: list
    elements: dict
    suboptions:
      name:
        description: The index of the tunnel's policy in racoon2.conf.
        type: str
        required: true
      local:
        description: This end's outer address.
        type: str
        required: true
      peer:
        description: The other end's outer address.
        type: str
        required: true
      networks:
        description: The networks that it joins, pairs of C(local) and C(peer).
        type: list
        elements: dict
        required: true
      encryption:
        description: The ciphers of which one is to be in use, for example V(aes256_cbc).
        type: list
        elements: str
        required: true
      integrity:
        description: The integrity algorithms of which one is to be in use, for example V(hmac_sha2_256).
        type: list
        elements: str
        default: []
      initiates:
        description: Whether this end brings it up, where somebody has to; one end of each tunnel does.
        type: bool
        default: true
"""
