# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE_FOLLOWUP_KE: the additional key exchanges of a CREATE_CHILD_SA (RFC 9370 2.2.4).

Initiator                                  Responder
                                      <--  HDR, SK {SA, Nr, KEr, …, N(ADDITIONAL_KEY_EXCHANGE)(link)}
HDR, SK {KEi(n),
  N(ADDITIONAL_KEY_EXCHANGE)(link)}   -->
                                      <--  HDR, SK {KEr(n) [, N(ADDITIONAL_KEY_EXCHANGE)(link)]}

The new SA is there once the last of them is over. The link ties a request to what the responder keeps for it.
"""

from __future__ import annotations

import hmac
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ...crypto.algorithms import Group
from ...wire.v2 import KeyExchange, Message, Notification
from ...wire.v2_numbers import Notify
from ..effects import Final, Reply, Request
from ..errors import PeerError
from . import rules
from .child_sa import check_refusal
from .key_exchange import public, respond, shared_secret

if TYPE_CHECKING:
    from .session import Session

Steps = Generator[Any, Any, None]

_LINK = 8  # bytes


def initiator(session: Session, additional: tuple[Group, ...], message: Message) -> Generator[Any, Any, bytes]:
    """Make every additional key exchange that an answer has settled: SK(1) | … | SK(n)."""
    secrets = b""
    for group in additional:
        link = message.notified(Notify.ADDITIONAL_KEY_EXCHANGE)
        if link is None:
            raise PeerError("the peer chose {} in addition, and doesn't go on to it".format(group.name))
        pair = session.key_pair(group)
        message = yield Request(
            [public(pair), Notification(Notify.ADDITIONAL_KEY_EXCHANGE, link.data)], expect=rules.FOLLOWUP_ANSWER
        )
        check_refusal(message, "the peer refused the additional key exchange: {}")
        secrets += shared_secret(pair, group, message.get(KeyExchange))
    return secrets


def responder(session: Session, additional: tuple[Group, ...], answer: list) -> Generator[Any, Any, tuple[list, bytes]]:
    """Send an answer, and make the exchanges that follow, all but the last message of ours.

    That one's payloads (``answer`` itself, where nothing follows), and SK(1) | … | SK(n).
    """
    secrets = b""
    for group in additional:
        link = Notification(Notify.ADDITIONAL_KEY_EXCHANGE, session.random(_LINK))
        message = yield Reply([*answer, link], expect=rules.FOLLOWUP_REQUEST)
        _check_link(session, message, link)
        ours, shared = respond(session, group, message.get(KeyExchange))
        answer = [ours]
        secrets += shared
    return answer, secrets


def unasked(session: Session, message: Message) -> Steps:
    """A request that follows nothing: what it belongs to is forgotten, or never was."""
    session.drop("a key exchange that follows nothing")
    yield Final([Notification(Notify.STATE_NOT_FOUND)])


def _check_link(session: Session, message: Message, link: Notification) -> None:
    theirs = message.notified(Notify.ADDITIONAL_KEY_EXCHANGE)
    if theirs is None or not hmac.compare_digest(theirs.data, link.data):
        raise PeerError("a key exchange that follows something else", Notify.STATE_NOT_FOUND)
    if session.state != rules.ESTABLISHED:
        raise PeerError("a key exchange that crosses with the end of this IKE SA", Notify.TEMPORARY_FAILURE)
