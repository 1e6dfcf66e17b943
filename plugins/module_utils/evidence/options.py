# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that look at a host have in common: the option ``tunnels``, and where to look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .looking import FREEBSD, Look
from .verdict import Expectation, expectation

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

TUNNEL_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "local": {"type": "str", "required": True},
    "peer": {"type": "str", "required": True},
    "networks": {"type": "list", "elements": "dict", "required": True},
    "encryption": {"type": "list", "elements": "str", "required": True},
    "integrity": {"type": "list", "elements": "str", "default": []},
    "initiates": {"type": "bool", "default": True},
}
PROBE_SPEC = {name: {"type": "str", "required": True} for name in ("tunnel", "network", "far", "source", "target")}
CONFIGURATION_SPEC = {"configuration": {"type": "path"}}
_CONFIGURATION = "/etc/racoon2/racoon2.conf"  # where the roles write it, below FreeBSD's /usr/local there


def tunnels_spec(**attributes: Any) -> dict[str, Any]:
    """The option ``tunnels``; ``required`` or ``default`` as the module needs it."""
    return {"tunnels": {"type": "list", "elements": "dict", "options": TUNNEL_SPEC, **attributes}}


def expectations(module: AnsibleModule) -> list[Expectation]:
    """Raises ValueError that names the value."""
    return [expectation(tunnel) for tunnel in module.params["tunnels"]]


def configuration_path(module: AnsibleModule, look: Look) -> str:
    """The configuration file to look at: the option's, else where this system's role writes it."""
    return module.params["configuration"] or ("/usr/local" if look.system == FREEBSD else "") + _CONFIGURATION
