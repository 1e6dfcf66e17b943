# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the kernel's floor, for property tests."""

from __future__ import annotations

import ipaddress

from hypothesis import strategies as st

from ike.crypto.algorithms import CIPHERS, INTEGRITIES
from ike.policy.sa import (
    AH,
    ESP,
    FWD,
    IN,
    OUT,
    TRANSPORT,
    TUNNEL,
    Encapsulation,
    Lifetime,
    Policy,
    SecurityAssociation,
    Template,
    TrafficSelector,
)

ports = st.integers(0, 0xFFFF)
words = st.integers(0, 0xFFFFFFFF)
modes = st.sampled_from([TUNNEL, TRANSPORT])


def networks(version):
    return st.ip_addresses(v=version).flatmap(
        lambda address: st.integers(0, address.max_prefixlen).map(
            lambda prefix: ipaddress.ip_network((address, prefix), strict=False)
        )
    )


@st.composite
def selectors(draw):
    version = draw(st.sampled_from([4, 6]))
    return TrafficSelector(
        draw(networks(version)), draw(networks(version)), draw(st.integers(0, 254)), draw(ports), draw(ports)
    )


@st.composite
def templates(draw):
    version = draw(st.sampled_from([4, 6]))
    mode = draw(modes)
    ends = [draw(st.ip_addresses(v=version)) for _end in range(2)] if mode == TUNNEL else [None, None]
    return Template(
        draw(st.sampled_from([ESP, AH])), mode, *ends, draw(words), draw(st.sampled_from(["require", "use"]))
    )


@st.composite
def policies(draw):
    chain = tuple(draw(st.lists(templates(), max_size=3)))
    action = "ipsec" if chain else draw(st.sampled_from(["bypass", "discard"]))
    return Policy(draw(selectors()), draw(st.sampled_from([IN, OUT, FWD])), action, chain, draw(words))


@st.composite
def algorithms(draw):
    """(encryption, its key, integrity, its key) that fit together."""
    cipher = draw(st.sampled_from([row for row in CIPHERS.values() if row.xfrm]))
    key = draw(st.binary(min_size=1, max_size=1)) * cipher.material(draw(st.sampled_from(cipher.key_bits)))
    if cipher.aead:
        return cipher.name, key, "", b""
    integrity = draw(st.sampled_from(list(INTEGRITIES.values())))
    return cipher.name, key, integrity.name, bytes(integrity.key)


@st.composite
def associations(draw):
    version = draw(st.sampled_from([4, 6]))
    encryption, encryption_key, integrity, integrity_key = draw(algorithms())
    selector = draw(st.one_of(st.none(), selectors()))
    if selector is not None and not (selector.source.prefixlen or selector.destination.prefixlen or selector.protocol):
        selector = None
    esn = draw(st.booleans())
    limits = st.integers(0, 2**63)
    return SecurityAssociation(
        source=draw(st.ip_addresses(v=version)),
        destination=draw(st.ip_addresses(v=version)),
        protocol=ESP,
        spi=draw(words),
        mode=draw(modes),
        encryption=encryption,
        encryption_key=encryption_key,
        integrity=integrity,
        integrity_key=integrity_key,
        reqid=draw(words),
        lifetime=Lifetime(*(draw(limits) for _limit in range(6))),
        selector=selector,
        replay_window=draw(st.integers(1 if esn else 0, 4096)),
        esn=esn,
        encapsulation=draw(st.one_of(st.none(), st.builds(Encapsulation, ports, ports))),
    )
