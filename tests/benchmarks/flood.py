"""A flood: IKE_SA_INIT requests from as many source addresses as there are packets, none of which is anybody.

Runs in the initiators' namespace, which nothing leaves, and prints one JSON object: how many, in how many seconds.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import socket
import struct
import sys
import time

from ike.config.effective import effective
from ike.config.loader import load
from ike.daemon import policies
from ike.daemon.rim import Rim
from ike.exchange.engine import Engine
from ike.exchange.host import Host
from ike.kernel.none import NoneKernel
from tests.benchmarks.network import RESPONDER

FIRST_SOURCE = int(ipaddress.ip_address("100.64.0.1"))
SOURCES = 1 << 20
_BATCH = 50
_IP_AND_UDP = 28
_SPI = 8


def initiation(file: str) -> bytes:
    """An IKE_SA_INIT request as an honest initiator writes it, the first of this configuration."""
    kernel = NoneKernel()
    configuration = policies.numbered(effective(load(file).configuration), kernel.reqids)
    engine = Engine(configuration, Host(Rim(kernel).perform, lambda level, text: None))
    engine.up(configuration.tunnels[0].name, 0.0, lambda success, reason: None)
    return engine.outbox.popleft()[1]


def packet(source: int, message: bytes) -> bytes:
    """An IPv4 packet with that source; the kernel fills in its checksum, UDP's is left out (RFC 768)."""
    size = _IP_AND_UDP + len(message)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, source.to_bytes(4, "big"), RESPONDER.packed)
    return ip + struct.pack(">HHHH", 500, 500, size - 20, 0) + os.urandom(_SPI) + message[_SPI:]


def flood(message: bytes, count: int, rate: float) -> float:
    """Send; the seconds that it took."""
    begun = time.perf_counter()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        for number in range(count):
            if number % _BATCH == 0:
                time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            sender.sendto(packet(FIRST_SOURCE + number % SOURCES, message), (str(RESPONDER), 0))
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--rate", type=float, default=10000.0)
    arguments = parser.parse_args()
    seconds = flood(initiation(arguments.file), arguments.count, arguments.rate)
    json.dump({"count": arguments.count, "seconds": seconds}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
