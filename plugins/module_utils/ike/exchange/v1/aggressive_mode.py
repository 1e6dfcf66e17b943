# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aggressive mode with pre-shared keys, as initiator only (RFC 2409 5.4).

Initiator                          Responder
HDR, SA, KE, Ni, IDii       -->
                            <--    HDR, SA, KE, Nr, IDir, HASH_R [, NAT-D …]
HDR*, HASH_I [, NAT-D …]    -->

For old peers that know nothing else. Nothing hides the identities, and HASH_R lets whoever receives it guess the
key offline: we never answer this mode, and we say so when we begin it.
"""

from __future__ import annotations

import hmac
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...crypto.algorithms import GROUPS
from ...crypto.v1_keys import Phase1Keys
from ...wire.v1 import Hash, KeyExchange, Message, Nonce
from ...wire.v1_numbers import Payload
from ..effects import Final, Request, SharedKeys
from . import nat, phase1, rules, vendor

if TYPE_CHECKING:
    from .session import Session

WARNING = "aggressive mode lets anybody who sees it guess the pre-shared key offline: use main mode where the peer can"


def initiator(session: Session) -> Generator[Any, Any, None]:
    """Open an ISAKMP SA. The key exchange comes with the offer, so that only the first of our groups is offered."""
    settings = replace(session.settings, groups=session.settings.groups[:1])
    session.host.warning("{}: {}".format(session, WARNING))
    psks = yield SharedKeys(settings)
    offer, identity = phase1.offer(settings), phase1.identification(session)
    pair, nonce = session.key_pair(GROUPS[settings.groups[0]]), Nonce(session.random(settings.nonce_size))
    message = yield Request(
        [offer, KeyExchange(pair.public), nonce, identity, *vendor.ours(settings)], expect=rules.AGGRESSIVE
    )
    suite = phase1.accepted(session, message)
    session.vendors |= vendor.known(message)

    candidates = phase1.derive(session, suite, psks, pair, nonce.data, message)
    keys = _proven(candidates, message, offer.encode())
    phase1.authenticate(session, message, keys.hash_r(offer.encode(), message.body(Payload.ID)))
    session.protect(suite, keys)
    nat.detect(session, suite.hash, message)
    session.float_ports()

    proof = Hash(keys.hash_i(offer.encode(), identity.encode()))
    payloads = [proof, *nat.discovery(session, suite.hash), *phase1.initial_contact(session)]
    yield Final(payloads, encrypted=True)
    session.established(set())


def _proven(candidates: Sequence[Phase1Keys], message: Message, offer: bytes) -> Phase1Keys:
    """The keys that the responder's hash shows; the first where it shows none, which then doesn't authenticate."""
    proof, identity = message.body(Payload.HASH), message.body(Payload.ID)
    matching = (keys for keys in candidates if hmac.compare_digest(keys.hash_r(offer, identity), proof))
    return next(matching, candidates[0])
