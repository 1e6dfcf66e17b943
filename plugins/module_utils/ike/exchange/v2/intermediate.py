# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE_INTERMEDIATE: additional key exchanges, before either end proves who it is (RFC 9242; RFC 9370 2.2.2).

Initiator                                  Responder
HDR, SK {KEi(n)}                      -->
                                      <--  HDR, SK {KEr(n)}

Once for each additional key exchange that IKE_SA_INIT has settled, in their order. Each time all keys are made anew for
what follows. AUTH covers these messages.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ...crypto.v2_keys import IkeKeys
from ...wire.v2 import KeyExchange, Message, Notification
from ...wire.v2_numbers import Notify
from ..effects import Await, Final, Request
from . import rules
from .child_sa import check_refusal
from .key_exchange import ike_keys, public, respond, shared_secret

if TYPE_CHECKING:
    from .session import Session


class Covered:
    """What AUTH covers of these exchanges: IntAuth_iN | IntAuth_rN | IKE_AUTH_MID (RFC 9242 3.3.1)."""

    def __init__(self) -> None:
        self._initiators = b""
        self._responders = b""
        self._count = 0

    def add(self, keys: IkeKeys, request: bytes, answer: bytes) -> None:
        """One exchange; ``keys`` are those that protected it."""
        self._initiators = keys.intermediate_i(self._initiators + request)
        self._responders = keys.intermediate_r(self._responders + answer)
        self._count += 1

    def octets(self) -> bytes:
        """Nothing where there was no such exchange. IKE_AUTH's message id is the next one."""
        if not self._count:
            return b""
        return self._initiators + self._responders + (self._count + 1).to_bytes(4, "big")


def announcement(wanted: bool) -> list[Notification]:
    """That we know this exchange, where it's wanted."""
    return [Notification(Notify.INTERMEDIATE_EXCHANGE_SUPPORTED)] if wanted else []


def initiator(session: Session, nonces: bytes) -> Generator[Any, Any, Covered]:
    """Make every additional key exchange. ``nonces`` is Ni | Nr."""
    covered = Covered()
    for group in session.suite.additional:
        pair = session.key_pair(group)
        message = yield Request([public(pair)], expect=rules.INTERMEDIATE_ANSWER)
        check_refusal(message, "the peer refused the additional key exchange: {}")
        shared = shared_secret(pair, group, message.get(KeyExchange))
        covered.add(session.keys, session.intermediate_sent, message.covered())
        _go_on(session, nonces, shared)
    return covered


def responder(session: Session, nonces: bytes, message: Message) -> Generator[Any, Any, tuple[Covered, Message]]:
    """Answer them all, beginning with ``message``; and IKE_AUTH's request, which follows."""
    covered = Covered()
    additional = session.suite.additional
    for number, group in enumerate(additional, 1):
        ours, shared = respond(session, group, message.get(KeyExchange))
        yield Final([ours])
        covered.add(session.keys, message.covered(), session.intermediate_sent)
        _go_on(session, nonces, shared)
        message = yield Await(first_rule(len(additional) - number))
    return covered, message


def first_rule(exchanges: int) -> rules.Rule:
    """What the initiator sends next, while so many exchanges are left to make."""
    return rules.INTERMEDIATE_REQUEST if exchanges else rules.AUTH_REQUEST


def _go_on(session: Session, nonces: bytes, shared: bytes) -> None:
    """SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr), and all keys from it (RFC 9370 2.2.2)."""
    seed = session.keys.successor_seed(nonces, shared)
    spis = session.spi_i + session.spi_r
    session.protect(session.suite, ike_keys(session.suite, seed, nonces, spis, session.initiator))
