"""Two network namespaces on one cable: the responder at one end, all initiators' addresses at the other."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

RESPONDER = ipaddress.ip_address("198.51.100.1")
GATEWAY = ipaddress.ip_address("198.51.100.2")  # the initiators' end of the cable
RESPONDERS_SPACE = "bench-responder"
INITIATORS_SPACE = "bench-initiators"
_FIRST_INITIATOR = ipaddress.ip_address("198.18.0.1")


def initiator(number: int) -> ipaddress.IPv4Address:
    return _FIRST_INITIATOR + number


def network(number: int) -> ipaddress.IPv4Network:
    """The LAN behind an initiator."""
    return ipaddress.ip_network((int(ipaddress.ip_address("10.0.0.0")) + (number << 8), 24))


RESPONDERS_NETWORK = ipaddress.ip_network("192.168.0.0/24")


def _ip(*arguments: str, batch: str = "") -> None:
    subprocess.run(["ip", *arguments], input=batch, text=True, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def namespaces(peers: int) -> Iterator[None]:
    """Both namespaces, with an address for each peer; they are gone afterwards."""
    _ip("netns", "add", RESPONDERS_SPACE)
    _ip("netns", "add", INITIATORS_SPACE)
    try:
        _ip(
            "link",
            "add",
            "cable",
            "netns",
            RESPONDERS_SPACE,
            "type",
            "veth",
            "peer",
            "cable",
            "netns",
            INITIATORS_SPACE,
        )
        addresses = "".join("addr add {}/32 dev lo\n".format(initiator(number)) for number in range(peers))
        _ip("-n", INITIATORS_SPACE, "-batch", "-", batch=addresses)
        for space, address in ((RESPONDERS_SPACE, RESPONDER), (INITIATORS_SPACE, GATEWAY)):
            _ip("-n", space, "addr", "add", "{}/24".format(address), "dev", "cable")
        _ip("-n", RESPONDERS_SPACE, "addr", "add", "{}/24".format(RESPONDERS_NETWORK[1]), "dev", "lo")
        for space in (RESPONDERS_SPACE, INITIATORS_SPACE):
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "link", "set", "cable", "up")
        _ip("-n", RESPONDERS_SPACE, "route", "add", "default", "via", str(GATEWAY))
        yield
    finally:
        _ip("netns", "del", RESPONDERS_SPACE)
        _ip("netns", "del", INITIATORS_SPACE)
