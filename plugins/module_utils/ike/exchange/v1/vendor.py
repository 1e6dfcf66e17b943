# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vendor ids: what a peer says that it can do (RFC 3706, RFC 3947 and its drafts, IKE fragmentation)."""

from __future__ import annotations

from ...config.settings import IkeSettings
from ...wire.v1 import Message, VendorId

NAT_TRAVERSAL = bytes.fromhex("4a131c81070358455c5728f20e95452f")  # MD5("RFC 3947")
NAT_TRAVERSAL_03 = bytes.fromhex("7d9419a65310ca6f2c179d9215529d56")  # MD5("draft-ietf-ipsec-nat-t-ike-03")
NAT_TRAVERSAL_02 = bytes.fromhex("90cb80913ebb696e086381b5ec427b1f")  # MD5("draft-ietf-ipsec-nat-t-ike-02\n")
DEAD_PEER_DETECTION = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")  # RFC 3706 5.1, version 1.0
FRAGMENTATION = bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3")  # MD5("FRAGMENTATION")

_KNOWN = (NAT_TRAVERSAL, DEAD_PEER_DETECTION, NAT_TRAVERSAL_03, NAT_TRAVERSAL_02, FRAGMENTATION)
_NAT_TRAVERSALS = (NAT_TRAVERSAL, NAT_TRAVERSAL_03, NAT_TRAVERSAL_02)


def ours(settings: IkeSettings) -> list[VendorId]:
    """What we announce as initiator; racoon2's two come first."""
    return [VendorId(data) for data in _KNOWN if _wanted(settings, data)]


def answer(settings: IkeSettings, theirs: set[bytes]) -> list[VendorId]:
    """What we announce as responder: of what the peer can do too, and one way of NAT traversal only."""
    best = next((data for data in _NAT_TRAVERSALS if data in theirs), None)
    others = theirs.difference(_NAT_TRAVERSALS)
    return [vendor for vendor in ours(settings) if vendor.data == best or vendor.data in others]


def _wanted(settings: IkeSettings, data: bytes) -> bool:
    if data in _NAT_TRAVERSALS:
        return settings.nat_traversal
    return settings.dpd or data != DEAD_PEER_DETECTION


def known(message: Message) -> set[bytes]:
    """The vendor ids of a message that mean something to us; capabilities may follow the name of fragmentation."""
    announced = [payload.data for payload in message.all(VendorId)]
    return {data for data in _KNOWN if data in announced or (data == FRAGMENTATION and _begins(announced, data))}


def _begins(announced: list[bytes], name: bytes) -> bool:
    return any(data.startswith(name) for data in announced)
