# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 payloads: each class decodes, encodes and names one payload's body (RFC 2408 3.4 to 3.16, RFC 2407 4.6)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeVar, Union

from .attributes import Attribute, attribute_number, decode_attributes, encode_attribute
from .chain import RawPayload, build, walk
from .cursor import Cursor, WireError
from .header import HEADER_SIZE, VERSION_1, Header
from .items import NEXT_PROPOSAL, NEXT_TRANSFORM, decode_items, encode_items
from .v1_numbers import DOI_IPSEC, SITUATION_IDENTITY_ONLY, Exchange, Flag, Payload

_MAX_PROPOSALS = 32
_MAX_TRANSFORMS = 256


def _some_items(cursor: Cursor, kind: int, limit: int) -> list[Cursor]:
    """The members of a list that can't be empty."""
    items = decode_items(cursor, kind, limit)
    if not items:
        raise WireError("an empty list of proposals or transforms")
    return items


@dataclass(frozen=True)
class Transform:
    """One alternative of a proposal: ``id`` is a transform identifier, RFC 2407 4.4."""

    number: int
    id: int
    attributes: tuple[Attribute, ...] = ()

    @classmethod
    def decode(cls, cursor: Cursor) -> Transform:
        number = cursor.u8()
        identifier = cursor.u8()
        cursor.u16()
        return cls(number, identifier, decode_attributes(cursor))

    def encode(self) -> bytes:
        return struct.pack(">BBH", self.number, self.id, 0) + b"".join(map(encode_attribute, self.attributes))

    def get(self, kind: int) -> int | None:
        """The number of the first attribute of this kind, or None."""
        for name, value in self.attributes:
            if name == kind:
                return attribute_number(value)
        return None


