# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What action plugins ask of the controller: the plan of the inventory, folders beside it, its own address."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..module_utils.ike.policy.sa import Address
from .lint import Management
from .plan import Plan, make_plan

_DISCARD_PORT = 9  # nothing is sent there: connecting a UDP socket only asks for the way


class NoPlace(ValueError):
    """A relative path, and an inventory without a folder that it could start at."""


def plan_of(task_vars: Mapping[str, Any], group: str) -> Plan:
    """The plan of a group of the inventory. Raises InventoryError."""
    hosts = task_vars["groups"].get(group, [])
    return make_plan({host: task_vars["hostvars"][host] for host in hosts})


def beside_inventory(name: str, task_vars: Mapping[str, Any]) -> Path:
    """A folder of the operator's: a relative path starts at the inventory's own. Raises NoPlace."""
    path = Path(name).expanduser()
    if path.is_absolute():
        return path
    inventory = task_vars.get("inventory_dir")
    if not inventory:
        raise NoPlace("{!r} is relative, and this inventory has no directory".format(name))
    return Path(inventory) / path


def management(variables: Mapping[str, Mapping[str, Any]]) -> dict[str, Management]:
    """How each site is reached, where the inventory has it as an address. Asks this host's routes, sends nothing."""
    found = {}
    for name, own in variables.items():
        try:
            address = ipaddress.ip_address(str(own.get("ansible_host", name)))
        except ValueError:
            continue  # a name: what it resolves to may change until the deployment
        found[name] = Management(address, _own_address(address))
    return found


def _own_address(peer: Address) -> Address | None:
    """This host's address towards another one, None where there's no way to it."""
    family = socket.AF_INET if peer.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as connection:
            connection.connect((str(peer), _DISCARD_PORT))
            return ipaddress.ip_address(connection.getsockname()[0])
    except OSError:
        return None
