"""How long the controller takes to plan, lint and show a large fleet, and whether that grows with its tunnels alone."""

from __future__ import annotations

import ipaddress
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.checkout import checkout

sys.path.insert(0, str(checkout()))

from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.lint import lint
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import LINUX_PATHS
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import Plan, make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan_view import plan_data, plan_text

SITES = 1000
LIMIT_HUB_SECONDS = 2.0
LIMIT_MESH_SECONDS = 60.0
LIMIT_GROWTH = 2.6  # of the time, for twice the tunnels: linear, with room for a busy machine
MESHES = (142, 201)  # sites: 10,011 tunnels and 20,100
RUNS = 3


def inventory(sites: int, topology: Any) -> dict[str, dict[str, Any]]:
    """The variables of so many sites, each with one network."""
    first, networks = ipaddress.ip_address("198.18.0.0"), int(ipaddress.ip_address("10.0.0.0"))
    return {
        "site{}".format(number): {
            "ipsec_address": str(first + number),
            "ipsec_networks": [str(ipaddress.ip_network((networks + (number << 8), 24)))],
            "ipsec_topology": topology,
            "ipsec_profile": "ikev1-aes",
        }
        for number in range(sites)
    }


def show(plan: Plan) -> None:
    plan_text(plan_data(plan, lint(plan, {})))


def seconds(action: Callable[[], object]) -> float:
    """Of the fastest of some runs, in processor time: what an idle machine's clock would show."""
    return min(_run(action) for _ in range(RUNS))


def _run(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _mesh_seconds(sites: dict[str, dict[str, Any]]) -> float:
    return seconds(lambda: show(make_plan(sites)))


def main() -> list[dict[str, object]]:
    """One row each for the plans, the hub's configuration, and growth: name, value, unit, limit, whether it holds."""
    spokes = inventory(SITES, {"type": "hub", "hubs": ["site0"]})
    plan = make_plan(spokes)
    planned = seconds(lambda: show(make_plan(spokes)))
    rendered = seconds(lambda: configuration_text(plan.sites["site0"], plan.ends["site0"], LINUX_PATHS))
    whole = inventory(SITES, "mesh")
    meshed = _run(lambda: make_plan(whole))
    small, large = (_mesh_seconds(inventory(count, "mesh")) for count in MESHES)
    return [
        _row("plan: hub and {} spokes, linted and shown".format(SITES - 1), planned, "s", LIMIT_HUB_SECONDS),
        _row("plan: the hub's configuration", rendered, "s", LIMIT_HUB_SECONDS),
        _row("plan: full mesh of {} sites, 499,500 tunnels".format(SITES), meshed, "s", LIMIT_MESH_SECONDS),
        _row("plan: full mesh of {} sites against {}".format(*reversed(MESHES)), large / small, "times", LIMIT_GROWTH),
    ]


def _row(name: str, value: float, unit: str, limit: float) -> dict[str, object]:
    return {"name": name, "value": round(value, 3), "unit": unit, "limit": limit, "holds": value < limit}


if __name__ == "__main__":
    for row in main():
        print(
            "{name}: {value} {unit} (limit {limit}): {verdict}".format(
                verdict="ok" if row["holds"] else "TOO SLOW", **row
            )
        )
