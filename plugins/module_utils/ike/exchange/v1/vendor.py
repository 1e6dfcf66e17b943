# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vendor ids: what a peer says that it can do (RFC 3706, RFC 3947)."""

from __future__ import annotations

from ...config.settings import IkeSettings
from ...wire.v1 import Message, VendorId

NAT_TRAVERSAL = bytes.fromhex("4a131c81070358455c5728f20e95452f")  # MD5("RFC 3947")
DEAD_PEER_DETECTION = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")  # RFC 3706 5.1, version 1.0

NAMES = {NAT_TRAVERSAL: "RFC 3947", DEAD_PEER_DETECTION: "RFC 3706"}


def ours(settings: IkeSettings) -> list[VendorId]:
    """What we announce, in racoon2's order."""
    announced = []
    if settings.nat_traversal:
        announced.append(VendorId(NAT_TRAVERSAL))
    if settings.dpd:
        announced.append(VendorId(DEAD_PEER_DETECTION))
    return announced


def known(message: Message) -> set[bytes]:
    """The vendor ids of a message that mean something to us."""
    return {payload.data for payload in message.all(VendorId)}.intersection(NAMES)
