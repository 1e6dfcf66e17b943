"""The internet between the sites as a pure function of frames: one router with a link to each site.

It answers ARP for its own address on each link, forwards IPv4 between links, answers pings to itself, says "time
exceeded" and "unreachable" as routers do, and drops what the real internet drops: private and other unroutable
addresses (RFC 1918, 6890). Faults are rules (see rules.py), asked before a packet is forwarded. Everything is counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.internet import frames
from lab.internet.frames import Arp, FrameError, Packet
from lab.internet.rules import Rule

WAITING_LIMIT = 16  # packets kept per neighbour while its MAC address is asked for
QUOTED = 8  # bytes of the payload that an ICMP error carries back (RFC 792)


@dataclass(frozen=True)
class Link:
    """The router's end of the link to one site: its name and the router's own address there."""

    name: str
    interface: IPv4Interface

    @property
    def mac(self) -> bytes:
        return b"\x02\x00" + self.interface.ip.packed


@dataclass(frozen=True)
class Sent:
    """A frame that leaves the router. `own` when the router itself made it, False when it only forwards."""

    link: str
    frame: bytes
    own: bool


@dataclass
class Router:
    """Frames in, frames out. `counters` counts packets by what became of them, `rule_hits` by rule."""

    links: tuple[Link, ...]
    rules: list[Rule] = field(default_factory=list)
    counters: Counter = field(default_factory=Counter)
    rule_hits: Counter = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._neighbours: dict[IPv4Address, bytes] = {}
        self._waiting: dict[IPv4Address, deque[tuple[bytes, bool]]] = defaultdict(lambda: deque(maxlen=WAITING_LIMIT))

    def receive(self, name: str, frame: bytes) -> list[Sent]:
        """What the router sends because `frame` came in on the link `name`."""
        link = next(link for link in self.links if link.name == name)
        try:
            _, source_mac, ethertype, payload = frames.parse_ethernet(frame)
            if ethertype == frames.ETHERTYPE_ARP:
                return self._receive_arp(link, Arp.parse(payload))
            if ethertype == frames.ETHERTYPE_IPV4:
                return self._receive_packet(link, source_mac, Packet.parse(payload))
        except FrameError:
            self.counters["malformed"] += 1
            return []
        self.counters["other_ethertype"] += 1
        return []

    def _receive_arp(self, link: Link, message: Arp) -> list[Sent]:
        self.counters["arp"] += 1
        if message.sender not in link.interface.network:
            return []
        sent = self._learn(link, message.sender, message.sender_mac)
        if message.operation == frames.ARP_REQUEST and message.target == link.interface.ip:
            reply = Arp(frames.ARP_REPLY, link.mac, message.target, message.sender_mac, message.sender)
            sent.append(_arp_frame(link, message.sender_mac, reply))
        return sent

    def _learn(self, link: Link, address: IPv4Address, mac: bytes) -> list[Sent]:
        """Remember the neighbour; what waited for it goes out."""
        self._neighbours[address] = mac
        waiting = self._waiting.pop(address, ())
        return [_packet_frame(link, mac, data, own) for data, own in waiting]

    def _receive_packet(self, link: Link, source_mac: bytes, packet: Packet) -> list[Sent]:
        """The router's decision on one packet, in the order of a real one's input path."""
        if packet.destination == link.interface.ip:
            return self._answer(link, source_mac, packet)
        if not (_routable(packet.source) and _routable(packet.destination)):
            self.counters["dropped_unroutable"] += 1
            return []
        rule = next((rule for rule in self.rules if rule.matches(packet)), None)
        if rule:
            self.counters["dropped_by_rule"] += 1
            self.rule_hits[rule.name] += 1
            return []
        if packet.ttl <= 1:
            self.counters["ttl_exceeded"] += 1
            return self._complain(link, packet, frames.ICMP_TIME_EXCEEDED, 0)
        towards = self._link_towards(packet.destination)
        if towards is None:
            self.counters["no_route"] += 1
            return self._complain(link, packet, frames.ICMP_UNREACHABLE, frames.NETWORK_UNREACHABLE)
        self.counters["forwarded"] += 1
        return self._deliver(towards, packet.destination, packet.forwarded(), own=False)

    def _answer(self, link: Link, source_mac: bytes, packet: Packet) -> list[Sent]:
        """A packet for the router itself: it answers pings and nothing else."""
        self.counters["to_router"] += 1
        if packet.protocol != frames.ICMP or packet.payload[:1] != bytes([frames.ICMP_ECHO_REQUEST]):
            return []
        message = frames.icmp(frames.ICMP_ECHO_REPLY, 0, packet.payload[4:])
        data = frames.ipv4(link.interface.ip, packet.source, frames.ICMP, message)
        return [_packet_frame(link, source_mac, data, own=True)]

    def _complain(self, link: Link, packet: Packet, kind: int, code: int) -> list[Sent]:
        """An ICMP error about `packet` to its sender; never about another ICMP error (RFC 1122, 3.2.2)."""
        is_error = packet.protocol == frames.ICMP and packet.payload[:1] != bytes([frames.ICMP_ECHO_REQUEST])
        if is_error or packet.fragment_offset:
            return []
        quoted = packet.data[: packet.header_size + QUOTED]
        message = frames.icmp(kind, code, bytes(4) + quoted)
        data = frames.ipv4(link.interface.ip, packet.source, frames.ICMP, message)
        return self._deliver(link, packet.source, data, own=True)

    def _deliver(self, link: Link, address: IPv4Address, data: bytes, own: bool) -> list[Sent]:
        """Send to a neighbour on `link`, asking for its MAC address first where it isn't known."""
        mac = self._neighbours.get(address)
        if mac:
            return [_packet_frame(link, mac, data, own)]
        self._waiting[address].append((data, own))
        request = Arp(frames.ARP_REQUEST, link.mac, link.interface.ip, bytes(6), address)
        return [_arp_frame(link, frames.BROADCAST, request)]

    def _link_towards(self, address: IPv4Address) -> Link | None:
        return next((link for link in self.links if address in link.interface.network), None)


def _arp_frame(link: Link, destination: bytes, message: Arp) -> Sent:
    return Sent(link.name, frames.ethernet(destination, link.mac, frames.ETHERTYPE_ARP, message.to_bytes()), own=True)


def _packet_frame(link: Link, destination: bytes, data: bytes, own: bool) -> Sent:
    return Sent(link.name, frames.ethernet(destination, link.mac, frames.ETHERTYPE_IPV4, data), own)


PRIVATE_NETWORKS = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def is_private(address: IPv4Address) -> bool:
    """True for the three networks of RFC 1918 (narrower than Python's `is_private`)."""
    return any(address in network for network in PRIVATE_NETWORKS)


def _routable(address: IPv4Address) -> bool:
    """What crosses the internet; the documentation networks do, so that a test may use them."""
    special = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return not (special or is_private(address) or address == IPv4Address("255.255.255.255"))
