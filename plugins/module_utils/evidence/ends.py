# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of one tunnel, each with its evidence, as the controller sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..ike.config.effective import Effective
from .gather import CONFIGURATION, meaning_of
from .verdict import USABLE, Expectation

IKE_ESTABLISHED, IKE_CONNECTING = "established", "connecting"

Sa = Mapping[str, Any]


@dataclass(frozen=True)
class End:
    """One gateway: the tunnel as it should have it, and what was found (see :mod:`.gather`).

    ``evidence`` is empty where the host couldn't be looked at; ``before`` is its kernel before the probes, ``capture``
    what passed its outside device meanwhile.
    """

    name: str
    expected: Expectation
    evidence: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    probes: Sequence[Mapping[str, Any]] = ()
    capture: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seen(self) -> bool:
        return bool(self.evidence)

    def looked_at(self, subject: str) -> bool:
        return subject in self.evidence.get("looked_at", ())

    @property
    def checks(self) -> list[Mapping[str, str]]:
        return list(self.evidence.get("checks", {}).get(self.expected.name, ()))

    @cached_property
    def configuration(self) -> Effective:
        return meaning_of(self.evidence.get("configuration", "")) if self.looked_at(CONFIGURATION) else Effective()

    def policy(self, direction: str, source: Any, destination: Any) -> Mapping[str, Any] | None:
        return _policy(self.evidence, direction, source, destination)

    def sas(self, direction: str, network: Any, far: Any) -> list[Sa]:
        """The ESP SAs that serve a pair of networks, larval ones too. Two pairs differ by their policies' reqid."""
        return self._serving(self.evidence, direction, network, far)

    def spis_before(self, direction: str, network: Any, far: Any) -> list[str]:
        """The usable ones of those that were there before the probes."""
        return [sa["spi"] for sa in self._serving(self.before, direction, network, far) if sa["state"] in USABLE]

    def _serving(self, kernel: Mapping[str, Any], direction: str, network: Any, far: Any) -> list[Sa]:
        out, back = self.outer()
        ends = out if direction == "out" else back
        pair = (network, far) if direction == "out" else (far, network)
        policy = _policy(kernel, direction, *pair)
        reqid = policy["templates"][0]["reqid"] if policy is not None and policy["templates"] else 0
        return [
            sa
            for sa in kernel.get("sas", ())
            if (sa["source"], sa["destination"]) == ends and sa["protocol"] == "esp" and reqid in (0, sa["reqid"])
        ]

    def moved(self, direction: str, network: Any, far: Any) -> int:
        """The packets that these SAs have carried since ``before``."""
        earlier = {(sa["spi"], sa["destination"]): sa["packets"] for sa in self.before.get("sas", ())}
        return sum(
            sa["packets"] - earlier.get((sa["spi"], sa["destination"]), 0) for sa in self.sas(direction, network, far)
        )

    def had_sa(self, probe: Mapping[str, Any], network: Any, far: Any) -> bool:
        """Whether an SA served a pair of networks already when a probe of it began."""
        known = {*self.spis_before("out", network, far), *(sa["spi"] for sa in self.sas("out", network, far))}
        return not known.isdisjoint(probe["spis"])

    def grown(self) -> Iterator[tuple[str, int, str]]:
        """Counters of refused packets that have grown since ``before``: name, by how much, meaning."""
        earlier = {counter["name"]: counter["packets"] for counter in self.before.get("counters", ())}
        for counter in self.evidence.get("counters", ()):
            growth = counter["packets"] - earlier.get(counter["name"], 0)
            if growth > 0:
                yield counter["name"], growth, counter["meaning"]

    def integrity_errors(self) -> int:
        """Packets from the peer whose integrity check failed, since ``before``."""
        earlier = {sa["spi"]: sa["errors"]["integrity"] for sa in self.before.get("sas", ())}
        inbound = [sa for sa in self.evidence.get("sas", ()) if sa["source"] == str(self.expected.peer)]
        return sum(sa["errors"]["integrity"] - earlier.get(sa["spi"], 0) for sa in inbound)

    def outer(self) -> list[tuple[str, str]]:
        """The addresses of the gateways, out and in."""
        here, there = str(self.expected.local), str(self.expected.peer)
        return [(here, there), (there, here)]

    def ike_sas(self) -> list[Mapping[str, Any]]:
        """The daemon's IKE SAs with the peer, half-open ones too."""
        peer = str(self.expected.peer)
        return [one for one in self.evidence.get("ike_sas", ()) if one["peer"]["address"] == peer]

    def half_open(self, role: str) -> bool:
        """Whether a negotiation with the peer is under way in which this end has a role."""
        return any(one["role"] == role and one["state"] == IKE_CONNECTING for one in self.ike_sas())

    def ike_established(self) -> bool:
        return any(one["state"] == IKE_ESTABLISHED for one in self.ike_sas())

    def passed(self, *kinds: str) -> list[str]:
        """What the capture saw of these kinds of packets, and of hops that complained; nothing without a capture."""
        if not self.capture:
            return []
        counts = ["{} {} out, {} in".format(kind, *self.capture["packets"][kind].values()) for kind in kinds]
        return ["a capture on {} saw {}".format(self.capture["device"], "; ".join(counts)), *self.capture["errors"]]

    def captured(self, kind: str, way: str) -> int | None:
        """How many packets of a kind the capture saw go "out" or come "in"; None without a capture."""
        return self.capture["packets"][kind][way] if self.capture else None

    def key(self) -> Mapping[str, Any]:
        return self.evidence.get("keys", {}).get(self.expected.name, {})

    def reasons(self) -> list[str]:
        """What the daemon says of the tunnel's selectors that aren't up."""
        tunnels = [one for one in self.evidence.get("tunnels", ()) if one["remote"] == self.expected.name]
        return list(dict.fromkeys("{}: {}".format(one["name"], one["reason"]) for one in tunnels if one["reason"]))


