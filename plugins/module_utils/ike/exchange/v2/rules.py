# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each message of IKEv2 must and may hold, and when (RFC 7296 appendix C). What fits no row goes nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable

from ...wire.numbers import name_of
from ...wire.v2 import KNOWN_PAYLOADS, Message
from ...wire.v2_numbers import Exchange, Notify, Payload

CONNECTING = "connecting"
ESTABLISHED = "established"
REKEYED = "rekeyed"  # a younger IKE SA has taken over; only its end is left to tell
CLOSING = "closing"  # we told the peer that it ends
CLOSED = "closed"

_REPEATED = frozenset({Payload.NOTIFY, Payload.DELETE, Payload.VENDOR, Payload.CERT, Payload.CERTREQ})


@dataclass(frozen=True)
class Rule:
    """The payload types of one message. Each required one stands exactly once.

    ``excuses`` are the notifications that stand in their place; any error will do where ``refusable``.
    ``failure`` is what a request is answered with when something of ours fails, and ``objection`` what an exchange
    itself has against a message in clear, which anybody can write.
    """

    name: str
    exchange: Exchange
    required: frozenset[int] = frozenset()
    optional: frozenset[int] = frozenset()
    refusable: bool = False
    excuses: frozenset[int] = frozenset()
    failure: Notify = Notify.TEMPORARY_FAILURE
    objection: Callable[[Message], str] = field(default=lambda message: "", compare=False)

    def complaint(self, message: Message) -> str:
        """Why a message doesn't fit; "" where it does."""
        known = [kind for kind in message.types() if kind in KNOWN_PAYLOADS]
        missing = set() if self._excused(message) else self.required.difference(known)
        unexpected = [kind for kind in known if kind not in self.required | self.optional]
        doubled = [kind for kind in known if known.count(kind) > 1 and kind not in _REPEATED]
        complaint = "; ".join(
            "{} {}".format(word, ", ".join(sorted({name_of(Payload, kind) for kind in kinds})))
            for word, kinds in (("missing", missing), ("unexpected", unexpected), ("doubled", doubled))
            if kinds
        )
        return complaint or self.objection(message)

    def _excused(self, message: Message) -> bool:
        if not self.refusable and not self.excuses:
            return False
        if self.refusable and message.refusal() is not None:
            return True
        return any(one.kind in self.excuses for one in message.notifications)


def _types(*kinds: int) -> frozenset[int]:
    return frozenset((*kinds, Payload.VENDOR)) if kinds else frozenset()


_ANY = _types(Payload.NOTIFY)
_INIT = frozenset({Payload.SA, Payload.KE, Payload.NONCE})
_CHILD = frozenset({Payload.SA, Payload.TSI, Payload.TSR})

