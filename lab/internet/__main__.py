"""Run the internet: python3 -m lab.internet --pid-file … --capture … --control … --link NAME,ADDRESS/PREFIX,SOCKET …"""

from __future__ import annotations

import argparse
import os
from ipaddress import IPv4Interface
from pathlib import Path

from lab import unix
from lab.internet.capture import CaptureWriter
from lab.internet.router import Link, Router
from lab.internet.service import Service, Wire


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m lab.internet", description="The internet between lab machines.")
    parser.add_argument("--pid-file", type=Path, required=True)
    parser.add_argument("--capture", type=Path, required=True, help="pcap file of every packet that passes")
    parser.add_argument("--control", type=Path, required=True, help="unix socket for requests, a line of JSON each")
    parser.add_argument("--link", action="append", required=True, help="NAME,ADDRESS/PREFIX,SOCKET of one machine")
    arguments = parser.parse_args()
    links, wires = [], []
    for text in arguments.link:
        name, interface, path = text.split(",", 2)
        links.append(Link(name, IPv4Interface(interface)))
        wires.append(Wire(name, Path(path)))
    control = unix.listen(arguments.control)
    service = Service(Router(tuple(links)), wires, CaptureWriter(arguments.capture), control)
    arguments.pid_file.write_text(f"{os.getpid()}\n")
    service.run()


if __name__ == "__main__":
    main()
