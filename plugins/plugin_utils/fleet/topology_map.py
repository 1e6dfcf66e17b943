# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology as SVG: sites on a circle, hubs in the middle, a line for each tunnel. Pure functions.

States differ by colour, by the line's dashes, and in words, so that neither colour nor a screen is needed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from .text import reasons

_LETTER = 8.5  # the width of a name's letter, and a bit
_MARGIN = 30
_LEAST_RADIUS = 170
_ARC = 22  # between two sites
_UPRIGHT = 16  # with more sites than this, names stand like the spokes of a wheel
_MANY = 30  # with more tunnels than this, lines are thin
_HUB_FACTOR = 3  # a hub has this many times the tunnels of a middling site


def topology_map(document: Mapping[str, Any]) -> str:
    """An ``<svg>`` element; each tunnel is a link to ``#tunnel-N`` with a title."""
    names = [site["name"] for site in document["sites"]]
    radius = max(_LEAST_RADIUS, _ARC * len(names) / (2 * math.pi))
    places = _places(names, _hubs(names, document["tunnels"]), radius)
    edge = _MARGIN + _LETTER * max(map(len, names), default=0)
    left, top, right, bottom = _extent(list(places.values()) or [(0.0, 0.0)])
    box = (left - edge, top - edge, right - left + 2 * edge, bottom - top + 2 * edge)
    lines = [_line(number, tunnel, places) for number, tunnel in enumerate(document["tunnels"])]
    dots = [_dot(site, *places[site["name"]], len(names)) for site in document["sites"]]
    return '<svg viewBox="{}"{} role="img" aria-label="{}">{}</svg>'.format(
        " ".join(map("{:.0f}".format, box)),
        ' class="many"' if len(lines) > _MANY else "",
        "Topology: sites and the states of their tunnels",
        "".join(lines + dots),
    )


def _extent(places: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
    """The smallest and largest coordinates: left, top, right, bottom."""
    xs, ys = zip(*places)
    return min(xs), min(ys), max(xs), max(ys)


def _hubs(names: Sequence[str], tunnels: Sequence[Mapping[str, Any]]) -> list[str]:
    degrees = Counter(name for tunnel in tunnels for name in tunnel["sites"])
    ordered = sorted(degrees[name] for name in names)
    middling = ordered[len(ordered) // 2] if ordered else 0
    return [name for name in names if degrees[name] >= max(_HUB_FACTOR, _HUB_FACTOR * middling)]


def _places(names: Sequence[str], hubs: Sequence[str], radius: float) -> dict[str, tuple[float, float]]:
    spokes = [name for name in names if name not in hubs]
    inner = 0.0 if len(hubs) == 1 else radius / 3
    return {**_circle(spokes, radius), **_circle(hubs, inner)}


def _circle(names: Sequence[str], radius: float) -> dict[str, tuple[float, float]]:
    """Places on a circle, the first one at its top."""
    if radius == 0:
        return dict.fromkeys(names, (0.0, 0.0))
    angles = [2 * math.pi * number / len(names) - math.pi / 2 for number in range(len(names))]
    return {name: (radius * math.cos(angle), radius * math.sin(angle)) for name, angle in zip(names, angles)}


def _line(number: int, tunnel: Mapping[str, Any], places: Mapping[str, tuple[float, float]]) -> str:
    title = "{}: {}".format(" -- ".join(tunnel["sites"]), "; ".join([tunnel["state"], *reasons(tunnel)]))
    (x1, y1), (x2, y2) = (places[name] for name in tunnel["sites"])
    return (
        '<a href="#tunnel-{}"><line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/><title>{}</title></a>'
    ).format(number, tunnel["state"], x1, y1, x2, y2, escape(title))


def _dot(site: Mapping[str, Any], x: float, y: float, sites: int) -> str:
    words = [site["name"], site["address"], *site["networks"], site["reason"]]
    state = "silent" if site["managed"] and not site["answers"] else "calm"
    return '<g class="site {}" transform="translate({:.1f} {:.1f})"><circle r="7"/>{}<title>{}</title></g>'.format(
        state, x, y, _name(site["name"], x, y, sites), escape("\n".join(filter(None, words)))
    )


def _name(name: str, x: float, y: float, sites: int) -> str:
    """A site's name outside its dot, on the side that looks away from the middle."""
    anchor = "start" if x > 1 else "end" if x < -1 else "middle"
    shift = (13 if x > 1 else -13 if x < -1 else 0, 4 if abs(x) > 1 else (24 if y > 1 else -14))
    turn = ""
    if sites > _UPRIGHT and (x or y):
        angle = math.degrees(math.atan2(y, x))
        left = x < -1
        turn = ' transform="rotate({:.1f})"'.format(angle + 180 if left else angle)
        anchor, shift = ("end", (-13, 4)) if left else ("start", (13, 4))
    return '<text x="{}" y="{}" text-anchor="{}"{}>{}</text>'.format(*shift, anchor, turn, escape(name))