@dataclass(frozen=True)
class Pair:
    """Both ends. A flow is one direction of one pair of networks: sender, receiver, from, to."""

    first: End
    second: End

    @property
    def ends(self) -> tuple[End, End]:
        return self.first, self.second

    def peer_of(self, end: End) -> End:
        return self.second if end is self.first else self.first

    def flows(self) -> list[tuple[End, End, Any, Any]]:
        forth = [(self.first, self.second, ours, theirs) for ours, theirs in self.first.expected.networks]
        return forth + [(self.second, self.first, theirs, ours) for _one, _other, ours, theirs in forth]


def _policy(kernel: Mapping[str, Any], direction: str, source: Any, destination: Any) -> Mapping[str, Any] | None:
    """A kernel's policy of exactly these networks, for every protocol."""
    for policy in kernel.get("policies", ()):
        selector = policy["selector"]
        if (policy["direction"], selector["source"], selector["destination"], selector["protocol"]) == (
            direction,
            str(source),
            str(destination),
            0,
        ):
            return policy
    return None


def lacking_policies(sender: End, receiver: End, source: Any, destination: Any) -> list[tuple[End, str]]:
    """Where a flow lacks its policy, and of which direction; only those that the end's kernel knows."""
    wanted = ((sender, "out"), (receiver, "in"), (receiver, "fwd"))
    return [
        (end, direction)
        for end, direction in wanted
        if direction in end.evidence.get("directions", ()) and end.policy(direction, source, destination) is None
    ]


def common_spis(sender: End, receiver: End, source: Any, destination: Any) -> list[tuple[Sa, Sa]]:
    """The SAs by which a flow can cross: the sender's outbound ones that are the receiver's inbound ones."""
    inbound = {sa["spi"]: sa for sa in receiver.sas("in", destination, source) if sa["state"] in USABLE}
    outbound = [sa for sa in sender.sas("out", source, destination) if sa["state"] in USABLE]
    return [(sa, inbound[sa["spi"]]) for sa in outbound if sa["spi"] in inbound]
