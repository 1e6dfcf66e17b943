# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rim: it answers the engine's effects with kernel calls, key files and hook scripts."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import subprocess
import threading
from dataclasses import replace
from typing import Any, Callable

from ..config.psk import PskError, read_psk, read_psks
from ..exchange.effects import (
    AllocateSpi,
    Install,
    NamedAddress,
    PacketsReceived,
    PostQuantumKey,
    Remove,
    RunScript,
    SharedKeys,
    SourceAddress,
)
from ..exchange.errors import LocalError
from ..kernel.base import Kernel, KernelError
from ..policy.sa import Address
from .names import Names

LOGGER = logging.getLogger("ike")

_SCRIPT_SECONDS = 30
_DISCARD_PORT = 9  # nothing is sent: connecting a UDP socket only asks for the route


class Rim:
    """``perform`` gives each effect's answer, or raises LocalError in words for the operator.

    ``settled(reqid, local, peer)`` is told between which ends a tunnel is about to have SAs.
    """

    def __init__(self, kernel: Kernel, settled: Callable[[int, Address, Address], None] | None = None) -> None:
        self._kernel = kernel
        self._settled = settled
        self._names = Names()
        self._actions: dict[type, Callable[[Any], Any]] = {
            SharedKeys: _shared_keys,
            PostQuantumKey: _post_quantum_key,
            AllocateSpi: self._allocate_spi,
            Install: self._install,
            Remove: self._remove,
            PacketsReceived: self._packets_received,
            SourceAddress: _source_address,
            NamedAddress: self._named_address,
            RunScript: _run_script,
        }

    def perform(self, effect: Any) -> Any:
        try:
            return self._actions[type(effect)](effect)
        except KernelError as error:
            raise LocalError("the kernel refused: {}".format(error)) from error

    def _allocate_spi(self, effect: AllocateSpi) -> int:
        return self._kernel.allocate_spi(effect.peer, effect.local, effect.protocol, effect.reqid, effect.mode)

    def _install(self, effect: Install) -> None:
        window = min(effect.association.replay_window, self._kernel.largest_window)
        association = replace(effect.association, replay_window=window)
        if effect.inbound:
            if self._settled is not None:
                self._settled(association.reqid, association.destination, association.source)
            self._kernel.update_sa(association)
        else:
            self._kernel.add_sa(association)

    def _remove(self, effect: Remove) -> None:
        for sa_id in effect.ids:
            self._kernel.delete_sa(sa_id)

    def _packets_received(self, effect: PacketsReceived) -> int:
        states = [self._kernel.query_sa(sa_id) for sa_id in effect.ids]
        return sum(state.packets for state in states if state is not None)

    def _named_address(self, effect: NamedAddress) -> Address:
        return self._names.find(effect.name, effect.version)


def _shared_keys(effect: SharedKeys) -> tuple[bytes, ...]:
    """Read at each authentication, as racoon2 does: a rotated key needs no reload."""
    path = effect.settings.pre_shared_key
    if not path:
        raise LocalError("no pre_shared_key is configured")
    try:
        keys, complaints = read_psks(path, os.geteuid())
    except PskError as error:
        raise LocalError("pre-shared key {}".format(error)) from error
    for complaint in complaints:
        LOGGER.warning("pre-shared key %s", complaint)
    return keys


def _post_quantum_key(effect: PostQuantumKey) -> bytes:
    try:
        return read_psk(effect.settings.ppk, os.geteuid())
    except PskError as error:
        raise LocalError("PPK {}".format(error)) from error


def _source_address(effect: SourceAddress) -> Address:
    family = socket.AF_INET if effect.peer.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(effect.peer), _DISCARD_PORT))
            address = ipaddress.ip_address(probe.getsockname()[0].partition("%")[0])
    except OSError as error:
        raise LocalError("no route to {}: {}".format(effect.peer, error.strerror)) from error
    if address.version == 6 and address.is_link_local and not effect.peer.is_link_local:
        # So it is while the address that belongs there is still being checked (RFC 4862 5.4).
        raise LocalError("no address here but {}, which is link-local, leads to {}".format(address, effect.peer))
    return address


def _run_script(effect: RunScript) -> None:
    """Start a hook script, and don't wait for it: IKE goes on meanwhile."""
    threading.Thread(target=_script, args=(effect,), daemon=True).start()


def _script(effect: RunScript) -> None:
    """It gets the event as its argument, and the listed environment only, as racoon2's do."""
    try:
        subprocess.run([effect.path, effect.event], env=dict(effect.environment), timeout=_SCRIPT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        LOGGER.warning("script %s %s: %s", effect.path, effect.event, error)
