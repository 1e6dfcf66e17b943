# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the kernel has what a tunnel should have: expected tunnels against SAs and policies. Pure functions.

A verdict lists what holds and what is missing, each as a sentence that says what was found.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..ike.crypto.algorithms import CIPHERS, ENCRYPTION_KEYWORDS, INTEGRITIES, keyword_of
from ..ike.policy.sa import ESP, FWD, IN, OUT, TUNNEL, Address, Network, Policy, PolicyState, SaState

USABLE = ("mature", "dying")  # a dying SA still carries traffic while its successor is negotiated


@dataclass(frozen=True)
class Expectation:
    """A tunnel as this end should have it. ``networks`` are pairs (local, peer), algorithms racoon2's keywords.

    An end whose address isn't known beforehand is the unspecified one (see ``settled``).
    """

    name: str
    local: Address
    peer: Address
    networks: tuple[tuple[Network, Network], ...]
    encryption: tuple[str, ...]
    integrity: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether an end isn't known (yet)."""
        return self.local.is_unspecified or self.peer.is_unspecified


@dataclass(frozen=True)
class Verdict:
    """What was found of one tunnel."""

    name: str
    holds: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def up(self) -> bool:
        return not self.missing


def expectation(data: Mapping[str, Any]) -> Expectation:
    """Read an expectation from a module's option. Raises ValueError that names the value."""
    for keyword in data["encryption"]:
        if keyword not in ENCRYPTION_KEYWORDS:
            raise ValueError("{}: no encryption algorithm {!r}".format(data["name"], keyword))
    for keyword in data["integrity"]:
        if keyword not in INTEGRITIES:
            raise ValueError("{}: no integrity algorithm {!r}".format(data["name"], keyword))
    return Expectation(
        name=data["name"],
        local=ipaddress.ip_address(data["local"]),
        peer=ipaddress.ip_address(data["peer"]),
        networks=tuple((_network(pair["local"]), _network(pair["peer"])) for pair in data["networks"]),
        encryption=tuple(data["encryption"]),
        integrity=tuple(data["integrity"]),
    )


def settled(expected: Expectation, ends: Iterable[tuple[Address, Address]]) -> Expectation:
    """With an end that wasn't known where the policies lead, if they know: ``ends`` are its outbound templates'."""
    local, peer = next(iter(ends), (expected.local, expected.peer))
    return replace(
        expected,
        local=local if expected.local.is_unspecified else expected.local,
        peer=peer if expected.peer.is_unspecified else expected.peer,
    )


def settled_by(expected: Expectation, policies: Iterable[Mapping[str, Any]]) -> Expectation:
    """The same by policies as data."""
    networks = {(str(local), str(peer)) for local, peer in expected.networks}
    found = [
        policy["templates"][0]
        for policy in policies
        if policy["direction"] == OUT
        and (policy["selector"]["source"], policy["selector"]["destination"]) in networks
        and policy["templates"]
    ]
    ends = [(ipaddress.ip_address(one["source"]), ipaddress.ip_address(one["destination"])) for one in found]
    return settled(expected, ends)


def _network(text: str) -> Network:
    return ipaddress.ip_network(text)


def judge(
    expected: Expectation, sas: Sequence[SaState], policies: Sequence[PolicyState], forwards: bool = True
) -> Verdict:
    """Compare one tunnel with the kernel's SAs and policies. ``forwards``: the kernel has policies of direction fwd."""
    found = {
        (state.policy.direction, state.policy.selector.source, state.policy.selector.destination): state.policy
        for state in policies
    }
    outbound = [found[key] for key in ((OUT, *networks) for networks in expected.networks) if key in found]
    expected = settled(expected, [(one.source, one.destination) for policy in outbound for one in policy.templates[:1]])
    directions = (OUT, IN, FWD) if forwards else (OUT, IN)
    findings = [
        finding for networks in expected.networks for finding in _pair(expected, networks, directions, sas, found)
    ]
    return Verdict(
        expected.name,
        tuple(text for holds, text in findings if holds),
        tuple(text for holds, text in findings if not holds),
    )


