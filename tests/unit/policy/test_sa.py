"""The values that kernels install."""

from __future__ import annotations

import ipaddress

import pytest

from ike.policy.sa import SecurityAssociation, TrafficSelector

NEAR, FAR = ipaddress.ip_network("10.1.0.0/24"), ipaddress.ip_network("10.2.0.0/24")


@pytest.mark.parametrize(("protocol", "ports"), [(6, (80, 0)), (17, (80, 0)), (1, (0, 80)), (58, (0, 80))])
def test_ports_change_sides_and_icmp_types_do_not(protocol, ports):
    there = TrafficSelector(NEAR, FAR, protocol, 0, 80)
    assert there.reversed() == TrafficSelector(FAR, NEAR, protocol, *ports)
    assert there.reversed().reversed() == there


def test_keys_never_show():
    association = SecurityAssociation(
        source=NEAR[1],
        destination=FAR[1],
        protocol=50,
        spi=256,
        mode="tunnel",
        encryption="3des_cbc",
        encryption_key=b"secret of ciphers",
        integrity="hmac_sha1",
        integrity_key=b"secret of hashes",
    )
    assert "secret" not in repr(association) + str(association)
