# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub and its spokes, what is done to them, and what must hold of the tunnels that it isn't about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fleet.controller import ROOT, Controller, Run, inventory
from tests.fleet.gateway import Gateway
from tests.fleet.network import Place
from tests.fleet.pings import Pings, Stream

DEPLOY = str(ROOT / "tests/fleet/deploy.yml")
ANSWER_LIMIT = 120.0  # seconds until all LANs reach the hub's, after the play
FEW = 2  # spokes, where few will do
KEY = "hub--{}.psk"


@dataclass
class Fleet:
    """``sites`` is the number of spokes that it has at its largest, one more for the one that is added.

    ``variables`` are the inventory's for all sites, beside the topology, ``overrides`` those of single ones.
    ``unmanaged`` sites are in it, and nobody connects to them.
    """

    controller: Controller
    sites: int
    gateways: list[Gateway] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    unmanaged: list[Place] = field(default_factory=list)

    @property
    def hub(self) -> Gateway:
        return self.gateways[0]

    @property
    def spokes(self) -> list[Gateway]:
        return self.gateways[1:]

    def grow(self, spokes: int) -> None:
        """Boot what is missing of a hub and so many spokes."""
        names = ["hub", *("spoke{:02}".format(number) for number in range(1, spokes + 1))]
        fresh = [Gateway(Place(name, number + 1)) for number, name in enumerate(names)][len(self.gateways) :]
        begun = time.monotonic()
        for gateway in fresh:
            gateway.boot()
        for gateway in fresh:
            gateway.wait()
        self.gateways += fresh
        print("   {:7.1f} s  {} sites booted".format(time.monotonic() - begun, len(fresh)), flush=True)

    def play(self, playbook: str = DEPLOY, limit: Gateway | None = None, **variables: Any) -> Run:
        sites = inventory(self.gateways, self.unmanaged, {**self.variables, **variables}, self.overrides)
        return self.controller.play(playbook, self.gateways, sites, limit)

    def reinstall(self, gateway: Gateway) -> None:
        """It has the lab's image, its address and its host key, and nothing that was deployed to it."""
        self.controller.forget(gateway)
        gateway.reinstall()

    def pings(self, spokes: Sequence[Gateway]) -> Pings:
        """From each spoke's LAN to the hub's."""
        return self.pings_from([spoke.place for spoke in spokes])

    def pings_from(self, places: Sequence[Place]) -> Pings:
        return Pings(self.controller.directory, places, self.hub.place.client)

    @contextmanager
    def undisturbed(self, spokes: Sequence[Gateway]) -> Iterator[dict[str, Stream]]:
        """Assert that these spokes' SAs stay what they are, at both ends, and that their pings are all answered."""
        streams: dict[str, Stream] = {}
        before = self.spis(spokes)
        with self.pings(spokes) as pings:
            pings.wait_for_all(ANSWER_LIMIT)
            yield streams
            pings.settle()
        streams.update(pings.streams())
        assert all(stream.sent for stream in streams.values())
        assert {name: (stream.lost, stream.sent) for name, stream in streams.items() if stream.lost} == {}
        assert {name: (before[name], now) for name, now in self.spis(spokes).items() if now != before[name]} == {}

    @staticmethod
    def eventually(holds: Callable[[], bool]) -> bool:
        """Whether it holds before too long."""
        deadline = time.monotonic() + ANSWER_LIMIT
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(1)
        return True

    def spis(self, spokes: Sequence[Gateway]) -> Mapping[str, tuple[frozenset[str], frozenset[str]]]:
        """Of each spoke's tunnel, as the hub's kernel and its own have them."""
        hub = self.hub.place
        return {spoke.name: (hub.spis(spoke.place), spoke.place.spis(hub)) for spoke in spokes}

    def key(self, spoke: Gateway) -> bytes:
        """The key of its tunnel, as the controller keeps it."""
        return (self.controller.psks / KEY.format(spoke.name)).read_bytes()
