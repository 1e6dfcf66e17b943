# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""spmd's job: the configuration's policies in the kernel, each bound to its own SAs by a request id.

Every tunnel gets a reqid that depends on its name alone, so that a restarted daemon finds its own policies and SAs
again. The reqids of the kernel's range are ours: a policy with one that the configuration doesn't name is stale.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Callable

from ..config.settings import Effective, Tunnel
from ..kernel.base import Kernel, KernelError
from ..policy.sa import TUNNEL, Address, Policy, SaState
from ..policy.spd import Resolve, spd_entries, tunnel_entries


class TooManyTunnels(Exception):
    """More tunnels than the kernel has request ids for."""


def numbered(configuration: Effective, reqids: range) -> Effective:
    """The configuration with a reqid for every tunnel that has none of its own (``reqid`` of its selector).

    Both directions of a tunnel share one, and so do the selectors that share a child SA. Names that collide take the
    next free number, in the file's order. Raises TooManyTunnels where the kernel's ``reqids`` don't suffice.
    """
    taken = {tunnel.reqid for tunnel in configuration.tunnels}
    known = {_owner(tunnel): tunnel.reqid for tunnel in reversed(configuration.tunnels) if tunnel.reqid}

    def number(tunnel: Tunnel) -> Tunnel:
        owner = _owner(tunnel)
        if owner not in known:
            known[owner] = _free_reqid(owner[1], reqids, taken)
        return replace(tunnel, reqid=known[owner])

    tunnels = tuple(number(tunnel) for tunnel in configuration.tunnels)
    of_mirror = {tunnel.inbound: tunnel.reqid for tunnel in tunnels if tunnel.inbound}
    inbound = tuple(replace(one, reqid=of_mirror.get(one.name, one.reqid)) for one in configuration.inbound)
    return replace(configuration, tunnels=tunnels, inbound=inbound)


def _owner(tunnel: Tunnel) -> tuple[str, str]:
    """Whose the reqid is: the selector's, or the policy's whose selectors share a child SA."""
    return ("policy", tunnel.policy) if tunnel.shared else ("selector", tunnel.name)


def _free_reqid(name: str, reqids: range, taken: set[int]) -> int:
    first = zlib.crc32(name.encode()) % len(reqids)
    for reqid in (*reqids[first:], *reqids[:first]):
        if reqid not in taken:
            taken.add(reqid)
            return reqid
    raise TooManyTunnels("more than {} tunnels: this kernel can't tell them apart".format(len(reqids)))


class PolicyTable:
    """The policies that this daemon keeps in the kernel."""

    def __init__(self, kernel: Kernel, warn: Callable[[str], None]) -> None:
        self._kernel = kernel
        self._warn = warn
        self._installed: dict[tuple, Policy] = {}
        self._led: dict[int, list[Tunnel]] = {}  # both directions of the tunnels with an outer header, by reqid
        self._ends: dict[tuple, tuple[Address, Address]] = {}  # ours and the peer's, as the last SAs had them

    def apply(self, configuration: Effective, resolve: Resolve) -> None:
        """Make the kernel's policies those of the configuration: new ones first, so that nothing slips through."""
        self._led = {}
        for tunnel in filter(_has_ends, configuration.tunnels + configuration.inbound):
            self._led.setdefault(tunnel.reqid, []).append(tunnel)
        named = {_named(tunnel) for tunnels in self._led.values() for tunnel in tunnels}
        self._ends = {place: ends for place, ends in self._ends.items() if place in named}
        settled = replace(
            configuration,
            tunnels=tuple(map(self._settled, configuration.tunnels)),
            inbound=tuple(map(self._settled, configuration.inbound)),
        )
        wanted = {_key(policy): policy for policy in spd_entries(settled, resolve, self._kernel.forwards)}
        for key, policy in wanted.items():
            if self._installed.get(key) != policy:
                self._add(policy)
        for policy in self._stale(wanted):
            self._kernel.delete_policy(policy)
        self._installed = wanted

    def learn(self, reqid: int, local: Address, peer: Address) -> None:
        """SAs between these two ends are about to carry a tunnel's traffic: lead it there.

        Others than the configuration names are learned too: behind NAT a peer's address may become another one.
        """
        tunnels = self._led.get(reqid, ())
        if all(self._ends.get(_named(tunnel)) == (local, peer) for tunnel in tunnels):
            return
        for tunnel in tunnels:
            self._ends[_named(tunnel)] = local, peer
            for policy in tunnel_entries(self._settled(tunnel), forward=self._kernel.forwards):
                if self._installed.get(_key(policy)) != policy:
                    self._add(policy)
                    self._installed[_key(policy)] = policy

    def adopt(self, configuration: Effective, left: Iterable[SaState]) -> None:
        """Take the ends from the SAs that an earlier run left; before ``apply``."""
        outbound = {tunnel.reqid: tunnel for tunnel in configuration.tunnels if _has_ends(tunnel)}
        for state in left:
            tunnel = outbound.get(state.reqid)
            if tunnel is not None and (tunnel.my_address == state.source or tunnel.peers_address == state.destination):
                self._ends[_named(tunnel)] = state.source, state.destination

    def _settled(self, tunnel: Tunnel) -> Tunnel:
        ends = self._ends.get(_named(tunnel))
        return tunnel if ends is None else replace(tunnel, my_address=ends[0], peers_address=ends[1])

    def remove(self) -> None:
        """Take all of them out: traffic is no longer protected, nor held back."""
        for policy in self._installed.values():
            self._kernel.delete_policy(policy)
        self._installed = {}

    def _add(self, policy: Policy) -> None:
        try:
            self._kernel.add_policy(policy)
        except KernelError as error:
            self._warn("selector {}: {}".format(policy.name, error))

    def _stale(self, wanted: dict[tuple, Policy]) -> list[Policy]:
        """What we installed and no longer want, and what an earlier run of ours left."""
        left = [state.policy for state in self._kernel.list_policies()]
        known = {_key(policy) for policy in self._installed.values()}
        return [
            policy
            for policy in left
            if _key(policy) not in wanted
            and (_key(policy) in known or any(one.reqid in self._kernel.reqids for one in policy.templates))
        ]


def _has_ends(tunnel: Tunnel) -> bool:
    return tunnel.action == "ipsec" and tunnel.mode == TUNNEL


def _named(tunnel: Tunnel) -> tuple:
    """A tunnel with the ends that the configuration names: with others it's another one."""
    return tunnel.reqid, tunnel.my_address, tunnel.peers_address


def _key(policy: Policy) -> tuple:
    return policy.selector, policy.direction
