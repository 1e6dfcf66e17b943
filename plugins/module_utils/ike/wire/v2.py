# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2 payloads: each class decodes, encodes and names one payload's body (RFC 7296 3.3 to 3.16)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeVar, Union

from .attributes import Attribute, attribute_number, decode_attributes, encode_attribute
from .chain import RawPayload, build, walk
from .cursor import Cursor, WireError
from .header import HEADER_SIZE, VERSION_2, Header
from .items import NEXT_PROPOSAL, NEXT_TRANSFORM, decode_items, encode_items
from .v2_numbers import KEY_LENGTH, LAST_ERROR_NOTIFY, Payload, TsType

_MAX_PROPOSALS = 32
_MAX_TRANSFORMS = 255
_MAX_SELECTORS = 255

_PROPOSAL = struct.Struct(">BBBB")
_TRANSFORM = struct.Struct(">BBH")
_SELECTOR = struct.Struct(">BBHHH")
_FRAGMENT = struct.Struct(">HH")

KNOWN_PAYLOADS = frozenset(Payload)
_SEALED = frozenset({Payload.SK, Payload.SKF})


@dataclass(frozen=True)
class Transform:
    """One algorithm of a proposal: its transform type and id, RFC 7296 3.3.2."""

    kind: int
    id: int
    attributes: tuple[Attribute, ...] = ()

    @classmethod
    def decode(cls, cursor: Cursor) -> Transform:
        kind = cursor.u8()
        cursor.u8()
        return cls(kind, cursor.u16(), decode_attributes(cursor))

    def encode(self) -> bytes:
        return _TRANSFORM.pack(self.kind, 0, self.id) + b"".join(map(encode_attribute, self.attributes))

    @property
    def key_bits(self) -> int | None:
        """The key length; 0 without one; None where there are attributes that nobody knows (RFC 7296 3.3.6)."""
        if not self.attributes:
            return 0
        if len(self.attributes) != 1 or self.attributes[0][0] != KEY_LENGTH:
            return None
        return attribute_number(self.attributes[0][1])


@dataclass(frozen=True)
class Proposal:
    """One protocol with the transforms that it can use; one of each type is to be chosen (RFC 7296 3.3.1)."""

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
        items = decode_items(cursor, NEXT_TRANSFORM, _MAX_TRANSFORMS)
        if len(items) != count:
            raise WireError("a proposal claims {} transforms and has {}".format(count, len(items)))
        return cls(number, protocol, spi, tuple(Transform.decode(item) for item in items))

    def encode(self) -> bytes:
        head = _PROPOSAL.pack(self.number, self.protocol, len(self.spi), len(self.transforms)) + self.spi
        return head + encode_items([transform.encode() for transform in self.transforms], NEXT_TRANSFORM)

    def of(self, kind: int) -> list[Transform]:
        """The transforms of one type, in the sender's order."""
        return [transform for transform in self.transforms if transform.kind == kind]


@dataclass(frozen=True)
class SaPayload:
    """Security Association, RFC 7296 3.3."""

    TYPE = Payload.SA
    proposals: tuple[Proposal, ...]

    @classmethod
    def decode(cls, body: bytes) -> SaPayload:
        items = decode_items(Cursor(body), NEXT_PROPOSAL, _MAX_PROPOSALS)
        return cls(tuple(Proposal.decode(item) for item in items))

    def encode(self) -> bytes:
        return encode_items([proposal.encode() for proposal in self.proposals], NEXT_PROPOSAL)


@dataclass(frozen=True)
class KeyExchange:
    """A public value, RFC 7296 3.4. ``group`` is a transform id of type 4."""

    TYPE = Payload.KE
    group: int
    data: bytes

    @classmethod
    def decode(cls, body: bytes) -> KeyExchange:
        cursor = Cursor(body)
        group = cursor.u16()
        cursor.u16()
        return cls(group, cursor.rest())

    def encode(self) -> bytes:
        return struct.pack(">HH", self.group, 0) + self.data