@dataclass(frozen=True)
class Proposal:
    """One protocol with its transforms; proposals that share a number belong together (RFC 2408 4.2)."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]

    @classmethod
    def decode(cls, cursor: Cursor) -> Proposal:
        number = cursor.u8()
        protocol = cursor.u8()
        spi_size = cursor.u8()
        count = cursor.u8()
        spi = cursor.take(spi_size)
        items = _some_items(cursor, NEXT_TRANSFORM, _MAX_TRANSFORMS)
        cursor.done()
        if len(items) != count:
            raise WireError("a proposal claims {} transforms and has {}".format(count, len(items)))
        return cls(number, protocol, spi, tuple(Transform.decode(item) for item in items))

    def encode(self) -> bytes:
        head = struct.pack(">BBBB", self.number, self.protocol, len(self.spi), len(self.transforms)) + self.spi
        return head + encode_items([transform.encode() for transform in self.transforms], NEXT_TRANSFORM)


@dataclass(frozen=True)
class SaPayload:
    """Security Association, RFC 2408 3.4, in the IPsec DOI."""

    TYPE = Payload.SA
    proposals: tuple[Proposal, ...]

    @classmethod
    def decode(cls, body: bytes) -> SaPayload:
        cursor = Cursor(body)
        doi = cursor.u32()
        if doi != DOI_IPSEC:
            raise WireError("an SA payload of DOI {}".format(doi))
        situation = cursor.u32()
        if situation != SITUATION_IDENTITY_ONLY:
            raise WireError("an SA payload of situation {}".format(situation))
        items = _some_items(cursor, NEXT_PROPOSAL, _MAX_PROPOSALS)
        cursor.done()
        return cls(tuple(Proposal.decode(item) for item in items))

    def encode(self) -> bytes:
        head = struct.pack(">II", DOI_IPSEC, SITUATION_IDENTITY_ONLY)
        return head + encode_items([proposal.encode() for proposal in self.proposals], NEXT_PROPOSAL)


@dataclass(frozen=True)
class Opaque:
    """A payload that is one string of bytes: what its subclasses add is its type."""

    TYPE = -1
    data: bytes

    @classmethod
    def decode(cls, body: bytes) -> Opaque:
        return cls(body)

    def encode(self) -> bytes:
        return self.data


class KeyExchange(Opaque):
    """A public value, RFC 2408 3.7."""

    TYPE = Payload.KE


class Hash(Opaque):
    """A hash, RFC 2408 3.11."""

    TYPE = Payload.HASH


class Nonce(Opaque):
    """A nonce, RFC 2408 3.13; 8 to 256 bytes (RFC 2409 5)."""

    TYPE = Payload.NONCE

    @classmethod
    def decode(cls, body: bytes) -> Nonce:
        if not 8 <= len(body) <= 256:
            raise WireError("a nonce of {} bytes".format(len(body)))
        return cls(body)


class VendorId(Opaque):
    """A vendor id, RFC 2408 3.16."""

    TYPE = Payload.VID


class NatDiscovery(Opaque):
    """A hash over SPIs, address and port, RFC 3947 3.2."""

    TYPE = Payload.NAT_D


class DraftNatDiscovery(NatDiscovery):
    """The same with the number of draft-ietf-ipsec-nat-t-ike-02 and -03."""

    TYPE = Payload.DRAFT_NAT_D


@dataclass(frozen=True)
class Identification:
    """An identity or a traffic selector, RFC 2407 4.6.2. ``protocol`` and ``port`` 0 mean any."""

    TYPE = Payload.ID
    kind: int
    protocol: int
    port: int
    data: bytes

    @classmethod
    def decode(cls, body: bytes) -> Identification:
        cursor = Cursor(body)
        return cls(cursor.u8(), cursor.u8(), cursor.u16(), cursor.rest())

    def encode(self) -> bytes:
        return struct.pack(">BBH", self.kind, self.protocol, self.port) + self.data


@dataclass(frozen=True)
class NatOriginalAddress:
    """The address that a peer had before NAT, RFC 3947 5.2. ``kind`` is an identification type."""

    TYPE = Payload.NAT_OA
    kind: int
    data: bytes

    @classmethod
    def decode(cls, body: bytes) -> NatOriginalAddress:
        cursor = Cursor(body)
        kind = cursor.u8()
        cursor.take(3)
        return cls(kind, cursor.rest())

    def encode(self) -> bytes:
        return struct.pack(">B3x", self.kind) + self.data


class DraftNatOriginalAddress(NatOriginalAddress):
    """The same with the number of draft-ietf-ipsec-nat-t-ike-02 and -03."""

    TYPE = Payload.DRAFT_NAT_OA


@dataclass(frozen=True)
class Fragment:
    """A piece of a whole message, its header included. ``number`` counts from 1; ``last`` names the last piece.

    Cisco's and Microsoft's extension ([MS-IKEE] 2.2.3), which other daemons share.
    """

    TYPE = Payload.FRAGMENT
    id: int
    number: int
    last: bool
    data: bytes

    @classmethod
    def decode(cls, body: bytes) -> Fragment:
        cursor = Cursor(body)
        fragment = cls(cursor.u16(), cursor.u8(), bool(cursor.u8() & 1), cursor.rest())
        if fragment.number == 0 or not fragment.data:
            raise WireError("fragment {} of {} bytes".format(fragment.number, len(fragment.data)))
        return fragment

    def encode(self) -> bytes:
        return struct.pack(">HBB", self.id, self.number, self.last) + self.data


@dataclass(frozen=True)
class Notification:
    """A notification, RFC 2408 3.14."""

    TYPE = Payload.NOTIFY
    protocol: int
    kind: int
    spi: bytes = b""
    data: bytes = b""

    @classmethod
    def decode(cls, body: bytes) -> Notification:
        cursor = Cursor(body)
        cursor.u32()
        protocol = cursor.u8()
        spi_size = cursor.u8()
        kind = cursor.u16()
        return cls(protocol, kind, cursor.take(spi_size), cursor.rest())

    def encode(self) -> bytes:
        return struct.pack(">IBBH", DOI_IPSEC, self.protocol, len(self.spi), self.kind) + self.spi + self.data


@dataclass(frozen=True)
class Delete:
    """A list of SPIs that the sender has removed, RFC 2408 3.15. All SPIs have one size in bytes."""

    TYPE = Payload.DELETE
    protocol: int
    spis: tuple[bytes, ...]

    @classmethod
    def decode(cls, body: bytes) -> Delete:
        cursor = Cursor(body)
        cursor.u32()
        protocol = cursor.u8()
        size = cursor.u8()
        count = cursor.u16()
        if size == 0 or count * size != len(cursor):
            raise WireError("a delete payload claims {} SPIs of {} bytes in {} bytes".format(count, size, len(cursor)))
        return cls(protocol, tuple(cursor.take(size) for dummy in range(count)))

    def encode(self) -> bytes:
        size = len(self.spis[0])
        return struct.pack(">IBBH", DOI_IPSEC, self.protocol, size, len(self.spis)) + b"".join(self.spis)


AnyPayload = Union[SaPayload, Opaque, Identification, NatOriginalAddress, Fragment, Notification, Delete]
P = TypeVar("P")


class Message:
    """A message whose payloads are decoded when somebody asks for them.

    ``content`` holds the chain's bytes without header, ``end`` where the chain ends in it (padding follows).
    """

    __slots__ = ("content", "end", "header", "raw")

    def __init__(self, header: Header, content: bytes) -> None:
        self.header = header
        self.content = content
        self.raw, self.end = walk(header.next_payload, content)

    @classmethod
    def clear(cls, header: Header, datagram: bytes) -> Message:
        """A message that came unencrypted: nothing may follow its last payload."""
        message = cls(header, datagram[HEADER_SIZE:])
        if message.end != len(message.content):
            raise WireError("{} bytes behind the last payload".format(len(message.content) - message.end))
        return message

    def types(self) -> list[int]:
        return [payload.type for payload in self.raw]

    def find(self, kind: int) -> RawPayload | None:
        for payload in self.raw:
            if payload.type == kind:
                return payload
        return None

    def body(self, kind: int) -> bytes:
        """The first payload's body of a type that the rules have found present."""
        payload = self.find(kind)
        if payload is None:
            raise WireError("payload {} is missing".format(kind))
        return payload.body

    def get(self, payload_class: type[P]) -> P:
        """The first payload of this class, decoded."""
        return payload_class.decode(self.body(payload_class.TYPE))  # type: ignore[attr-defined]

    def all(self, payload_class: type[P]) -> list[P]:
        """Every payload of this class, decoded."""
        kind = payload_class.TYPE  # type: ignore[attr-defined]
        return [payload_class.decode(raw.body) for raw in self.raw if raw.type == kind]  # type: ignore[attr-defined]


def encode_chain(payloads: list[AnyPayload]) -> tuple[int, bytes]:
    """The first payload's type and the chain's bytes."""
    return build((payload.TYPE, payload.encode()) for payload in payloads)


def encode_clear(spi_i: bytes, spi_r: bytes, exchange: Exchange, message_id: int, payloads: list[AnyPayload]) -> bytes:
    """A datagram without encryption."""
    first, chain = encode_chain(payloads)
    length = HEADER_SIZE + len(chain)
    return Header(spi_i, spi_r, first, VERSION_1, exchange, 0, message_id, length).encode() + chain


def encode_encrypted_header(
    spi_i: bytes, spi_r: bytes, exchange: Exchange, message_id: int, first: int, ciphertext: bytes
) -> bytes:
    """A datagram around a chain that was padded and encrypted already (RFC 2409 appendix B)."""
    length = HEADER_SIZE + len(ciphertext)
    header = Header(spi_i, spi_r, first, VERSION_1, exchange, Flag.ENCRYPTION, message_id, length)
    return header.encode() + ciphertext
