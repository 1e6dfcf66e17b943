# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's status document, for people and as Prometheus metrics."""

from __future__ import annotations

from typing import Any


def people(status: dict[str, Any]) -> str:
    """IKE SAs, then tunnels with their children: the reason beside whatever is down."""
    lines = ["IKE SAs ({})".format(len(status["ike_sas"]))]
    lines += [_ike_line(one) for one in status["ike_sas"]]
    up = sum(tunnel["state"] == "up" for tunnel in status["tunnels"])
    lines += ["", "Tunnels ({} of {} up)".format(up, len(status["tunnels"]))]
    for tunnel in status["tunnels"]:
        lines.append(_tunnel_line(tunnel))
        lines += [_child_line(child) for child in tunnel["child_sas"]]
    return "\n".join(lines) + "\n"


def _ike_line(one: dict[str, Any]) -> str:
    algorithms = "/".join(one[key] for key in ("encryption", "integrity", "prf", "group") if one[key])
    algorithms += ", PPK {}".format(one["ppk"]) if one["ppk"] else ""
    return "  {:<20} IKEv{} {:<11} {}[{}] - {}[{}]  {}  {}".format(
        one["remote"],
        one["version"],
        one["state"],
        one["local"]["address"],
        one["local"]["port"],
        one["peer"]["address"],
        one["peer"]["port"],
        algorithms,
        _age(one),
    )


def _tunnel_line(tunnel: dict[str, Any]) -> str:
    selector = tunnel["selector"]
    reason = "  ({})".format(tunnel["reason"]) if tunnel["reason"] else ""
    return "  {:<20} {:<10} {} - {}{}".format(
        tunnel["name"], tunnel["state"], selector["local"], selector["peer"], reason
    )


def _child_line(child: dict[str, Any]) -> str:
    return "    {} {} {}/{}  in {}  out {}  {}  {}".format(
        child["protocol"].upper(),
        child["mode"],
        child["encryption"],
        child["integrity"] or "aead",
        child["spi_in"],
        child["spi_out"],
        _age(child),
        child["state"],
    )


def _age(one: dict[str, Any]) -> str:
    """In seconds, with the lifetime where one is agreed on."""
    return "{} s of {}".format(one["age"], one["lifetime"]) if one["lifetime"] else "{} s".format(one["age"])


def prometheus(status: dict[str, Any]) -> str:
    """Metrics in the text format: a tunnel that is configured and down is there with 0."""
    metrics = [
        ("ipsec_tunnel_up", "gauge", "Whether a configured tunnel has a child SA.", _per_tunnel(status, _up)),
        ("ipsec_tunnel_down", "gauge", "1 for a tunnel without a child SA, with the reason.", _reasons(status)),
        ("ipsec_tunnel_child_sas", "gauge", "Child SAs of a tunnel.", _per_tunnel(status, _children)),
        ("ipsec_ike_sas", "gauge", "IKE SAs by state.", _ike_states(status)),
        ("ipsec_ike_messages_total", "counter", "What happened to messages.", _counters(status)),
    ]
    lines: list[str] = []
    for name, kind, summary, samples in metrics:
        lines += ["# HELP {} {}".format(name, summary), "# TYPE {} {}".format(name, kind)]
        lines += ["{}{{{}}} {}".format(name, labels, value) for labels, value in samples]
    return "\n".join(lines) + "\n"


def _per_tunnel(status: dict[str, Any], value: Any) -> list[tuple[str, int]]:
    return [(_labels(tunnel=tunnel["name"], remote=tunnel["remote"]), value(tunnel)) for tunnel in status["tunnels"]]


def _reasons(status: dict[str, Any]) -> list[tuple[str, int]]:
    return [
        (_labels(tunnel=tunnel["name"], remote=tunnel["remote"], state=tunnel["state"], reason=tunnel["reason"]), 1)
        for tunnel in status["tunnels"]
        if not _up(tunnel)
    ]


def _up(tunnel: dict[str, Any]) -> int:
    return int(tunnel["state"] == "up")


def _children(tunnel: dict[str, Any]) -> int:
    return len(tunnel["child_sas"])


def _ike_states(status: dict[str, Any]) -> list[tuple[str, int]]:
    states = [one["state"] for one in status["ike_sas"]]
    return [(_labels(state=state), states.count(state)) for state in ("connecting", "established")]


def _counters(status: dict[str, Any]) -> list[tuple[str, int]]:
    return [(_labels(kind=name), value) for name, value in sorted(status["counters"].items())]


def _labels(**labels: str) -> str:
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, value in labels.items()
    }
    return ",".join('{}="{}"'.format(name, value) for name, value in escaped.items())
