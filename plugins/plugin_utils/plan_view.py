# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for people and as data. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .lint import Finding
from .plan import Plan, Tunnel

SCHEMA = 1


def plan_data(plan: Plan, findings: Sequence[Finding]) -> dict[str, Any]:
    """A dictionary fit for JSON, addresses and networks as text. Fields are only ever added to a schema."""
    return {
        "schema": SCHEMA,
        "sites": [
            {
                "name": site.name,
                "address": site.shown_address,
                "managed": site.managed,
                "networks": [str(network) for network in site.networks],
                "tunnels": len(plan.ends[site.name]),
            }
            for site in plan.sites.values()
        ],
        "tunnels": [_tunnel_data(tunnel) for tunnel in plan.tunnels],
        "findings": [
            {"severity": finding.severity, "subject": finding.subject, "text": finding.text} for finding in findings
        ],
    }


def plan_text(data: dict[str, Any]) -> str:
    """What :func:`plan_data` holds, as tables."""
    sites = [[site["name"], _address(site), ", ".join(site["networks"])] for site in data["sites"]]
    tunnels = [
        [
            " -- ".join(tunnel["sites"]),
            tunnel["profile"],
            "; ".join("{first} = {second}".format(**pair) for pair in tunnel["networks"]),
        ]
        for tunnel in data["tunnels"]
    ]
    findings = ["  {severity}: {subject}: {text}".format(**finding) for finding in data["findings"]]
    lines = ["Sites ({})".format(len(sites)), *_table(sites), ""]
    lines += ["Tunnels ({})".format(len(tunnels)), *_table(tunnels), ""]
    lines += ["Findings ({})".format(len(findings)), *findings]
    return "\n".join(lines) + "\n"


def _address(site: dict[str, Any]) -> str:
    return site["address"] if site["managed"] else site["address"] + " (not managed)"


def _tunnel_data(tunnel: Tunnel) -> dict[str, Any]:
    end, _other = tunnel.ends()
    return {
        "sites": [tunnel.first.name, tunnel.second.name],
        "profile": tunnel.profile.name,
        "networks": [{"first": str(first), "second": str(second)} for first, second in end.networks],
    }


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as lines, their columns aligned; the last column may be as long as it likes."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths)]
        yield "  " + "  ".join([*cells, row[-1]])
