# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs and policies for two gateways, and the keys of a recorded racoon2 handshake."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import replace
from pathlib import Path

from ike.crypto.algorithms import CIPHERS, INTEGRITIES
from ike.policy.sa import (
    ESP,
    FWD,
    IN,
    OUT,
    TRANSPORT,
    TUNNEL,
    Policy,
    SecurityAssociation,
    Template,
    TrafficSelector,
)

VECTOR = Path(__file__).parents[1] / "vectors" / "v1-3des-sha1-modp2048.json"


def recorded_sas() -> list[SecurityAssociation]:
    """Both directions of the how-to's tunnel, with racoon2's SPIs and keys."""
    return [
        SecurityAssociation(
            source=ipaddress.ip_address(row["src"]),
            destination=ipaddress.ip_address(row["dst"]),
            protocol=ESP,
            spi=int(row["spi"], 16),
            mode=TUNNEL,
            encryption="3des_cbc",
            encryption_key=bytes.fromhex(row["enc_key"]),
            integrity="hmac_sha1",
            integrity_key=bytes.fromhex(row["auth_key"]),
            replay_window=4,
        )
        for row in json.loads(VECTOR.read_text())["esp_sas"]
    ]


def tunnel_sa(source, destination, spi, encryption="3des_cbc", bits=192, integrity="hmac_sha1", **changes):
    """An SA with random keys of the right sizes."""
    association = SecurityAssociation(
        source=ipaddress.ip_address(source),
        destination=ipaddress.ip_address(destination),
        protocol=ESP,
        spi=spi,
        mode=TUNNEL,
        encryption=encryption,
        encryption_key=os.urandom(CIPHERS[encryption].material(bits)),
        integrity=integrity,
        integrity_key=os.urandom(INTEGRITIES[integrity].key) if integrity else b"",
    )
    return replace(association, **changes)


def policies(site, **template) -> list[Policy]:
    """out, in and fwd for a site's LAN in a tunnel between its address and its peer's, or IPv6 (``six=True``)."""
    six = template.pop("six", False)
    lan, far = (site.lan6 + "/64", site.far6 + "/64") if six else (site.lan + "/24", site.far + "/24")
    outbound = TrafficSelector(
        ipaddress.ip_interface(lan).network,
        ipaddress.ip_interface(far).network,
    )
    out_template = Template(
        ESP, TUNNEL, ipaddress.ip_address(site.address), ipaddress.ip_address(site.peer), **template
    )
    in_template = replace(out_template, source=out_template.destination, destination=out_template.source)
    return [
        Policy(outbound, OUT, "ipsec", (out_template,), priority=1000),
        Policy(outbound.reversed(), IN, "ipsec", (in_template,), priority=1000),
        Policy(outbound.reversed(), FWD, "ipsec", (in_template,), priority=1000),
    ]


def transport_policies(site) -> list[Policy]:
    """out and in between the two gateways themselves."""
    outbound = TrafficSelector(ipaddress.ip_network(site.address), ipaddress.ip_network(site.peer), protocol=1)
    template = Template(ESP, TRANSPORT)
    return [
        Policy(outbound, OUT, "ipsec", (template,), priority=1000),
        Policy(outbound.reversed(), IN, "ipsec", (template,), priority=1000),
    ]
