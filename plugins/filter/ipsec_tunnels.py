# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as data, for playbooks: what each tunnel of a host should look like in the kernel."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ipsec_tunnels
short_description: The tunnels that a site should have
version_added: 0.1.0
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
description:
  - Plans the tunnels from the inventory, as M(tanuki.ipsec.ipsec_deploy) does, and returns those of one site in the
    form that M(tanuki.ipsec.ipsec_sa_assert) takes.
positional: _site, _sites
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
"""

EXAMPLES = r"""
- name: Show the tunnels of this site
  ansible.builtin.debug:
    msg: "{{ hostvars | tanuki.ipsec.ipsec_tunnels(inventory_hostname, groups['ipsec_sites']) }}"
"""

RETURN = r"""
_value:
  description: One entry for each tunnel.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import TunnelEnd, make_plan


def ipsec_tunnels(variables: Mapping[str, Mapping[str, Any]], site: str, sites: Sequence[str]) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    try:
        plan = make_plan({name: variables[name] for name in sites})
    except InventoryError as error:
        raise AnsibleFilterError(str(error)) from error
    if site not in plan.sites:
        raise AnsibleFilterError("{} is not among the sites".format(site))
    return [_as_data(end) for end in plan.ends[site]]


def _as_data(end: TunnelEnd) -> dict[str, Any]:
    return {
        "name": end.name,
        "local": str(end.local_address),
        "peer": str(end.peer_address),
        "networks": [{"local": str(local), "peer": str(peer)} for local, peer in end.networks],
        "encryption": list(end.profile.cryptography.esp_encryption),
        "integrity": list(end.profile.cryptography.esp_integrity),
        "initiates": end.initiates,
    }


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"ipsec_tunnels": ipsec_tunnels}
