# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hook scripts: racoon2's events and its environment variables. An event without a ``script`` costs nothing."""

from __future__ import annotations

from typing import Any

from ..config.settings import IkeSettings, Member, Network
from .child import ChildSa
from .effects import RunScript
from .host import Host

IKE_SA_UP = "ike_sa_up"
IKE_SA_DOWN = "ike_sa_down"
IKE_SA_REKEY = "ike_sa_rekey"
CHILD_UP = "child_up"
CHILD_DOWN = "child_down"
CHILD_REKEY = "child_rekey"


def run_ike_sa(host: Host, session: Any, event: str) -> None:
    """Run the script of an IKE SA's event."""
    path = session.path
    _run(
        host,
        session.settings,
        event,
        LOCAL_ADDR=str(path.local),
        LOCAL_PORT=str(path.local_port),
        REMOTE_ADDR=str(path.peer),
        REMOTE_PORT=str(path.peer_port),
    )


def run_child(host: Host, settings: IkeSettings, child: ChildSa, event: str) -> None:
    """Run the script of a child's event: for each selector whose traffic it carries."""
    for member in child.tunnel.members:
        if child.serves(member):
            _run_member(host, settings, child, member, event)


def _run_member(host: Host, settings: IkeSettings, child: ChildSa, member: Member, event: str) -> None:
    traffic = member.selector
    _run(
        host,
        settings,
        event,
        LOCAL_ADDR=str(child.local),
        REMOTE_ADDR=str(child.peer),
        SELECTOR_INDEX=member.name,
        SELECTOR2_INDEX=member.inbound,
        IPSEC_MODE=child.tunnel.mode,
        LOCAL_NET_PORT=str(traffic.source_port),
        REMOTE_NET_PORT=str(traffic.destination_port),
        UPPER_LAYER_PROTOCOL=str(traffic.protocol),
        **_network("LOCAL_NET", traffic.source),
        **_network("REMOTE_NET", traffic.destination),
    )


def _network(prefix: str, network: Network | str) -> dict[str, str]:
    if isinstance(network, str):
        return {prefix + "_ADDR": network, prefix + "_PREFIXLEN": "0"}
    return {prefix + "_ADDR": str(network.network_address), prefix + "_PREFIXLEN": str(network.prefixlen)}


def _run(host: Host, settings: IkeSettings, event: str, **environment: str) -> None:
    for name, path in settings.scripts:
        if name == event:
            host.perform(RunScript(path, event, tuple(environment.items())))
