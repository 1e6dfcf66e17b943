# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blast radius: what a deployment would do to the tunnels of a host, by its deployed configuration. Pure."""

from __future__ import annotations

from ..module_utils.ike.config.effective import effective
from ..module_utils.ike.config.grammar import TANUKI
from ..module_utils.ike.config.loader import load_text
from ..module_utils.ike.config.settings import Effective
from ..module_utils.ike.exchange.reconfiguration import changes, reusing

INTERRUPTED = "interrupted"

_EFFECTS = {
    "kept": "they go on with the same SAs",
    "renewed": "no packet is lost, if the other end follows in the lifetime of their SAs",
    "changed": "interrupted until the other end is deployed too, and for a handshake",
    INTERRUPTED: "for the daemon's restart and a handshake: some seconds",
    "added": "until the other end is deployed too, their traffic waits",
    "removed": "their traffic is no longer protected, nor held back",
}


def impact(deployed: bytes | None, planned: bytes, restart: bool) -> dict[str, list[str]]:
    """The names of selectors by what becomes of them: added, changed, renewed, removed, kept, interrupted.

    ``deployed`` is the host's racoon2.conf, None where there is none; one that doesn't load counts as none, because
    no daemon runs with it. Compared as the daemon compares at a reload. ``restart``: the daemon has to be ended for
    it, which interrupts what would be kept or renewed.
    """
    old = _meaning(deployed or b"") or Effective()
    found = changes(old, reusing(_meaning(planned), old))
    if restart:
        return {**found, "kept": [], "renewed": [], INTERRUPTED: sorted(found["kept"] + found["renewed"])}
    return {**found, INTERRUPTED: []}


def effects(found: dict[str, list[str]]) -> list[str]:
    """A line for each kind of change that there is: what it does to which tunnels."""
    return ["{} ({}): {}".format(kind, text, ", ".join(found[kind])) for kind, text in _EFFECTS.items() if found[kind]]


def _meaning(text: bytes) -> Effective | None:
    loaded = load_text(text, "racoon2.conf", TANUKI)
    if loaded.configuration is None or any(problem.is_error for problem in loaded.problems):
        return None
    return effective(loaded.configuration)
