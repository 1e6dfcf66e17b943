# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each message of IKEv1 must and may hold (RFC 2409 5.4, 5.5, 5.7). What fits no row reaches no exchange."""

from __future__ import annotations

from dataclasses import dataclass

from ...wire.numbers import name_of
from ...wire.v1_numbers import Payload

_PRIVATE = 128  # payload types from here on are private use: a peer's extensions, which we step over


@dataclass(frozen=True)
class Rule:
    """The payload types of one message. Each required one stands exactly once, unless ``repeated`` names it."""

    name: str
    encrypted: bool
    required: frozenset[int]
    optional: frozenset[int] = frozenset()
    repeated: frozenset[int] = frozenset({Payload.VID, Payload.NAT_D, Payload.NAT_OA, Payload.NOTIFY})
    first: int | None = None

    def complaint(self, types: list[int]) -> str:
        """Why a message with these payload types doesn't fit; "" where it does."""
        known = [kind for kind in types if kind < _PRIVATE]
        missing = self.required.difference(known)
        unexpected = [kind for kind in known if kind not in self.required | self.optional]
        doubled = [kind for kind in known if known.count(kind) > 1 and kind not in self.repeated]
        parts = [
            "{} {}".format(word, ", ".join(sorted({name_of(Payload, kind) for kind in kinds})))
            for word, kinds in (("missing", missing), ("unexpected", unexpected), ("doubled", doubled))
            if kinds
        ]
        if not parts and self.first is not None and types[0] != self.first:
            parts.append("{} is not the first payload".format(name_of(Payload, self.first)))
        return "; ".join(parts)


def _types(*kinds: int) -> frozenset[int]:
    return frozenset(kinds)


# HDR, SA
SA = Rule("phase 1 SA", False, _types(Payload.SA), _types(Payload.VID), first=Payload.SA)
# HDR, KE, N
KEY_EXCHANGE = Rule(
    "phase 1 key exchange",
    False,
    _types(Payload.KE, Payload.NONCE),
    _types(Payload.VID, Payload.NAT_D, Payload.CR),
    repeated=_types(Payload.VID, Payload.NAT_D, Payload.CR),
)
# HDR, SA, KE, N, ID, HASH
AGGRESSIVE = Rule(
    "aggressive mode",
    False,
    _types(Payload.SA, Payload.KE, Payload.NONCE, Payload.ID, Payload.HASH),
    _types(Payload.VID, Payload.NAT_D, Payload.CR, Payload.NOTIFY),
    repeated=_types(Payload.VID, Payload.NAT_D, Payload.CR, Payload.NOTIFY),
    first=Payload.SA,
)
# HDR*, ID, HASH
IDENTITY = Rule(
    "phase 1 identity",
    True,
    _types(Payload.ID, Payload.HASH),
    _types(Payload.VID, Payload.NOTIFY),
)
# HDR*, HASH, SA, N [, KE] [, IDci, IDcr]
QUICK = Rule(
    "quick mode",
    True,
    _types(Payload.HASH, Payload.SA, Payload.NONCE),
    _types(Payload.KE, Payload.ID, Payload.NAT_OA, Payload.NOTIFY, Payload.VID),
    repeated=_types(Payload.ID, Payload.NAT_OA, Payload.NOTIFY, Payload.VID),
    first=Payload.HASH,
)
# HDR*, HASH(3)
QUICK_END = Rule("quick mode's end", True, _types(Payload.HASH), _types(Payload.NOTIFY), first=Payload.HASH)
# HDR*, HASH(4), N: the peer set the commit bit (RFC 2408 3.1)
CONNECTED = Rule("quick mode's commit", True, _types(Payload.HASH, Payload.NOTIFY), first=Payload.HASH)
# HDR*, HASH(1), N or D
INFORMATIONAL = Rule(
    "informational",
    True,
    _types(Payload.HASH),
    _types(Payload.NOTIFY, Payload.DELETE),
    repeated=_types(Payload.NOTIFY, Payload.DELETE),
    first=Payload.HASH,
)