# HDR, SAi1, KEi, Ni  /  HDR, SAr1, KEr, Nr, or a request to begin otherwise; an error in clear proves nothing
INIT_REQUEST = Rule("IKE_SA_INIT request", Exchange.IKE_SA_INIT, _INIT, _ANY)
INIT_ANSWER = Rule(
    "IKE_SA_INIT response",
    Exchange.IKE_SA_INIT,
    _INIT,
    _types(Payload.NOTIFY, Payload.CERTREQ),
    excuses=frozenset({Notify.COOKIE, Notify.INVALID_KE_PAYLOAD}),
)
# HDR, SK {KEi(n)}  /  HDR, SK {KEr(n)}
INTERMEDIATE_REQUEST = Rule(
    "IKE_INTERMEDIATE request",
    Exchange.IKE_INTERMEDIATE,
    frozenset({Payload.KE}),
    _ANY,
    failure=Notify.INVALID_SYNTAX,
)
INTERMEDIATE_ANSWER = Rule(
    "IKE_INTERMEDIATE response", Exchange.IKE_INTERMEDIATE, frozenset({Payload.KE}), _ANY, refusable=True
)
# HDR, SK {IDi, [IDr,] AUTH, SAi2, TSi, TSr}  /  HDR, SK {IDr, AUTH, SAr2, TSi, TSr}
AUTH_REQUEST = Rule(
    "IKE_AUTH request",
    Exchange.IKE_AUTH,
    frozenset({Payload.IDI, Payload.AUTH}),
    _types(Payload.IDR, *_CHILD, Payload.CERT, Payload.CERTREQ, Payload.NOTIFY, Payload.CP),
    failure=Notify.AUTHENTICATION_FAILED,
)
AUTH_ANSWER = Rule(
    "IKE_AUTH response",
    Exchange.IKE_AUTH,
    frozenset({Payload.IDR, Payload.AUTH}),
    _types(*_CHILD, Payload.CERT, Payload.NOTIFY, Payload.CP),
    refusable=True,
)
# HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr}  /  HDR, SK {SA, Nr, [KEr,] TSi, TSr}
CHILD_REQUEST = Rule(
    "CREATE_CHILD_SA request",
    Exchange.CREATE_CHILD_SA,
    _CHILD | {Payload.NONCE},
    _types(Payload.KE, Payload.NOTIFY, Payload.CP),
)
CHILD_ANSWER = Rule(
    "CREATE_CHILD_SA response",
    Exchange.CREATE_CHILD_SA,
    CHILD_REQUEST.required,
    CHILD_REQUEST.optional,
    refusable=True,
)
# HDR, SK {SA, Ni, KEi}  /  HDR, SK {SA, Nr, KEr}
REKEY_REQUEST = Rule("CREATE_CHILD_SA request for an IKE SA", Exchange.CREATE_CHILD_SA, _INIT, _ANY)
REKEY_ANSWER = Rule("CREATE_CHILD_SA response for an IKE SA", Exchange.CREATE_CHILD_SA, _INIT, _ANY, refusable=True)
# HDR, SK {KEi(n), N(ADDITIONAL_KEY_EXCHANGE)}  /  HDR, SK {KEr(n) [, N(ADDITIONAL_KEY_EXCHANGE)]}
FOLLOWUP_REQUEST = Rule("IKE_FOLLOWUP_KE request", Exchange.IKE_FOLLOWUP_KE, frozenset({Payload.KE}), _ANY)
FOLLOWUP_ANSWER = Rule(
    "IKE_FOLLOWUP_KE response", Exchange.IKE_FOLLOWUP_KE, frozenset({Payload.KE}), _ANY, refusable=True
)
# HDR, SK {[N,] [D,] [CP,] …}
INFORMATIONAL = Rule(
    "INFORMATIONAL", Exchange.INFORMATIONAL, optional=_types(Payload.NOTIFY, Payload.DELETE, Payload.CP)
)

# Which exchanges a peer may begin when. IKE_SA_INIT makes the session, and is not begun again.
_LIVING = frozenset({Exchange.CREATE_CHILD_SA, Exchange.IKE_FOLLOWUP_KE, Exchange.INFORMATIONAL})
ALLOWED: dict[str, frozenset[int]] = {
    CONNECTING: frozenset({Exchange.IKE_INTERMEDIATE, Exchange.IKE_AUTH}),
    ESTABLISHED: _LIVING,
    REKEYED: _LIVING,
    CLOSING: _LIVING,
    CLOSED: frozenset(),
}

_RULES = {
    Exchange.IKE_INTERMEDIATE: INTERMEDIATE_REQUEST,
    Exchange.IKE_AUTH: AUTH_REQUEST,
    Exchange.IKE_FOLLOWUP_KE: FOLLOWUP_REQUEST,
    Exchange.INFORMATIONAL: INFORMATIONAL,
}


def request_rule(message: Message) -> Rule:
    """The row of a request whose exchange its session's state allows."""
    rule = _RULES.get(message.header.exchange)
    if rule is not None:
        return rule
    return CHILD_REQUEST if message.has(Payload.TSI) or message.has(Payload.TSR) else REKEY_REQUEST
