# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that both versions of IKE share, and names for people. IANA: "ipsec-registry", "isakmp-registry"."""

from __future__ import annotations

from enum import IntEnum


class IdType(IntEnum):
    """Identification types, RFC 2407 4.6.2.1 and RFC 7296 3.5 (one numbering)."""

    IPV4_ADDR = 1
    FQDN = 2
    USER_FQDN = 3
    IPV4_ADDR_SUBNET = 4
    IPV6_ADDR = 5
    IPV6_ADDR_SUBNET = 6
    IPV4_ADDR_RANGE = 7
    IPV6_ADDR_RANGE = 8
    DER_ASN1_DN = 9
    DER_ASN1_GN = 10
    KEY_ID = 11


class Protocol(IntEnum):
    """Security protocol identifiers, RFC 2407 4.4.1 and RFC 7296 3.3.1 (AH and ESP are swapped between them)."""

    ISAKMP = 1
    V1_AH = 2
    V1_ESP = 3
    V1_IPCOMP = 4


def name_of(numbers: type[IntEnum], value: int) -> str:
    """The name of a number for people, in the RFCs' spelling: ``NO-PROPOSAL-CHOSEN``, or ``14`` when it has none."""
    try:
        return numbers(value).name.replace("_", "-")
    except ValueError:
        return str(value)
