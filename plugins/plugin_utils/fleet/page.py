# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's document as one HTML page that needs nothing else: no script, no font, no other file. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from .document import STATES, UP
from .text import algorithms, reasons, summary_line
from .topology_map import topology_map

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --paper: #fff; --soft: #5c6b7a; --rule: #d5dce3; --panel: #f5f7f9;
  --up: #1a7f4b; --partly: #a65400; --connecting: #1f5fbf; --down: #c0262d; --unknown: #5f6b77; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e9ef; --paper: #14191f; --soft: #9aa8b5; --rule: #323c46;
  --panel: #1b222a; --up: #4cc38a; --partly: #f0a04b; --connecting: #6ea8ff; --down: #ff6f6f; --unknown: #93a0ac; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1100px; padding: 24px; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 18px; margin: 32px 0 8px; } p { margin: 4px 0; }
.soft { color: var(--soft); }
svg { display: block; width: 100%; max-height: 680px; margin: 16px 0; background: var(--panel); border-radius: 8px; }
svg line { stroke: var(--unknown); stroke-width: 2.5; } svg.many line { stroke-width: 1.5; }
svg a:hover line, svg a:focus line { stroke-width: 6; }
svg .up { stroke: var(--up); } svg .partly { stroke: var(--partly); stroke-dasharray: 10 4; }
svg .connecting { stroke: var(--connecting); stroke-dasharray: 2 5; }
svg .down { stroke: var(--down); stroke-dasharray: 6 6; } svg .unknown { stroke-dasharray: 1 7; }
svg circle { fill: var(--ink); stroke: var(--panel); stroke-width: 2; }
svg .silent circle { fill: var(--panel); stroke: var(--down); stroke-width: 3; }
svg text { fill: var(--ink); font-size: 14px; paint-order: stroke; stroke: var(--panel); stroke-width: 4px; }
.state { display: inline-block; min-width: 88px; font-weight: 600; }
.state.up { color: var(--up); } .state.partly { color: var(--partly); } .state.connecting { color: var(--connecting); }
.state.down { color: var(--down); } .state.unknown { color: var(--unknown); }
details { border-bottom: 1px solid var(--rule); padding: 6px 0; } summary { cursor: pointer; }
details > div { padding: 4px 0 8px 18px; } :target { background: var(--panel); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 24px; } .legend .state { min-width: 0; }
.legend svg { display: inline-block; width: 44px; height: 8px; margin: 0 6px 0 0; background: none;
  vertical-align: middle; }
table { border-collapse: collapse; width: 100%; margin: 8px 0; font-size: 14px; table-layout: fixed; }
td { overflow-wrap: anywhere; } .pairs th { width: 12%; } .pairs th:nth-child(4) { width: 22%; }
.pairs th:nth-child(-n+2) { width: 15%; }
th, td { text-align: left; vertical-align: top; padding: 4px 12px 4px 0; border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 600; } code { font-size: 13px; }
@media print { body { max-width: none; padding: 0; } .pairs { font-size: 10.5px; } .pairs td { padding-right: 6px; }
  svg { background: none; max-height: 45vh; }
  details, tr { break-inside: avoid; } details::details-content { content-visibility: visible; } }
"""


def fleet_page(document: Mapping[str, Any]) -> str:
    """The page's text. Everything of the document stands in it escaped."""
    body = [
        "<h1>IPsec tunnels</h1>",
        '<p>{}</p><p class="soft">Asked at {}</p>'.format(
            escape(summary_line(document["summary"])), escape(document["time"])
        ),
        topology_map(document),
        _legend(),
        "<h2>Tunnels</h2>",
        *_tunnels(document),
        "<h2>Sites</h2>",
        _sites(document),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>IPsec tunnels</title><style>{}</style></head>\n<body>{}</body></html>\n"
    ).format(_STYLE, "\n".join(body))


def _legend() -> str:
    line = '<svg viewBox="0 0 44 8"><line class="{}" x1="0" y1="4" x2="44" y2="4"/></svg>'
    entries = [
        '<span>{line}<span class="state {state}">{state}</span></span>'.format(line=line.format(state), state=state)
        for state in reversed(STATES)
    ]
    return '<p class="legend">{}</p>'.format("".join(entries))


