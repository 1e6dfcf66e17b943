# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All the evidence of one end, as plain data that travels to the controller. Never a key."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..ike.config.effective import Effective, effective
from ..ike.config.grammar import TANUKI
from ..ike.config.loader import load_text
from .daemon import Daemon, DaemonError
from .looking import Look
from .network import Surroundings
from .probe import Probe, run_probe
from .psk import inspect_key, key_paths
from .sanity import check_tunnel, ways
from .snapshot import counters, databases, ip_counters, negotiations
from .survey import survey
from .verdict import USABLE, Expectation, settled_by

KERNEL, DAEMON, CONFIGURATION, KEYS, SURROUNDINGS = "kernel", "daemon", "configuration", "keys", "surroundings"
SUBJECTS = (KERNEL, DAEMON, CONFIGURATION, KEYS, SURROUNDINGS)


@dataclass
class Gatherer:
    """Looks at one host for some of its tunnels. ``salt`` is for the keys' fingerprints."""

    look: Look
    tunnels: Sequence[Expectation]
    control: str | None
    configuration: str
    salt: str = ""
    owner: int = 0  # whom the key files must belong to

    def gather(self, subjects: Sequence[str] = SUBJECTS) -> dict[str, Any]:
        """What was found, by subject; ``unseen`` says what couldn't be looked at."""
        found: dict[str, Any] = {"looked_at": list(subjects), "time": time.time()}
        lookers: dict[str, Callable[[], dict[str, Any]]] = {
            KERNEL: self._kernel,
            DAEMON: self._daemon,
            CONFIGURATION: self._configuration,
            KEYS: self._keys,
            SURROUNDINGS: self._surroundings,
        }
        for subject in subjects:
            found.update(lookers[subject]())
        found["unseen"] = list(dict.fromkeys(self.look.unseen))
        return found

    def bring_up(self, names: Sequence[str], seconds: float) -> None:
        """Ask the daemon for tunnels, one after the other. Why one doesn't come up is evidence that stays with it."""
        for name in names:
            try:
                Daemon(self.control).bring_up(name, seconds)
            except DaemonError:
                pass

    def probe(self, probe: Probe) -> dict[str, Any]:
        """What came back of a probe, and ``spis``: those of the usable SAs that this host had when it began."""
        sas = databases(self.look.run, [])["sas"]
        return {"spis": [sa["spi"] for sa in sas if sa["state"] in USABLE], **run_probe(self.look, probe)}

    def _kernel(self) -> dict[str, Any]:
        unseen = self.look.unseen
        return {**databases(self.look.run, unseen), "counters": counters(unseen) + ip_counters(unseen)}

    def _daemon(self) -> dict[str, Any]:
        return negotiations(self.control, self.look.unseen)

    def _configuration(self) -> dict[str, Any]:
        return {"configuration": self._text()}

    def _text(self) -> str:
        text = self.look.file(self.configuration)
        if text is None:
            self.look.note(self.configuration, "can't be read")
        return text or ""

    def _keys(self) -> dict[str, Any]:
        paths = key_paths(meaning_of(self._text()))
        return {"keys": {name: inspect_key(path, self.salt, self.owner) for name, path in paths.items()}}

    def _surroundings(self) -> dict[str, Any]:
        policies = databases(self.look.run, [])["policies"]
        tunnels = [settled_by(one, policies) for one in self.tunnels]
        around = survey(self.look, [way for one in tunnels for way in ways(one)], policies)
        return {
            "inner": _inner(around, tunnels),
            "checks": {one.name: [check.as_data() for check in check_tunnel(around, one)] for one in tunnels},
        }


def meaning_of(text: str) -> Effective:
    """What a configuration's text means; an empty one where it can't be read."""
    loaded = load_text(text.encode("utf-8"), "racoon2.conf", TANUKI)
    if loaded.configuration is None:
        return Effective((), ())
    return effective(loaded.configuration)


def _inner(around: Surroundings, tunnels: Sequence[Expectation]) -> dict[str, str]:
    """This host's own address in each of its protected networks, where it has one."""
    networks = {network for one in tunnels for network, _far in one.networks}
    found = {network: around.inner(network) for network in networks}
    return {str(network): str(inner[1]) for network, inner in found.items() if inner is not None}