@dataclass(frozen=True)
class Identification:
    """An identity, RFC 7296 3.5."""

    TYPE = -1
    kind: int
    data: bytes

    @classmethod
    def decode(cls, body: bytes) -> Identification:
        cursor = Cursor(body)
        kind = cursor.u8()
        cursor.take(3)
        return cls(kind, cursor.rest())

    def encode(self) -> bytes:
        return struct.pack(">B3x", self.kind) + self.data


class IdInitiator(Identification):
    """IDi."""

    TYPE = Payload.IDI


class IdResponder(Identification):
    """IDr."""

    TYPE = Payload.IDR


@dataclass(frozen=True)
class Authentication:
    """The proof of an identity, RFC 7296 3.8."""

    TYPE = Payload.AUTH
    method: int
    data: bytes

    @classmethod
    def decode(cls, body: bytes) -> Authentication:
        cursor = Cursor(body)
        method = cursor.u8()
        cursor.take(3)
        return cls(method, cursor.rest())

    def encode(self) -> bytes:
        return struct.pack(">B3x", self.method) + self.data


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


class Nonce(Opaque):
    """A nonce, RFC 7296 3.9: 16 to 256 bytes."""

    TYPE = Payload.NONCE

    @classmethod
    def decode(cls, body: bytes) -> Nonce:
        if not 16 <= len(body) <= 256:
            raise WireError("a nonce of {} bytes".format(len(body)))
        return cls(body)


class VendorId(Opaque):
    """A vendor id, RFC 7296 3.12."""

    TYPE = Payload.VENDOR


@dataclass(frozen=True)
class Notification:
    """A notification, RFC 7296 3.10. ``protocol`` and ``spi`` only where it speaks of a child SA."""

    TYPE = Payload.NOTIFY
    kind: int
    data: bytes = b""
    protocol: int = 0
    spi: bytes = b""

    @classmethod
    def decode(cls, body: bytes) -> Notification:
        cursor = Cursor(body)
        protocol = cursor.u8()
        spi_size = cursor.u8()
        kind = cursor.u16()
        spi = cursor.take(spi_size)
        return cls(kind, cursor.rest(), protocol, spi)

    def encode(self) -> bytes:
        return struct.pack(">BBH", self.protocol, len(self.spi), self.kind) + self.spi + self.data


@dataclass(frozen=True)
class Delete:
    """What the sender has removed, RFC 7296 3.11: child SAs by its inbound SPIs, or (no SPI) the IKE SA itself."""

    TYPE = Payload.DELETE
    protocol: int
    spis: tuple[bytes, ...] = ()

    @classmethod
    def decode(cls, body: bytes) -> Delete:
        cursor = Cursor(body)
        protocol = cursor.u8()
        size = cursor.u8()
        count = cursor.u16()
        if count * size != len(cursor) or (count and not size):
            raise WireError("a delete payload claims {} SPIs of {} bytes in {} bytes".format(count, size, len(cursor)))
        return cls(protocol, tuple(cursor.take(size) for dummy in range(count)))

    def encode(self) -> bytes:
        size = len(self.spis[0]) if self.spis else 0
        return struct.pack(">BBH", self.protocol, size, len(self.spis)) + b"".join(self.spis)


@dataclass(frozen=True)
class Selector:
    """One range of traffic, RFC 7296 3.13.1: packed addresses and ports, both ends included. Protocol 0 means any."""

    kind: int
    protocol: int
    first_port: int
    last_port: int
    first: bytes
    last: bytes

    @classmethod
    def decode(cls, cursor: Cursor) -> Selector | None:
        """The next selector; None for a type that is unknown."""
        kind = cursor.u8()
        protocol = cursor.u8()
        length = cursor.u16()
        if length < _SELECTOR.size:
            raise WireError("a traffic selector claims {} bytes".format(length))
        inner = cursor.sub(length - 4)
        size = _ADDRESS_SIZES.get(kind)
        if size is None:
            return None
        selector = cls(kind, protocol, inner.u16(), inner.u16(), inner.take(size), inner.take(size))
        inner.done()
        return selector

    def encode(self) -> bytes:
        length = _SELECTOR.size + 2 * len(self.first)
        head = _SELECTOR.pack(self.kind, self.protocol, length, self.first_port, self.last_port)
        return head + self.first + self.last


