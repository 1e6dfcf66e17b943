# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's document as metrics in Prometheus' text format, for a node exporter's textfile folder. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .document import STATES, UP

Sample = "tuple[dict[str, str], int]"


def fleet_metrics(document: Mapping[str, Any]) -> str:
    """One family of samples after the other. What is planned and down is there, with 0."""
    sites, tunnels = document["sites"], document["tunnels"]
    families = [
        ("site_answers", "gauge", "Whether a site's daemon answers.", _sites(sites)),
        ("tunnel_up", "gauge", "Whether a planned tunnel is up for all its networks, at both ends.", _up(tunnels)),
        ("tunnels", "gauge", "Planned tunnels by state.", _states(document["summary"])),
        ("tunnel_received_bytes", "gauge", "What an end's youngest SAs have received.", _bytes(tunnels, "bytes_in")),
        ("tunnel_sent_bytes", "gauge", "What an end's youngest SAs have sent.", _bytes(tunnels, "bytes_out")),
    ]
    lines: list[str] = []
    for name, kind, summary, samples in families:
        lines += ["# HELP ipsec_fleet_{} {}".format(name, summary), "# TYPE ipsec_fleet_{} {}".format(name, kind)]
        lines += ["ipsec_fleet_{}{{{}}} {}".format(name, _labels(labels), value) for labels, value in samples]
    return "\n".join(lines) + "\n"


def _sites(sites: Any) -> Iterator[Sample]:
    for site in sites:
        if site["managed"]:
            yield {"site": site["name"]}, int(site["answers"])


def _up(tunnels: Any) -> Iterator[Sample]:
    for tunnel in tunnels:
        first, second = tunnel["sites"]
        yield {"first": first, "second": second, "profile": tunnel["profile"]}, int(tunnel["state"] == UP)


def _states(summary: Mapping[str, int]) -> Iterator[Sample]:
    for state in STATES:
        yield {"state": state}, summary[state]


def _bytes(tunnels: Any, direction: str) -> Iterator[Sample]:
    """One sample for each end that has SAs and knows what they carried."""
    for tunnel in tunnels:
        for end, peer in zip(tunnel["ends"], reversed(tunnel["sites"])):
            known = [pair["child"][direction] for pair in end["networks"] if pair["child"]]
            if known and None not in known:
                yield {"site": end["site"], "peer": peer}, sum(known)


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join('{}="{}"'.format(name, _escaped(value)) for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
