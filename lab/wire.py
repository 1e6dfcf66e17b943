"""What a capture of the wire says about a tunnel: ESP in both directions, its SPIs, and nothing in clear."""

from __future__ import annotations

from ipaddress import IPv4Address

from lab.internet import frames
from lab.internet.capture import Captured
from lab.topology import Site

CANARY = b"tanuki-in-clear!"  # content of the test pings: 16 bytes, the most that ping -p takes


def esp_spis(captured: list[Captured], source: IPv4Address, destination: IPv4Address) -> set[int]:
    """The SPIs of the ESP packets that went from one gateway to the other."""
    packets = [item.packet for item in captured if item.packet]
    ends = (source, destination)
    esp = [
        packet for packet in packets if packet.protocol == frames.ESP and (packet.source, packet.destination) == ends
    ]
    return {int.from_bytes(packet.payload[:4], "big") for packet in esp}


def canaries(captured: list[Captured]) -> int:
    """How many frames show the test pings' content in clear, in whatever wrapping."""
    return sum(CANARY in item.frame for item in captured)


def ping_command(destination: Site, count: int, interval: float = 0.5) -> str:
    """A ping to the site's LAN client that carries the canary."""
    return f"ping -n -c {count} -i {interval} -W 5 -p {CANARY.hex()} {destination.client.ip}"