_ADDRESS_SIZES = {TsType.IPV4_ADDR_RANGE: 4, TsType.IPV6_ADDR_RANGE: 16}


@dataclass(frozen=True)
class TrafficSelectors:
    """Traffic selectors, RFC 7296 3.13. Those of unknown types are left out, as if they matched nothing."""

    TYPE = -1
    selectors: tuple[Selector, ...]

    @classmethod
    def decode(cls, body: bytes) -> TrafficSelectors:
        cursor = Cursor(body)
        count = cursor.u8()
        cursor.take(3)
        found = [Selector.decode(cursor) for dummy in range(count)]
        cursor.done()
        if not found:
            raise WireError("a traffic selector payload without selectors")
        return cls(tuple(selector for selector in found if selector is not None))

    def encode(self) -> bytes:
        return struct.pack(">B3x", len(self.selectors)) + b"".join(one.encode() for one in self.selectors)


class TsInitiator(TrafficSelectors):
    """TSi."""

    TYPE = Payload.TSI


class TsResponder(TrafficSelectors):
    """TSr."""

    TYPE = Payload.TSR


AnyPayload = Union[
    SaPayload,
    KeyExchange,
    Identification,
    Authentication,
    Opaque,
    Notification,
    Delete,
    TrafficSelectors,
]
P = TypeVar("P")


class Message:
    """A message whose payloads are decoded when somebody asks for them.

    ``datagram`` is kept of clear messages, and of fragmented ones (their first); ``chain`` of sealed ones.
    """

    __slots__ = ("_notifications", "chain", "datagram", "first", "header", "raw")

    def __init__(self, header: Header, raw: list[RawPayload], datagram: bytes = b"") -> None:
        self.header = header
        self.raw = raw
        self.datagram = datagram
        self.first = 0
        self.chain = b""
        self._notifications: list[Notification] | None = None

    @classmethod
    def clear(cls, header: Header, datagram: bytes) -> Message:
        """A message that came unencrypted."""
        return cls(header, _whole_chain(header.next_payload, datagram[HEADER_SIZE:]), datagram)

    @classmethod
    def opened(cls, header: Header, first: int, chain: bytes, datagram: bytes = b"") -> Message:
        """A message whose chain came sealed; ``first`` is its first payload's type."""
        message = cls(header, _whole_chain(first, chain), datagram)
        message.first, message.chain = first, chain
        return message

    def covered(self) -> bytes:
        """What AUTH covers of a sealed message (RFC 9242 3.3.2): see :func:`covered`."""
        header = self.header
        return covered(
            header.spi_i, header.spi_r, header.exchange, header.flags, header.message_id, self.first, self.chain
        )

    def types(self) -> list[int]:
        return [payload.type for payload in self.raw]

    def unknown_critical(self) -> int | None:
        """The type of the first payload that we don't know but must (RFC 7296 2.5)."""
        return next((one.type for one in self.raw if one.critical and one.type not in KNOWN_PAYLOADS), None)

    def has(self, kind: int) -> bool:
        return any(payload.type == kind for payload in self.raw)

    def body(self, kind: int) -> bytes:
        """The first payload's body of a type that the rules have found present."""
        for payload in self.raw:
            if payload.type == kind:
                return payload.body
        raise WireError("payload {} is missing".format(kind))

    def get(self, payload_class: type[P]) -> P:
        """The first payload of this class, decoded."""
        return payload_class.decode(self.body(payload_class.TYPE))  # type: ignore[attr-defined]

    def all(self, payload_class: type[P]) -> list[P]:
        """Every payload of this class, decoded."""
        kind = payload_class.TYPE  # type: ignore[attr-defined]
        return [payload_class.decode(raw.body) for raw in self.raw if raw.type == kind]  # type: ignore[attr-defined]

    @property
    def notifications(self) -> list[Notification]:
        if self._notifications is None:
            self._notifications = self.all(Notification)
        return self._notifications

    def notified(self, kind: int) -> Notification | None:
        """The first notification of this type."""
        return next((one for one in self.notifications if one.kind == kind), None)

    def refusal(self) -> Notification | None:
        """The first notification of an error."""
        return next((one for one in self.notifications if one.kind <= LAST_ERROR_NOTIFY), None)


