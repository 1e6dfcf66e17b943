# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pings prove a site's tunnels: from its own inner addresses to those of its peers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ipsec_probes
short_description: The pings that cross a site's tunnels
version_added: 0.1.0
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
description:
  - For each tunnel of a site, one ping for each pair of networks, from the gateway's own address in its network to
    the peer's own address in the far one, as M(tanuki.ipsec.ipsec_evidence) takes them.
  - The addresses are those that M(tanuki.ipsec.ipsec_evidence) found at both ends, or what C(ipsec_probe_address) of
    a site names as the target of its peers' pings, for example a host of its LAN.
  - A pair of networks in which a gateway has no address is left out.
positional: _site, _sites, _evidence
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  _site:
    description: The site's inventory name.
    type: str
    required: true
  _sites:
    description: The inventory names of all sites.
    type: list
    elements: str
    required: true
  _evidence:
    description: The variable under which each site has registered what M(tanuki.ipsec.ipsec_evidence) returned.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Ping through the tunnels of this site
  tanuki.ipsec.ipsec_evidence:
    look: []
    probes: "{{ hostvars | tanuki.ipsec.ipsec_probes(inventory_hostname, groups['ipsec_sites'], 'ipsec_before') }}"
  become: true
"""

RETURN = r"""
_value:
  description: One entry for each pair of networks.
  type: list
  elements: dict
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_tunnels import ipsec_tunnels
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import index_of


def ipsec_probes(
    variables: Mapping[str, Mapping[str, Any]], site: str, sites: Sequence[str], evidence: str
) -> list[dict[str, str]]:
    """See DOCUMENTATION."""
    peers = {index_of(name): name for name in sites}
    inner = _inner(variables, site, evidence, "")
    probes: list[dict[str, str]] = []
    for tunnel in ipsec_tunnels(variables, site, sites):
        peer = peers[tunnel["name"]]
        target = str(variables[peer].get("ipsec_probe_address", ""))
        probes += probes_between(tunnel, inner, _inner(variables, peer, evidence, target))
    return probes


def probes_between(
    tunnel: Mapping[str, Any], inner: Mapping[str, str], far_inner: Mapping[str, str]
) -> list[dict[str, str]]:
    """The pings of one tunnel, given both gateways' own addresses by network."""
    return [
        {
            "tunnel": tunnel["name"],
            "network": pair["local"],
            "far": pair["peer"],
            "source": inner[pair["local"]],
            "target": far_inner[pair["peer"]],
        }
        for pair in tunnel["networks"]
        if pair["local"] in inner and pair["peer"] in far_inner
    ]


def _inner(variables: Mapping[str, Mapping[str, Any]], site: str, evidence: str, target: str) -> dict[str, str]:
    """A site's addresses by network: what was found there, and in its network the target that the inventory names."""
    found = dict(variables[site].get(evidence, {}).get("inner", {}))
    if not target:
        return found
    try:
        address = ipaddress.ip_address(target)
    except ValueError as error:
        raise AnsibleFilterError("{}: ipsec_probe_address: {}".format(site, error)) from error
    networks = [text for text in variables[site]["ipsec_networks"] if address in ipaddress.ip_network(text)]
    return {**found, **dict.fromkeys(networks, target)}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"ipsec_probes": ipsec_probes}
