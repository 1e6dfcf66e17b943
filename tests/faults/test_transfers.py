# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The how-to's two unsolved problems, between LAN clients: active FTP, and a transfer that is large.

The gateways masquerade what leaves and let through what they know; the path is PPPoE's, 1492 bytes, and nobody says
when a packet is too big for it. Each transfer fails without the gateway's work.
"""

from __future__ import annotations

import ftplib
import hashlib
import io
import os
import subprocess
import sys
import threading

import pytest

from tests.faults import network
from tests.namespaces import inside

FAR = "192.168.20.2"
LARGE = 32 << 20  # bytes
PATIENCE = 15  # seconds without a byte: TCP has sent the same segment four times by then
FIREWALL = (
    "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "-p tcp --dport 21 -j ACCEPT",
    "-p tcp --dport 5000 -j ACCEPT",
    "-j DROP",
)
SERVER = """
import hashlib, socket
server = socket.create_server(("", 5000))
print("ready", flush=True)
while True:
    connection, _peer = server.accept()
    with connection, connection.makefile("rwb") as stream:
        size = int(stream.readline())
        digest = hashlib.sha256()
        try:
            connection.settimeout({patience})
            while size:
                data = stream.read(min(size, 65536))
                digest.update(data)
                size -= len(data)
            stream.write(digest.digest())
            stream.flush()
            stream.write(bytes({large}))
        except OSError:
            pass
"""


@pytest.fixture(scope="module")
def narrow(pair):
    """The path, the firewalls, and servers at a host of osaka's LAN."""
    network.narrow(1492)
    for gateway in pair.gateways:
        for rule in FIREWALL:
            gateway.site.run("iptables-legacy -A FORWARD " + rule)
    servers = [_serve("-c", SERVER.format(patience=PATIENCE, large=LARGE)), _serve("-c", FTP_SERVER)]
    yield pair
    for server in servers:
        server.terminate()
        server.wait()
    for gateway in pair.gateways:
        gateway.site.run("iptables-legacy -F FORWARD")
        gateway.work()
    network.widen()


FTP_SERVER = """
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
import tempfile

FTPHandler.authorizer = DummyAuthorizer()
FTPHandler.authorizer.add_anonymous(tempfile.mkdtemp(), perm="elrw")
FTPHandler.active_dtp.timeout = {patience}
server = FTPServer(("0.0.0.0", 21), FTPHandler)
print("ready", flush=True)
server.serve_forever()
""".format(patience=PATIENCE)


def _serve(*arguments: str) -> subprocess.Popen:
    command = ["ip", "netns", "exec", "osaka-lan", sys.executable, *arguments]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if server.stdout.readline() != "ready\n":
        raise RuntimeError("a server did not start")
    return server


@pytest.fixture()
def working(narrow):
    """A function that has both gateways do these parts of their work."""

    def work(**parts: bool):
        for gateway in narrow.gateways:
            gateway.work(**parts)
            gateway.site.run("conntrack -F")

    return work


def _at_home(action):
    """Run something in a thread that is a host of tokyo's LAN; what it returned, or the error that it ended with."""
    outcome: list = []

    def there() -> None:
        with inside("tokyo-lan"):
            try:
                outcome.append(action())
            except (OSError, EOFError, ftplib.Error) as error:
                outcome.append(error)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    return outcome[0]


def _active_ftp() -> bool:
    """Upload, list, download; every data connection is opened by the server."""
    content = os.urandom(1 << 20)
    with ftplib.FTP(FAR, timeout=PATIENCE) as client:
        client.login()
        client.set_pasv(False)
        client.storbinary("STOR file", io.BytesIO(content))
        back = io.BytesIO()
        client.retrbinary("RETR file", back.write)
        return client.nlst() == ["file"] and back.getvalue() == content


def _large() -> int:
    """How many bytes came back after as many were sent, and arrived as they were."""
    import socket

    content = os.urandom(1 << 20) * (LARGE >> 20)
    with socket.create_connection((FAR, 5000), PATIENCE) as connection:
        connection.sendall("{}\n".format(LARGE).encode() + content)
        with connection.makefile("rb") as stream:
            if stream.read(32) != hashlib.sha256(content).digest():
                return 0
            return sum(len(data) for data in iter(lambda: stream.read(65536), b""))


def test_active_ftp(working):
    working(ftp_helper=True)
    assert _at_home(_active_ftp) is True


@pytest.mark.parametrize(
    "parts",
    [{"ftp_helper": False}, {"ftp_helper": True, "nat_exemption": False}],
    ids=lambda parts: str(sorted(parts)[-1]),
)
def test_active_ftp_fails_without(working, parts):
    working(**parts)
    assert isinstance(_at_home(_active_ftp), Exception)


def test_a_large_transfer_both_ways(working):
    working()
    assert _at_home(_large) == LARGE


def test_a_large_transfer_stalls_without_the_clamp(working):
    working(mss_clamp=False)
    assert isinstance(_at_home(_large), TimeoutError)


def test_the_kernel_reckons_as_the_plan_does(pair):
    """The biggest packet that the kernel lets into the tunnel, where the device has 1500 bytes."""
    from ansible_collections.tanuki.ipsec.plugins.plugin_utils.overhead import inner_mtu
    from ansible_collections.tanuki.ipsec.plugins.plugin_utils.profiles import PROFILES

    from tests.faults.pair import PROFILE

    (probe,) = pair.second.probe(
        [
            {
                "tunnel": "tokyo",
                "network": "192.168.20.0/24",
                "far": "192.168.10.0/24",
                "source": "192.168.20.1",
                "target": "192.168.10.1",
            }
        ]
    )
    assert probe["path_mtu"] == inner_mtu(PROFILES[PROFILE].cryptography, 1500, 4, False)
