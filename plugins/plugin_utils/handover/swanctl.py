# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's tunnels for strongSwan's swanctl: the connections, and the keys in a file of their own."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence

from ...module_utils.ike.config.build import Profile as Cryptography
from ..plan import TunnelEnd
from .vocabulary import STRONGSWAN, pfs_groups

_ANY = "%any"
_CONNECTION = """\
    {end.name} {{
        version = {chosen.version}
        local_addrs = {local_address}
        remote_addrs = {peer_address}
        proposals = {proposals}
        {renewal} = {ike_renewal}s
        dpd_delay = {chosen.dpd_delay}s
        local {{
            auth = psk
            id = {local_id}
        }}
        remote {{
            auth = psk
            id = {peer_id}
        }}
        children {{
{children}
        }}
    }}
"""
_CHILD = """\
            {end.name}-{number} {{
                local_ts = {local}
                remote_ts = {peer}
                esp_proposals = {proposals}
                mode = tunnel
                rekey_time = {renewal}s
                life_time = {chosen.child_lifetime}s
                start_action = {start}
            }}"""
_ENTRY = """\
    ike-{end.name} {{
        id-1 = {local_id}
        id-2 = {peer_id}
        secret = 0s{key}
    }}
"""


def swanctl_connections(ends: Sequence[TunnelEnd]) -> str:
    """``connections { … }``. Raises Untold."""
    return "connections {{\n{}}}\n".format("\n".join(_connection(end) for end in ends))


def swanctl_secrets(ends: Sequence[TunnelEnd], keys: Mapping[str, bytes]) -> str:
    """``secrets { … }``, the keys in base64: any byte may be in them."""
    return "secrets {{\n{}}}\n".format(
        "\n".join(
            _ENTRY.format(end=end, key=base64.b64encode(keys[end.name]).decode("ascii"), **_identities(end))
            for end in ends
        )
    )


def _connection(end: TunnelEnd) -> str:
    chosen = end.profile.cryptography
    children = "\n".join(
        _CHILD.format(
            end=end,
            number=number,
            local=local,
            peer=peer,
            chosen=chosen,
            proposals=", ".join(_esp(chosen)),
            renewal=_renewal(chosen.child_lifetime),
            start=STRONGSWAN.start(end),
        )
        for number, (local, peer) in enumerate(end.networks, 1)
    )
    return _CONNECTION.format(
        end=end,
        chosen=chosen,
        local_address=end.local.own_address or _ANY,
        peer_address=end.peer.address or end.peer.host_name or _ANY,
        **_identities(end),
        proposals=", ".join(_ike(chosen)),
        renewal="rekey_time" if chosen.version == 2 else "reauth_time",  # version 1 has no other way to renew it
        ike_renewal=_renewal(chosen.ike_lifetime),
        children=children,
    )


def _identities(end: TunnelEnd) -> dict[str, str]:
    return {"local_id": STRONGSWAN.identity(end.local), "peer_id": STRONGSWAN.identity(end.peer)}


def _ike(chosen: Cryptography) -> Iterator[str]:
    STRONGSWAN.without_additional(chosen.additional)
    digests, groups = STRONGSWAN.digests(chosen.ike_hash), STRONGSWAN.exchanges(chosen.groups)
    prfs = ["prf" + word for word in STRONGSWAN.digests(chosen.ike_prf)]
    for aead, others in ((True, [*prfs, *groups]), (False, [*digests, *prfs, *groups])):
        ciphers = STRONGSWAN.ciphers(chosen.ike_encryption, aead)
        if ciphers:
            yield "-".join([*ciphers, *others])


def _esp(chosen: Cryptography) -> Iterator[str]:
    digests, groups = STRONGSWAN.digests(chosen.esp_integrity), STRONGSWAN.exchanges(pfs_groups(chosen))
    for aead, others in ((True, groups), (False, [*digests, *groups])):
        ciphers = STRONGSWAN.ciphers(chosen.esp_encryption, aead)
        if ciphers:
            yield "-".join([*ciphers, *others])


def _renewal(lifetime: int) -> int:
    """When to renew what lives so long: early enough for a few retransmissions."""
    return lifetime * 9 // 10
