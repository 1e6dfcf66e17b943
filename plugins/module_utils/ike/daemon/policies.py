# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""spmd's job: the configuration's policies in the kernel, each bound to its own SAs by a request id.

Every tunnel gets a reqid that depends on its name alone, so that a restarted daemon finds its own policies and SAs
again. The reqids of the kernel's range are ours: a policy with one that the configuration doesn't name is stale.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Callable

from ..config.settings import Effective, Tunnel
from ..kernel.base import Kernel, KernelError
from ..policy.sa import Policy
from ..policy.spd import Resolve, spd_entries


class TooManyTunnels(Exception):
    """More tunnels than the kernel has request ids for."""


def numbered(configuration: Effective, reqids: range) -> Effective:
    """The configuration with a reqid for every tunnel that has none of its own (``reqid`` of its selector).

    Both directions of a tunnel share one. Names that collide take the next free number, in the file's order.
    Raises TooManyTunnels where the kernel's ``reqids`` don't suffice.
    """
    taken = {tunnel.reqid for tunnel in configuration.tunnels}
    by_name: dict[str, int] = {}

    def number(tunnel: Tunnel) -> Tunnel:
        if not tunnel.reqid and tunnel.name not in by_name:
            by_name[tunnel.name] = _free_reqid(tunnel.name, reqids, taken)
        return replace(tunnel, reqid=tunnel.reqid or by_name[tunnel.name])

    tunnels = tuple(number(tunnel) for tunnel in configuration.tunnels)
    of_mirror = {tunnel.inbound: tunnel.reqid for tunnel in tunnels if tunnel.inbound}
    inbound = tuple(replace(one, reqid=of_mirror.get(one.name, one.reqid)) for one in configuration.inbound)
    return replace(configuration, tunnels=tunnels, inbound=inbound)


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

    def apply(self, configuration: Effective, resolve: Resolve) -> None:
        """Make the kernel's policies those of the configuration: new ones first, so that nothing slips through."""
        wanted = {_key(policy): policy for policy in spd_entries(configuration, resolve, self._kernel.forwards)}
        for key, policy in wanted.items():
            if self._installed.get(key) != policy:
                self._add(policy)
        for policy in self._stale(wanted):
            self._kernel.delete_policy(policy)
        self._installed = wanted

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


def _key(policy: Policy) -> tuple:
    return policy.selector, policy.direction
