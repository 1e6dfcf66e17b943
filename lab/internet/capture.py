"""Packets on the wire: written to a pcap file as they pass, read back, told apart and shown in tcpdump's manner."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.internet import frames
from lab.internet.frames import FrameError, Packet
from lab.internet.router import is_private

_MAGIC = 0xA1B2C3D4
_FILE = struct.Struct("!IHHiIII")
_RECORD = struct.Struct("!IIII")
_LINK_ETHERNET = 1
_SNAP_LENGTH = 65535

IKE_PORT, NAT_T_PORT = 500, 4500
NON_ESP_MARKER = bytes(4)  # RFC 3948, 2.2


@dataclass(frozen=True)
class Captured:
    """One frame with the time when it passed, in seconds since the epoch."""

    time: float
    frame: bytes

    @property
    def packet(self) -> Packet | None:
        """The IPv4 packet in the frame, None for anything else."""
        try:
            _, _, ethertype, payload = frames.parse_ethernet(self.frame)
            return Packet.parse(payload) if ethertype == frames.ETHERTYPE_IPV4 else None
        except FrameError:
            return None


class CaptureWriter:
    """A growing pcap file. Unbuffered, so that a reader sees every packet that has passed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._file.write(_FILE.pack(_MAGIC, 2, 4, 0, 0, _SNAP_LENGTH, _LINK_ETHERNET))

    def write(self, frame: bytes, now: float | None = None) -> None:
        seconds, fraction = divmod(time.time() if now is None else now, 1)
        self._file.write(_RECORD.pack(int(seconds), int(fraction * 1_000_000), len(frame), len(frame)) + frame)


def read_capture(path: Path, start: int = 0) -> Iterator[Captured]:
    """The frames of a pcap file, those from byte `start` on (a former file size) where given."""
    with path.open("rb") as file:
        file.seek(max(start, _FILE.size))
        while len(header := file.read(_RECORD.size)) == _RECORD.size:
            seconds, microseconds, length, _ = _RECORD.unpack(header)
            yield Captured(seconds + microseconds / 1_000_000, file.read(length))


def kind(packet: Packet) -> str:
    """What a packet on the wire is: esp, ah, ike, esp-in-udp, cleartext (a private address shows) or other."""
    if is_private(packet.source) or is_private(packet.destination) or _carries_private(packet):
        return "cleartext"
    if packet.protocol == frames.ESP:
        return "esp"
    if packet.protocol == frames.AH:
        return "ah"
    if packet.protocol == frames.UDP and packet.ports and IKE_PORT in packet.ports:
        return "ike"
    if packet.protocol == frames.UDP and packet.ports and NAT_T_PORT in packet.ports:
        return "ike" if packet.payload[8:12] == NON_ESP_MARKER else "esp-in-udp"
    return "other"


def count_kinds(captured: list[Captured]) -> Counter:
    """How many packets of each kind passed."""
    return Counter(kind(item.packet) for item in captured if item.packet)


def describe(item: Captured) -> str:
    """One line for one packet, as tcpdump -n would print it."""
    packet = item.packet
    clock = time.strftime("%H:%M:%S", time.gmtime(item.time)) + f".{int(item.time % 1 * 1_000_000):06d}"
    if packet is None:
        return f"{clock} (not IPv4) length {len(item.frame)}"
    ends = [str(packet.source), str(packet.destination)]
    if packet.ports:
        ends = [f"{address}.{port}" for address, port in zip(ends, packet.ports)]
    return f"{clock} IP {ends[0]} > {ends[1]}: {_content(packet)}, length {len(packet.payload)}"


def _content(packet: Packet) -> str:
    name = kind(packet)
    if name == "esp":
        spi, sequence = struct.unpack_from("!II", packet.payload)
        return f"ESP(spi=0x{spi:08x},seq=0x{sequence:x})"
    if packet.protocol == frames.ICMP:
        return f"ICMP type {packet.payload[0]}"
    if name == "ike":
        return "isakmp"
    return "UDP-encap: ESP" if name == "esp-in-udp" else f"protocol {packet.protocol}"


def _carries_private(packet: Packet) -> bool:
    """True for IP in IP, or IP in plain GRE, around a packet with a private address."""
    inner = {frames.IPIP: packet.payload, frames.GRE: packet.payload[4:]}.get(packet.protocol)
    if inner is None:
        return False
    try:
        carried = Packet.parse(inner)
    except FrameError:
        return False
    return is_private(carried.source) or is_private(carried.destination)
