# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities and their proof in IKE_AUTH (RFC 7296 2.15): nothing that a peer says counts before."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...config.settings import IkeSettings
from ...policy.identity import IdentityError, describe_identity, encode_address, encode_identity
from ...wire.v2 import Authentication, Identification, IdInitiator, IdResponder, Message
from ...wire.v2_numbers import AuthMethod, Notify
from ..errors import LocalError, PeerError

if TYPE_CHECKING:
    from .session import Session

WRONG_KEY = "authentication failed: probably the pre-shared keys differ"


def our_identity(session: Session) -> Identification:
    """The first ``my_id``, else the local address."""
    try:
        if session.settings.my_ids:
            kind, data = encode_identity(session.settings.my_ids[0])
        else:
            kind, data = encode_address(session.path.local)
    except IdentityError as error:
        raise LocalError("my_id: {}".format(error)) from error
    session.local_id = describe_identity(kind, data)
    return (IdInitiator if session.initiator else IdResponder)(kind, data)


def wanted_identity(session: Session) -> list[Identification]:
    """IDr in a request: whom we want to talk to, with ``send_peers_id on``."""
    settings = session.settings
    if not settings.send_peers_id or not settings.peers_ids:
        return []
    return [IdResponder(*_encoded(settings)[0])]


def knows(settings: IkeSettings, identity: Identification) -> bool:
    """Whether this is one of the remote's ``peers_id``."""
    return (identity.kind, identity.data) in _encoded(settings)


def check_identity(session: Session, identity: Identification) -> None:
    """Refuse a peer that isn't one of ``peers_id``, before any of our secrets is used."""
    session.peer_id = describe_identity(identity.kind, identity.data)
    settings = session.settings
    if not settings.verify_id or not settings.peers_ids or knows(settings, identity):
        return
    raise PeerError(
        "the peer calls itself {}; peers_id is {}".format(
            session.peer_id, ", ".join(describe_identity(*one) for one in _encoded(settings))
        ),
        Notify.AUTHENTICATION_FAILED,
    )


def check_proof(
    message: Message, expected: Iterable[bytes], data: bytes | None = None, complaint: str = WRONG_KEY
) -> int:
    """The peer's proof against the values that only the same keys give; which one of them it is.

    The proof is AUTH's content, or ``data`` in its place. ``complaint`` says what is wrong where it is none of them.
    """
    proof = message.get(Authentication)
    if proof.method != AuthMethod.SHARED_KEY:
        raise PeerError(
            "the peer authenticates by method {}, we by pre-shared key".format(proof.method),
            Notify.AUTHENTICATION_FAILED,
        )
    for place, value in enumerate(expected):
        if hmac.compare_digest(proof.data if data is None else data, value):
            return place
    raise PeerError(complaint, Notify.AUTHENTICATION_FAILED)


def _encoded(settings: IkeSettings) -> list[tuple[int, bytes]]:
    try:
        return [encode_identity(one) for one in settings.peers_ids]
    except IdentityError as error:
        raise LocalError("peers_id: {}".format(error)) from error
