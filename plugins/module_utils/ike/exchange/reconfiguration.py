# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two configurations compared: what becomes of each tunnel, and which old values the new one can go on with."""

from __future__ import annotations

from dataclasses import replace

from ..config.settings import Effective, Endpoint, Tunnel

# What may differ between the SAs of one tunnel without the traffic's noticing.
_RENEWABLE = (
    "proposals",
    "lifetime_seconds",
    "lifetime_bytes",
    "lifetime_packets",
    "replay_window",
    "start_action",
    "close_action",
    "dpd_action",
)


def reusing(new: Effective, old: Effective) -> Effective:
    """The new configuration, with the old one's objects wherever nothing differs: sessions hold on to them."""
    remotes = {remote.name: remote for remote in reversed(old.remotes)}
    tunnels = {tunnel.name: tunnel for tunnel in reversed(old.tunnels)}
    return replace(
        new,
        remotes=tuple(remotes[one.name] if remotes.get(one.name) == one else one for one in new.remotes),
        default=old.default if old.default == new.default else new.default,
        tunnels=tuple(
            tunnels[one.name] if one.name in tunnels and _same(tunnels[one.name], one) else one for one in new.tunnels
        ),
    )


def _same(one: Tunnel, other: Tunnel) -> bool:
    """Whether two tunnels mean the same, wherever they stand in their files."""
    return replace(one, rank=0) == replace(other, rank=0)


def _same_traffic(one: Tunnel, other: Tunnel) -> bool:
    """Whether two tunnels differ in how only: both carry the same traffic between the same addresses."""
    protocols = [proposal.protocol for proposal in one.proposals] == [proposal.protocol for proposal in other.proposals]
    return protocols and _same(one, replace(other, **{name: getattr(one, name) for name in _RENEWABLE}))


def _endpoints(configuration: Effective, tunnel: Tunnel) -> set[Endpoint]:
    """Where the tunnel's peer is, by whichever protocols it may use."""
    remote = configuration.remote(tunnel.remote)
    blocks = [remote.settings(protocol) for protocol in remote.acceptable] if remote else []
    return {endpoint for block in blocks if block is not None for endpoint in block.peers}


def changes(old: Effective, new: Effective) -> dict[str, list[str]]:
    """The names of tunnels by what becomes of them: added, changed, renewed, removed, kept. By identity: see reusing.

    A tunnel whose remote changed has changed too. Of those that have, the renewed ones' SAs carry the traffic until
    new ones do.
    """
    before = {tunnel.name: tunnel for tunnel in reversed(old.tunnels)}
    after = {tunnel.name: tunnel for tunnel in reversed(new.tunnels)}
    found: dict[str, list[str]] = {"added": [], "changed": [], "renewed": [], "removed": [], "kept": []}
    for name, tunnel in after.items():
        if name not in before:
            found["added"].append(name)
        elif before[name] is tunnel and old.remote(tunnel.remote) is new.remote(tunnel.remote):
            found["kept"].append(name)
        elif _same_traffic(before[name], tunnel) and _endpoints(old, tunnel) == _endpoints(new, tunnel):
            found["renewed"].append(name)
        else:
            found["changed"].append(name)
    found["removed"] = [name for name in before if name not in after]
    return {kind: sorted(names) for kind, names in found.items()}
