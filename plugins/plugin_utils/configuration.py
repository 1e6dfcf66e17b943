# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's end of the plan as racoon2.conf: the language that the daemon and real racoon2 read."""

from __future__ import annotations

from collections.abc import Sequence

from ..module_utils.ike.config.build import LocalEnd, PeerEnd, site_configuration
from ..module_utils.ike.config.grammar import TANUKI
from ..module_utils.ike.config.render import render
from .inventory import Site
from .paths import Paths
from .plan import TunnelEnd

_HEADER = "# Written by tanuki.ipsec for {}; changes are overwritten.\n\n"


def configuration_text(site: Site, ends: Sequence[TunnelEnd], paths: Paths, dialect: str = TANUKI) -> str:
    """The whole racoon2.conf of one host. In dialect ``racoon2``, upstream's, each of its known crashes has a guard."""
    families = tuple(sorted({end.family for end in ends}))
    owned = [end.local.own_address for end in ends]
    local = LocalEnd(
        site.own_address,
        paths.psk_directory,
        families,
        site.unknown,
        tuple(dict.fromkeys(address for address in owned if address not in (site.own_address, None))),
        spmd_password_file=paths.spmd_password,
    )
    # Who comes from anywhere stands last: of several remotes that serve an address the first is taken.
    peers = [_peer_end(end) for end in sorted(ends, key=lambda end: end.peer.address is None)]
    return _HEADER.format(site.name) + render(site_configuration(local, peers, dialect))


def _peer_end(end: TunnelEnd) -> PeerEnd:
    return PeerEnd(
        name=end.name,
        address=end.peer.address,
        my_id=end.local.identity,
        peers_id=end.peer.identity,
        local_networks=end.local.networks,
        peer_networks=end.peer.networks,
        profile=end.profile.cryptography,
        tuning=end.local.tuning,
        host_name=end.peer.host_name,
        local_address=end.local.own_address,
    )
