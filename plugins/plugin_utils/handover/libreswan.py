# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's tunnels for Libreswan: ipsec.conf, and the keys in ipsec.secrets."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence

from ...module_utils.ike.config.build import Profile as Cryptography
from ..plan import TunnelEnd
from .vocabulary import LIBRESWAN, pfs_groups

_SETUP = """\
config setup
    ikev1-policy=accept

"""
_CONNECTION = """\
conn {end.name}-{number}
    left={end.local.own_address}
    leftid={end.local.address}
    leftsubnet={local}
    right={end.peer.address}
    rightid={end.peer.address}
    rightsubnet={peer}
    authby=secret
    ikev2={version}
    ike={ike}
    ikelifetime={chosen.ike_lifetime}s
    esp={esp}
    pfs={pfs}
    salifetime={chosen.child_lifetime}s
    dpddelay={chosen.dpd_delay}
    dpdtimeout={timeout}
    type=tunnel
    auto=ondemand
"""
_DPD_TRIES = 5


def libreswan_configuration(ends: Sequence[TunnelEnd]) -> str:
    """One ``conn`` for each pair of networks. Raises Untold."""
    setup = _SETUP if any(end.profile.cryptography.version == 1 for end in ends) else ""
    return setup + "\n".join(connection for end in ends for connection in _connections(end))


def libreswan_secrets(ends: Sequence[TunnelEnd], keys: Mapping[str, bytes]) -> str:
    """One line for each peer, the key in base64: any byte may be in it."""
    return "".join(
        "{} {} : PSK 0s{}\n".format(
            end.local.address, end.peer.address, base64.b64encode(keys[end.name]).decode("ascii")
        )
        for end in ends
    )


def _connections(end: TunnelEnd) -> Iterator[str]:
    chosen = end.profile.cryptography
    for number, (local, peer) in enumerate(end.networks, 1):
        yield _CONNECTION.format(
            end=end,
            number=number,
            local=local,
            peer=peer,
            chosen=chosen,
            version="insist" if chosen.version == 2 else "no",
            ike=",".join(_ike(chosen)),
            esp=",".join(_esp(chosen)),
            pfs="yes" if chosen.pfs else "no",
            timeout=chosen.dpd_delay * _DPD_TRIES,
        )


def _ike(chosen: Cryptography) -> Iterator[str]:
    """One proposal for AEADs, whose second word is the PRF, one for the others, whose second word is both."""
    groups = LIBRESWAN.exchanges(chosen.groups)
    digests = {True: LIBRESWAN.digests(chosen.ike_prf), False: LIBRESWAN.digests(chosen.ike_hash)}
    for aead, words in digests.items():
        ciphers = LIBRESWAN.ciphers(chosen.ike_encryption, aead)
        if ciphers:
            yield "{}-{}-{}".format("+".join(ciphers), "+".join(words), "+".join(groups))


def _esp(chosen: Cryptography) -> Iterator[str]:
    groups = LIBRESWAN.exchanges(pfs_groups(chosen))
    digests = {True: [], False: LIBRESWAN.digests(chosen.esp_integrity)}
    for aead, words in digests.items():
        ciphers = LIBRESWAN.ciphers(chosen.esp_encryption, aead)
        if ciphers:
            yield "-".join("+".join(part) for part in (ciphers, words, groups) if part)
