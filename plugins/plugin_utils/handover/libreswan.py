# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's tunnels for Libreswan: ipsec.conf, and the keys in ipsec.secrets."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence

from ...module_utils.ike.config.build import Profile as Cryptography
from ..plan import TunnelEnd
from .vocabulary import LIBRESWAN, Untold, is_aead, pfs_groups

_SETUP = """\
config setup
    ikev1-policy=accept

"""
_CONNECTION = """\
conn {end.name}-{number}
    left={left}
    leftid={left_id}
    leftsubnet={local}
    right={right}
    rightid={right_id}
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
    auto={start}
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
            LIBRESWAN.identity(end.local),
            LIBRESWAN.identity(end.peer),
            base64.b64encode(keys[end.name]).decode("ascii"),
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
            left=end.local.own_address or "%defaultroute",
            left_id=LIBRESWAN.identity(end.local),
            right=end.peer.address or end.peer.host_name or "%any",
            right_id=LIBRESWAN.identity(end.peer),
            start=LIBRESWAN.start(end),
            version="insist" if chosen.version == 2 else "no",
            ike=",".join(_ike(chosen)),
            esp=",".join(_esp(chosen)),
            pfs="yes" if chosen.pfs else "no",
            timeout=chosen.dpd_delay * _DPD_TRIES,
        )


def _ike(chosen: Cryptography) -> Iterator[str]:
    """One proposal for AEADs, whose second word is the PRF, one for the others, whose second word is both."""
    LIBRESWAN.without_additional(chosen.additional)
    _check_prfs(chosen)
    groups = LIBRESWAN.exchanges(chosen.groups)
    digests = {True: LIBRESWAN.digests(chosen.ike_prf), False: LIBRESWAN.digests(chosen.ike_hash)}
    return _proposals(chosen.ike_encryption, digests, groups)


def _check_prfs(chosen: Cryptography) -> None:
    """Beside a cipher that isn't an AEAD pluto takes the integrity's hash for the PRF's."""
    others = [digest for digest in chosen.ike_hash if digest not in chosen.ike_prf]
    if chosen.version == 2 and others and not all(map(is_aead, chosen.ike_encryption)):
        raise Untold("Libreswan takes {} for the PRF too, which ike_prf doesn't have".format("/".join(others)))


def _esp(chosen: Cryptography) -> Iterator[str]:
    groups = LIBRESWAN.exchanges(pfs_groups(chosen))
    digests = {True: [], False: LIBRESWAN.digests(chosen.esp_integrity)}
    return _proposals(chosen.esp_encryption, digests, groups)


def _proposals(encryption: Sequence[str], digests: Mapping[bool, list[str]], groups: list[str]) -> Iterator[str]:
    """``digests`` are those that go with AEADs, and those that go with the others; there may be none, nor groups.

    After a hyphen pluto takes a group for a digest, where an AEAD has none: they stand behind a semicolon.
    """
    for aead, words in digests.items():
        ciphers = LIBRESWAN.ciphers(encryption, aead)
        if ciphers:
            named = "-".join("+".join(part) for part in (ciphers, words) if part)
            yield ";".join([named, "+".join(groups)] if groups else [named])
