# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What begins an ISAKMP SA at the responder: main mode's first message (RFC 2409 5)."""

from __future__ import annotations

from ...config.settings import IKEV1, Remote
from ...wire.header import VERSION_1, Header
from ...wire.v1_numbers import Exchange
from ..path import Path


class Entrance:
    """Lets in whoever begins; ``protocol`` is what a remote has to accept."""

    protocol = IKEV1

    def begins(self, header: Header) -> bool:
        return header.version == VERSION_1 and header.exchange == Exchange.MAIN_MODE and not header.message_id

    def admits(self, header: Header, datagram: bytes, path: Path, remote: Remote) -> bool:
        """IKEv1 has nothing to ask of a peer before it keeps state."""
        return True
