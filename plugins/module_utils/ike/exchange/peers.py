# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may talk to us and where to find whom: remotes by name and by address, in the file's order."""

from __future__ import annotations

from ..config.settings import ANY_MACROS, Effective, Endpoint, IkeSettings, Remote, Tunnel
from ..config.values import numeric
from ..policy.sa import Address
from ..policy.spd import outer_version
from .effects import NamedAddress, SourceAddress
from .errors import LocalError
from .host import Host
from .path import IKE_PORT, NAT_PORT, Path


class Peers:
    """The remotes of a configuration, indexed. ``protocol`` is ``ikev1`` or ``ikev2``."""

    def __init__(self, configuration: Effective, host: Host) -> None:
        self._configuration = configuration
        self._host = host
        self._by_name: dict[str, Remote] = {}
        self._by_address: dict[tuple[str, Address], tuple[int, Remote]] = {}
        self._anywhere: dict[str, tuple[int, Remote]] = {}
        for order, remote in enumerate(configuration.remotes):
            self._by_name.setdefault(remote.name, remote)
            for protocol in remote.acceptable:
                self._index(order, protocol, remote)

    def _index(self, order: int, protocol: str, remote: Remote) -> None:
        settings = remote.settings(protocol)
        for endpoint in settings.peers if settings else ():
            if endpoint.name.partition("%")[0] in ANY_MACROS:
                self._anywhere.setdefault(protocol, (order, remote))
            elif endpoint.address is not None:
                self._by_address.setdefault((protocol, endpoint.address), (order, remote))

    def at(self, protocol: str, address: Address) -> Remote | None:
        """The first remote of the file that accepts the protocol from this address, else ``default``."""
        found = [
            one for one in (self._by_address.get((protocol, address)), self._anywhere.get(protocol)) if one is not None
        ]
        if found:
            return min(found, key=lambda one: one[0])[1]
        default = self._configuration.default
        usable = default is not None and protocol in default.acceptable and default.settings(protocol)
        return default if usable else None

    def all_at(self, protocol: str, address: Address) -> list[Remote]:
        """Every remote that accepts the protocol from this address, ``default`` last."""
        remotes = [*self._configuration.remotes, self._configuration.default]
        return [
            remote
            for remote in remotes
            if remote is not None
            and protocol in remote.acceptable
            and remote.settings(protocol)
            and (remote is self._configuration.default or _serves(remote.settings(protocol), address))
        ]

    def addresses(self) -> set[Address]:
        """The peers' addresses that the configuration names."""
        return {address for _protocol, address in self._by_address}

    def addresses_of(self, name: str) -> list[Address] | None:
        """Where a remote is, by its name, or the address that a text spells; None where it is neither."""
        remote = self._by_name.get(name)
        if remote is None:
            address = numeric(name)
            return None if address is None else [address]
        blocks = [remote.settings(protocol) for protocol in remote.acceptable]
        endpoints = [endpoint for block in blocks if block for endpoint in block.peers]
        return list(dict.fromkeys(one.address for one in endpoints if one.address is not None))

    def named(self, name: str) -> Remote | None:
        return self._by_name.get(name)

    def of(self, tunnel: Tunnel) -> Remote:
        """The remote that we may initiate a tunnel's IKE SA with."""
        remote = self._by_name.get(tunnel.remote)
        if remote is None:
            raise LocalError("there is no remote {}".format(tunnel.remote or "for it"))
        settings = remote.settings(remote.acceptable[0]) if remote.acceptable else None
        if settings is None:
            raise LocalError("remote {} accepts no protocol that it has a block for".format(remote.name))
        if settings.passive:
            raise LocalError("remote {} is passive: only the peer may begin".format(remote.name))
        return remote

    def path(self, tunnel: Tunnel, remote: Remote) -> Path:
        """The way to a tunnel's peer. LocalError where its address isn't known."""
        peers = remote.settings(remote.acceptable[0]).peers
        endpoint = next((one for one in peers if one.address is not None or one.is_name), None)
        peer = _numeric(tunnel.peers_address) or (self._address(endpoint, tunnel) if endpoint else None)
        if peer is None:
            raise LocalError("remote {}: its address isn't known: only the peer can begin".format(remote.name))
        local = _numeric(tunnel.my_address) or self._host.perform(SourceAddress(peer))
        listen = self._configuration.listen
        port = next((one.port for one in listen if one.port not in (0, NAT_PORT)), IKE_PORT)
        return Path(local, peer, port, endpoint.port if endpoint and endpoint.port else IKE_PORT)

    def _address(self, endpoint: Endpoint, tunnel: Tunnel) -> Address:
        """Where a peer is, which may have a name only."""
        if endpoint.address is not None:
            return endpoint.address
        return self._host.perform(NamedAddress(endpoint.name, outer_version(tunnel)))


def _serves(settings: IkeSettings, address: Address) -> bool:
    return any(endpoint.matches(address) for endpoint in settings.peers)


def _numeric(address: Address | str | None) -> Address | None:
    """An address that is one; None for macros and names."""
    return None if isinstance(address, str) else address
