# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ctl monitor``'s events and ``ctl trace``'s packets, as lines for people."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any


def event(one: dict[str, Any]) -> str:
    """One event: when, what, whose, and what else is known of it."""
    parts = [
        time.strftime("%H:%M:%S", time.localtime(one["time"])),
        "{:<15}".format(one["event"]),
        "{:<20}".format(one.get("tunnel") or one.get("remote", "")),
    ]
    if "local" in one:
        parts.append("{} - {}".format(one["local"], one.get("peer", "")))
    if "spi_in" in one:
        parts.append("in {} out {}".format(one["spi_in"], one.get("spi_out", "")))
    if "reason" in one:
        parts.append("({})".format(one["reason"]))
    if "lost" in one:
        parts.append("{} events were lost: this end reads too slowly".format(one["lost"]))
    return " ".join(parts).rstrip()


def packets(found: list[dict[str, Any]], now: float) -> Iterator[str]:
    """Packets with what they held; ``now`` is the time of day in seconds, from which their ages count back."""
    for one in found:
        when = now - one["age"]
        clock = "{}.{:03d}".format(time.strftime("%H:%M:%S", time.localtime(when)), int(when % 1 * 1000))
        arrow = "->" if one["direction"] == "sent" else "<-"
        often = "  ({} times)".format(one["times"]) if one["times"] > 1 else ""
        yield "{} {} {} {}{}".format(clock, one["local"], arrow, one["peer"], often)
        yield "    {}".format(one["message"])
        yield from ("      {}".format(line) for line in one["payloads"])
