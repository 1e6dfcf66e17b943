# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selectors that share a child SA (``child_per policy``): one tunnel where exchanges look, RFC 7296 2.9's lists."""

from __future__ import annotations

from dataclasses import replace

from ..config.settings import Effective, Tunnel


def gathered(configuration: Effective) -> Effective:
    """The configuration with one tunnel, in its first selector's place, for those that share a child SA."""
    groups: dict[tuple[str, str], list[Tunnel]] = {}
    for tunnel in configuration.tunnels:
        groups.setdefault((tunnel.policy, "" if tunnel.shared else tunnel.name), []).append(tunnel)
    tunnels = tuple(_one(group) for group in groups.values())
    return replace(configuration, tunnels=tunnels)


def _one(group: list[Tunnel]) -> Tunnel:
    first = group[0]
    companions = tuple(member for tunnel in group[1:] for member in tunnel.members)
    return replace(first, companions=first.companions + companions) if companions else first
