# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens, told at once: to whoever watches (``ctl monitor``), and to racoon2's hook scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..config.settings import IkeSettings
from . import hooks
from .child import ChildSa
from .host import Host
from .path import Path

# Besides the events of hook scripts:
IKE_SA_FAILED = "ike_sa_failed"
CHILD_FAILED = "child_failed"
PEER_DEAD = "peer_dead"
ADDRESS_CHANGED = "address_changed"


@dataclass(frozen=True)
class Event:
    """One thing that happened. Texts that don't belong to it are empty; addresses stand with their UDP ports."""

    kind: str
    remote: str
    tunnel: str = ""
    reason: str = ""
    local: str = ""
    peer: str = ""
    spi_in: str = ""
    spi_out: str = ""

    def fields(self) -> dict[str, str]:
        """What it has to say, fit for JSON."""
        named = {"event": self.kind, **{name: value for name, value in vars(self).items() if name != "kind"}}
        return {name: value for name, value in named.items() if value}


def ike_sa(host: Host, session: Any, kind: str, reason: str = "") -> None:
    """Something happened to an IKE SA."""
    path: Path = session.path
    host.report(
        Event(
            kind,
            session.remote.name,
            reason=reason,
            local="{}[{}]".format(path.local, path.local_port),
            peer="{}[{}]".format(path.peer, path.peer_port),
        )
    )
    hooks.run_ike_sa(host, session, kind)


def child(host: Host, settings: IkeSettings | None, made: ChildSa, kind: str, reason: str = "") -> None:
    """Something happened to a child; ``settings`` are those of its remote, None where that is gone."""
    tunnel = made.tunnel
    spis = {"spi_in": "{:#010x}".format(made.spi_in), "spi_out": "{:#010x}".format(made.spi_out)}
    host.report(Event(kind, tunnel.remote, tunnel.name, reason, str(made.local), str(made.peer), **spis))
    if settings is not None:
        hooks.run_child(host, settings, made, kind)


def child_failed(host: Host, remote: str, tunnel: str, reason: str) -> None:
    """A negotiation ended without a child; ``tunnel`` is empty where the peer began it."""
    host.report(Event(CHILD_FAILED, remote, tunnel, reason))