def _whole_chain(first: int, chain: bytes) -> list[RawPayload]:
    raw, end = walk(first, chain, _SEALED)
    if end != len(chain):
        raise WireError("{} bytes behind the last payload".format(len(chain) - end))
    return raw


@dataclass(frozen=True)
class Envelope:
    """Where a sealed message's secret part begins: the datagram up to ``at`` is authenticated, not encrypted.

    ``number`` of ``total`` fragments (RFC 7383 2.5); 1 of 1 for a whole message.
    """

    first: int
    at: int
    number: int = 1
    total: int = 1


def envelope(header: Header, datagram: bytes) -> Envelope:
    """The envelope of a datagram that holds one SK or SKF payload and nothing else."""
    raw, end = walk(header.next_payload, datagram[HEADER_SIZE:], _SEALED)
    if len(raw) != 1 or raw[0].type not in _SEALED or end + HEADER_SIZE != len(datagram):
        raise WireError("an encrypted message is one SK payload, and nothing else")
    first, at = datagram[HEADER_SIZE], HEADER_SIZE + 4
    if raw[0].type == Payload.SK:
        return Envelope(first, at)
    number, total = _FRAGMENT.unpack(Cursor(raw[0].body).take(_FRAGMENT.size))
    if not 1 <= number <= total:
        raise WireError("fragment {} of {}".format(number, total))
    return Envelope(first, at + _FRAGMENT.size, number, total)


def encode_chain(payloads: list[AnyPayload]) -> tuple[int, bytes]:
    """The first payload's type and the chain's bytes."""
    return build((payload.TYPE, payload.encode()) for payload in payloads)


def encode_clear(
    spi_i: bytes, spi_r: bytes, exchange: int, flags: int, message_id: int, payloads: list[AnyPayload]
) -> bytes:
    """A datagram without encryption."""
    first, chain = encode_chain(payloads)
    length = HEADER_SIZE + len(chain)
    return Header(spi_i, spi_r, first, VERSION_2, exchange, flags, message_id, length).encode() + chain


def sealed_head(
    spi_i: bytes, spi_r: bytes, exchange: int, flags: int, message_id: int, inside: Envelope, size: int
) -> bytes:
    """A datagram up to its secret part, which takes ``size`` bytes: header, and SK's or SKF's own header."""
    whole = inside.total == 1
    head = b"" if whole else _FRAGMENT.pack(inside.number, inside.total)
    body = 4 + len(head) + size
    kind = Payload.SK if whole else Payload.SKF
    header = Header(spi_i, spi_r, kind, VERSION_2, exchange, flags, message_id, HEADER_SIZE + body)
    return header.encode() + struct.pack(">BBH", inside.first, 0, body) + head


def covered(spi_i: bytes, spi_r: bytes, exchange: int, flags: int, message_id: int, first: int, chain: bytes) -> bytes:
    """IntAuth_A | IntAuth_P: a sealed message as if it were neither encrypted nor fragmented (RFC 9242 3.3.2)."""
    return sealed_head(spi_i, spi_r, exchange, flags, message_id, Envelope(first, 0), len(chain)) + chain
