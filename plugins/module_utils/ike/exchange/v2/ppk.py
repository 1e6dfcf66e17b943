# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum pre-shared keys (RFC 8784): who has one, under which name, and what happens where only one end has it.

Initiator                                  Responder
HDR, SAi1, KEi, Ni, N(USE_PPK)        -->
                                      <--  HDR, SAr1, KEr, Nr, N(USE_PPK)
HDR, SK {IDi, AUTH, SAi2, TSi, TSr,
         N(PPK_IDENTITY, PPK_ID),
         [N(NO_PPK_AUTH)]}            -->
                                      <--  HDR, SK {IDr, AUTH, SAr2, TSi, TSr,
                                                    [N(PPK_IDENTITY)]}

NO_PPK_AUTH is the initiator's proof without the key: it stands there unless ``ppk_required`` is on.
"""

from __future__ import annotations

import hmac
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...crypto.v2_keys import IkeKeys
from ...wire.v2 import Message, Notification
from ...wire.v2_numbers import Notify
from ..effects import PostQuantumKey
from ..errors import PeerError
from . import auth

if TYPE_CHECKING:
    from .session import Session

Mixed = Generator[Any, Any, "IkeKeys | None"]

_FIXED = b"\x02"  # PPK_ID_FIXED, RFC 8784 5.1: the name of a key that stays


def announcement(session: Session) -> list[Notification]:
    """That we have a PPK."""
    return [Notification(Notify.USE_PPK)] if session.settings.ppk else []


def agreed(session: Session, message: Message) -> bool:
    """Whether both ends have said in IKE_SA_INIT that they have one."""
    return bool(session.settings.ppk) and message.notified(Notify.USE_PPK) is not None


def initiators(session: Session, both: bool) -> Mixed:
    """The initiator's keys with the PPK in them; None where the peer has none and may do without."""
    if both:
        return (yield from _mixed(session))
    _check_dispensable(session, "the peer has no PPK")
    return None


def identity(session: Session, without: bytes) -> list[Notification]:
    """The PPK's name, and the proof without it where that will do as well."""
    name = Notification(Notify.PPK_IDENTITY, _FIXED + session.settings.ppk_id.encode("utf-8"))
    return [name] if session.settings.ppk_required else [name, Notification(Notify.NO_PPK_AUTH, without)]


def use_as_answered(session: Session, mixed: IkeKeys | None, message: Message) -> None:
    """The initiator goes on with the PPK where the responder has used it."""
    if mixed is None:
        return
    if message.notified(Notify.PPK_IDENTITY) is not None:
        use(session, mixed)
        return
    _check_dispensable(session, "the peer doesn't know our PPK {}".format(session.settings.ppk_id))
    session.host.warning("{}: the peer doesn't know our PPK {}: without it".format(session, session.settings.ppk_id))


def responders(session: Session, both: bool, message: Message) -> Mixed:
    """The responder's keys with the PPK that the initiator names; None where either end has to do without."""
    settings = session.settings
    if not both:
        _check_dispensable(session, "the peer has no PPK")
        return None
    named = message.notified(Notify.PPK_IDENTITY)
    if named is not None and settings.ppk and named.data == _FIXED + settings.ppk_id.encode("utf-8"):
        return (yield from _mixed(session))
    complaint = "the peer's PPK is {}, ours {}".format(_name(named), settings.ppk_id or "none")
    _check_dispensable(session, complaint)
    if message.notified(Notify.NO_PPK_AUTH) is None:
        raise PeerError(complaint + ", and the peer requires it", Notify.AUTHENTICATION_FAILED)
    session.host.warning("{}: {}: without it".format(session, complaint))
    return None


def use(session: Session, mixed: IkeKeys) -> None:
    """Children, proofs and successors come from keys with the PPK from here on."""
    session.protect(replace(session.suite, ppk=session.settings.ppk_id), mixed)


def complaint(session: Session, without: Notification | None, plain: list[bytes]) -> str:
    """What is wrong where the proof with the PPK is: the pre-shared key is right where the proof without it is."""
    if without is not None and any(hmac.compare_digest(without.data, proof) for proof in plain):
        return "authentication failed: the PPKs called {} differ".format(session.settings.ppk_id)
    return auth.WRONG_KEY


def _mixed(session: Session) -> Mixed:
    key = yield PostQuantumKey(session.settings)
    return session.keys.with_ppk(key)


def _check_dispensable(session: Session, complaint: str) -> None:
    if session.settings.ppk_required:
        raise PeerError("{}, and ppk_required is on".format(complaint), Notify.AUTHENTICATION_FAILED)


def _name(named: Notification | None) -> str:
    """A peer's name for its PPK, fit for a log."""
    if named is None:
        return "unnamed"
    return ascii(named.data[1:65].decode("utf-8", "replace"))[1:-1]