Finding = tuple[bool, str]
Policies = Mapping[tuple[str, Network, Network], Policy]  # by direction, source, destination


def _pair(
    expected: Expectation,
    networks: tuple[Network, Network],
    directions: Sequence[str],
    sas: Sequence[SaState],
    policies: Policies,
) -> Iterator[Finding]:
    """A pair of networks needs a policy out, in and, since the gateway forwards, fwd, and SAs that serve them."""
    outward = (*networks, expected.local, expected.peer)
    inward = (*reversed(networks), expected.peer, expected.local)
    for direction in directions:
        source, destination, *ends = outward if direction == OUT else inward
        policy = policies.get((direction, source, destination))
        yield _policy("policy {} {} -> {}".format(direction, source, destination), policy, *ends)
        if direction != FWD:
            yield _association(expected, direction, (source, destination), ends, sas, policy)


def _policy(what: str, policy: Policy | None, source: Address, destination: Address) -> Finding:
    if policy is None:
        return False, "{}: none in the kernel".format(what)
    if policy.action != "ipsec" or not policy.templates:
        return False, "{}: its action is {}, so traffic isn't protected".format(what, policy.action)
    template = policy.templates[0]
    leads = (template.source, template.destination) == (source, destination)
    return leads, "{}: leads {} -> {}".format(what, template.source, template.destination)


def _association(
    expected: Expectation,
    direction: str,
    networks: tuple[Network, Network],
    ends: Sequence[Address],
    sas: Sequence[SaState],
    policy: Policy | None,
) -> Finding:
    """A direction holds when at least one SA that serves the policy (by its reqid) is as asked."""
    what = "SA {} {} -> {} for {} -> {}".format(direction, *ends, *networks)
    reqid = policy.templates[0].reqid if policy is not None and policy.templates else 0
    candidates = [
        sa for sa in sas if [sa.source, sa.destination, sa.protocol] == [*ends, ESP] and reqid in (0, sa.reqid)
    ]
    if not candidates:
        return False, "{}: none in the kernel".format(what)
    faults = {sa: list(_faults(expected, sa)) for sa in candidates}
    sound = [sa for sa in candidates if not faults[sa]]
    if sound:
        newest = max(sound, key=lambda sa: sa.added)
        return True, "{}: SPI 0x{:08x}, {}, {}".format(what, newest.spi, newest.state, _algorithms(newest))
    found = "; ".join("SPI 0x{:08x} {}".format(sa.spi, ", ".join(faults[sa])) for sa in candidates)
    return False, "{}: {}".format(what, found)


def _faults(expected: Expectation, sa: SaState) -> Iterator[str]:
    """Why an SA isn't what was asked for."""
    if sa.state == "larval":
        yield "is larval: its negotiation isn't finished"
        return
    if sa.state not in USABLE:
        yield "is {}".format(sa.state)
    if sa.mode != TUNNEL:
        yield "has mode {}, {} was asked for".format(sa.mode, TUNNEL)
    wanted = [ENCRYPTION_KEYWORDS[keyword] for keyword in expected.encryption]
    if not any(sa.encryption == name and bits in (0, sa.encryption_bits) for name, bits in wanted):
        yield "encrypts with {}, {} was asked for".format(_encryption(sa), " or ".join(expected.encryption))
    aead = sa.encryption in CIPHERS and CIPHERS[sa.encryption].aead
    if not aead and sa.integrity not in expected.integrity:
        yield "authenticates with {}, {} was asked for".format(
            sa.integrity or "nothing", " or ".join(expected.integrity)
        )


def _encryption(sa: SaState) -> str:
    if sa.encryption in CIPHERS:
        return keyword_of(CIPHERS[sa.encryption], sa.encryption_bits)
    return "{} with {} bits".format(sa.encryption or "nothing", sa.encryption_bits)


def _algorithms(sa: SaState) -> str:
    return "{} {}".format(_encryption(sa), sa.integrity).strip()
