"""Ethernet, ARP, IPv4 and ICMP as far as a router needs them: bytes to values and back (RFC 826, 791, 792)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

BROADCAST = b"\xff" * 6
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806

ICMP, IPIP, TCP, UDP, GRE, ESP, AH = 1, 4, 6, 17, 47, 50, 51

ARP_REQUEST, ARP_REPLY = 1, 2

ICMP_ECHO_REPLY, ICMP_UNREACHABLE, ICMP_ECHO_REQUEST, ICMP_TIME_EXCEEDED = 0, 3, 8, 11
NETWORK_UNREACHABLE = 0

_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")


class FrameError(Exception):
    """A frame that isn't what its headers say."""


@dataclass(frozen=True)
class Arp:
    """An ARP message for IPv4 over Ethernet."""

    operation: int
    sender_mac: bytes
    sender: IPv4Address
    target_mac: bytes
    target: IPv4Address

    @classmethod
    def parse(cls, data: bytes) -> Arp:
        if len(data) < _ARP.size:
            raise FrameError("short ARP message")
        _, _, _, _, operation, sender_mac, sender, target_mac, target = _ARP.unpack_from(data)
        return cls(operation, sender_mac, IPv4Address(sender), target_mac, IPv4Address(target))

    def to_bytes(self) -> bytes:
        fixed = (1, ETHERTYPE_IPV4, 6, 4, self.operation)
        return _ARP.pack(*fixed, self.sender_mac, self.sender.packed, self.target_mac, self.target.packed)


@dataclass(frozen=True)
class Packet:
    """An IPv4 packet; `data` is the whole of it, header included and padding of the frame cut off."""

    data: bytes
    header_size: int
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    ttl: int
    fragment_offset: int

    @classmethod
    def parse(cls, data: bytes) -> Packet:
        if len(data) < _IPV4.size:
            raise FrameError("short IPv4 packet")
        first, _, length, _, fragment, ttl, protocol, _, source, destination = _IPV4.unpack_from(data)
        header_size = (first & 15) * 4
        if first >> 4 != 4 or not _IPV4.size <= header_size <= length <= len(data):
            raise FrameError("IPv4 header and length don't agree")
        addresses = IPv4Address(source), IPv4Address(destination)
        return cls(data[:length], header_size, *addresses, protocol, ttl, (fragment & 0x1FFF) * 8)

    @property
    def payload(self) -> bytes:
        return self.data[self.header_size :]

    @property
    def ports(self) -> tuple[int, int] | None:
        """Source and destination port of TCP or UDP; None where there are none or this isn't the first fragment."""
        if self.protocol not in (TCP, UDP) or self.fragment_offset or len(self.payload) < 4:
            return None
        return struct.unpack_from("!HH", self.payload)

    def forwarded(self) -> bytes:
        """The packet's bytes after one hop: TTL less one, checksum made new."""
        header = bytearray(self.data[: self.header_size])
        header[8] -= 1
        return _with_checksum(header, 10) + self.payload


def ethernet(destination: bytes, source: bytes, ethertype: int, payload: bytes) -> bytes:
    return _ETHERNET.pack(destination, source, ethertype) + payload


def parse_ethernet(frame: bytes) -> tuple[bytes, bytes, int, bytes]:
    """(destination, source, type, payload); FrameError when the frame is too short."""
    if len(frame) < _ETHERNET.size:
        raise FrameError("short Ethernet frame")
    return (*_ETHERNET.unpack_from(frame), frame[_ETHERNET.size :])


def ipv4(source: IPv4Address, destination: IPv4Address, protocol: int, payload: bytes, ttl: int = 64) -> bytes:
    """A packet without options, unfragmented."""
    length = _IPV4.size + len(payload)
    header = _IPV4.pack(0x45, 0, length, 0, 0, ttl, protocol, 0, source.packed, destination.packed)
    return _with_checksum(bytearray(header), 10) + payload


def icmp(kind: int, code: int, rest: bytes) -> bytes:
    """An ICMP message; `rest` is all that follows the checksum."""
    return _with_checksum(bytearray(struct.pack("!BBH", kind, code, 0) + rest), 2)


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _with_checksum(data: bytearray, offset: int) -> bytes:
    data[offset : offset + 2] = b"\0\0"
    struct.pack_into("!H", data, offset, checksum(bytes(data)))
    return bytes(data)
