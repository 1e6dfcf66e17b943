# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key exchange in IKE's messages: which group is used, what either end sends, and the keys that follow (RFC 7296 1.2).

A Diffie-Hellman exchange looks alike from both ends. Of a KEM, the initiator sends a public key, and the responder a
secret that it encapsulates with it (RFC 9370 2.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...crypto.algorithms import Group
from ...crypto.groups import KeyExchangeError, KeyPair, encapsulate
from ...crypto.v2_keys import IkeKeys
from ...policy.v2_proposals import IkeSuite, Offer
from ...wire.v2 import KeyExchange, Notification
from ...wire.v2_numbers import Notify, TransformType
from ..errors import PeerError

if TYPE_CHECKING:
    from .session import Session


def wanted_group(offers: list[Offer], used: Group, notification: Notification) -> Group:
    """The group of an INVALID_KE_PAYLOAD, if we offered it and haven't just used it."""
    number = int.from_bytes(notification.data[:2], "big")
    offered = [group for offer in offers for group in offer[TransformType.KE] if group.number == number]
    if not offered or used.number == number:
        raise PeerError("the peer wants group {}, which we {}".format(number, "used" if offered else "don't offer"))
    return offered[0]


def check_group(group: Group, theirs: KeyExchange) -> None:
    """Ask for the group that was chosen, where the peer guessed another (RFC 7296 1.2, 1.3)."""
    if theirs.group != group.number:
        raise PeerError(
            "the peer guessed group {}, {} was chosen".format(theirs.group, group.name),
            Notify.INVALID_KE_PAYLOAD,
            group.number.to_bytes(2, "big"),
        )


def public(pair: KeyPair) -> KeyExchange:
    """KEi: our half."""
    return KeyExchange(pair.group.number, pair.public)


def shared_secret(pair: KeyPair, group: Group, theirs: KeyExchange) -> bytes:
    """The initiator's g^ir, of its pair and the responder's public value."""
    if pair.group is not group or theirs.group != group.number:
        raise PeerError("key exchange: the peer answered with group {}".format(theirs.group), Notify.INVALID_SYNTAX)
    try:
        return pair.shared(theirs.data)
    except KeyExchangeError as error:
        raise PeerError("key exchange: {}".format(error), Notify.INVALID_SYNTAX) from error


def respond(session: Session, group: Group, theirs: KeyExchange) -> tuple[KeyExchange, bytes]:
    """The responder's half: KEr, and the secret that it shares with the initiator's KEi."""
    if theirs.group != group.number:
        raise PeerError("key exchange: the peer goes on with group {}".format(theirs.group), Notify.INVALID_SYNTAX)
    try:
        if group.kem:
            data, secret = encapsulate(group, theirs.data)
        else:
            pair = session.key_pair(group)
            data, secret = pair.public, pair.shared(theirs.data)
    except KeyExchangeError as error:
        raise PeerError("key exchange: {}".format(error), Notify.INVALID_SYNTAX) from error
    return KeyExchange(group.number, data), secret


def ike_keys(suite: IkeSuite, seed: bytes, nonces: bytes, spis: bytes, initiator: bool) -> IkeKeys:
    """All keys of an IKE SA from a SKEYSEED; ``nonces`` is Ni | Nr, ``spis`` SPIi | SPIr."""
    return IkeKeys(suite.prf, suite.cipher, suite.bits, suite.integrity, seed, nonces, spis, initiator)
