# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE identities: from the configuration to the wire, compared byte by byte, and named for people.

RFC 2407 4.6.2.1 and RFC 7296 3.5 number the types alike, so this serves both versions.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from ..config.settings import Identity
from ..wire.numbers import IdType, name_of
from .sa import Address

_KINDS = {"fqdn": IdType.FQDN, "email": IdType.USER_FQDN, "keyid": IdType.KEY_ID}
_ADDRESS_SIZES = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}
_TEXT = (IdType.FQDN, IdType.USER_FQDN)


class IdentityError(Exception):
    """An identity of the configuration that has no wire form here."""


def encode_identity(identity: Identity) -> tuple[int, bytes]:
    """(type, data) of an identification payload. A ``keyid`` file is read whole, newline included."""
    if identity.kind == "ipaddr":
        return encode_address(identity.value)
    if identity.kind not in _KINDS:
        raise IdentityError("identities of type {} need certificates, which are not supported".format(identity.kind))
    if identity.source == "file":
        try:
            return _KINDS[identity.kind], Path(identity.value).read_bytes()
        except OSError as error:
            raise IdentityError("{}: {}".format(identity.value, error.strerror)) from error
    return _KINDS[identity.kind], str(identity.value).encode()


def encode_address(address: Address) -> tuple[int, bytes]:
    """(type, data) for an address."""
    kind = IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR
    return kind, address.packed


def describe_identity(kind: int, data: bytes) -> str:
    """An identity for people and logs: ``ipaddr 210.11.11.11``, in the configuration's words."""
    if len(data) == _ADDRESS_SIZES.get(kind):
        return "ipaddr {}".format(ipaddress.ip_address(data))
    if kind in _TEXT:
        word = "fqdn" if kind == IdType.FQDN else "email"
        return "{} {}".format(word, printable(data))
    if kind == IdType.KEY_ID:
        return "keyid {}".format(printable(data))
    return "{} {}".format(name_of(IdType, kind), data[:64].hex())


def printable(data: bytes) -> str:
    """A peer's bytes as text that can't break a log line; at most 128 of them."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "\\x{:02x}".format(byte) for byte in data[:128])