def _tunnels(document: Mapping[str, Any]) -> list[str]:
    """What isn't up first and open, so that it's read, and printed, without a click."""
    numbered = sorted(enumerate(document["tunnels"]), key=lambda one: STATES.index(one[1]["state"]))
    return [_tunnel(number, tunnel) for number, tunnel in numbered]


def _tunnel(number: int, tunnel: Mapping[str, Any]) -> str:
    remark = "; ".join(reasons(tunnel)) or " ".join(algorithms(tunnel))
    return (
        '<details{}><summary><span class="state {}">{}</span> {} <span class="soft">{}</span></summary>'
        '<div id="tunnel-{}">{}</div></details>'
    ).format(
        "" if tunnel["state"] == UP else " open",
        tunnel["state"],
        tunnel["state"],
        escape(" -- ".join(tunnel["sites"])),
        escape(remark),
        number,
        "".join(_end(end) for end in tunnel["ends"]) + "<p>Profile {}</p>".format(escape(tunnel["profile"])),
    )


def _end(end: Mapping[str, Any]) -> str:
    seen = '<p><b>Seen from {}</b> <span class="soft">{}</span></p>'.format(escape(end["site"]), escape(_ike(end)))
    if not end["answers"]:
        return seen
    if not any(pair["child"] for pair in end["networks"]):
        return seen + "".join(_bare_pair(pair) for pair in end["networks"])
    rows = "".join(_pair(pair) for pair in end["networks"])
    head = "<tr><th>Here<th>There<th>State<th>ESP<th>SPIs in, out<th>Age<th>In, out</tr>"
    return '{}<table class="pairs">{}{}</table>'.format(seen, head, rows)


def _ike(end: Mapping[str, Any]) -> str:
    if not end["answers"]:
        return "no answer"
    ike = end["ike"]
    if ike is None:
        return "no IKE SA"
    nat = ", behind NAT" if ike["nat"] else ""
    return "IKEv{} {}, {}{}, {} old, {} in all".format(
        ike["version"], ike["state"], " ".join(ike["algorithms"]), nat, _time(ike["age"]), _time(ike["lifetime"])
    )


def _bare_pair(pair: Mapping[str, Any]) -> str:
    """A line for networks without SAs: a table of them would be empty."""
    return "<p>{} to {}: {}</p>".format(*(escape(pair[key]) for key in ("local", "peer")), escape(_said(pair)))


def _said(pair: Mapping[str, Any]) -> str:
    return pair["reason"] or pair["state"]


def _pair(pair: Mapping[str, Any]) -> str:
    child = pair["child"]
    cells = [pair["local"], pair["peer"], _said(pair)]
    if child is None:
        cells += [""] * 4
    else:
        cells += [
            " ".join(child["algorithms"]),
            "{} {}".format(child["spi_in"], child["spi_out"]),
            "{} of {}".format(_time(child["age"]), _time(child["lifetime"])),
            "{}, {}".format(_size(child["bytes_in"]), _size(child["bytes_out"])),
        ]
    return "<tr>{}</tr>".format("".join("<td>{}</td>".format(escape(cell)) for cell in cells))


def _sites(document: Mapping[str, Any]) -> str:
    rows = [
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>".format(
            escape(site["name"]), escape(site["address"]), escape(", ".join(site["networks"])), _daemon(site)
        )
        for site in document["sites"]
    ]
    return "<table><tr><th>Site<th>Address<th>Networks<th>Daemon</tr>{}</table>".format("".join(rows))


def _daemon(site: Mapping[str, Any]) -> str:
    if site["answers"] or not site["managed"]:
        return escape(site["reason"]) or "answers"
    return '<span class="state down">no answer</span> ' + escape(site["reason"])


def _time(seconds: int) -> str:
    """For example ``1 h 20 min``; the two largest units."""
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts = []
    for size, unit in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append("{} {}".format(count, unit))
    return " ".join(parts[:2]) or "0 s"


def _size(count: int | None) -> str:
    """Bytes in decimal units with three digits, for example ``1.23 MB``; ``?`` where unknown."""
    if count is None:
        return "?"
    if count < 1000:
        return "{} B".format(count)
    value, units = float(count), ["kB", "MB", "GB", "TB", "PB"]
    unit = units.pop(0)
    value /= 1000
    while value >= 1000 and units:
        value, unit = value / 1000, units.pop(0)
    return "{:.3g} {}".format(value, unit) if value < 999.5 else "{:.0f} {}".format(value, unit)
