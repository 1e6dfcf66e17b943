"""A LAN, a gateway, and the world, in network namespaces of this machine's kernel; there is no ESP.

tests/gateway/run makes a namespace of users for it, where one may do so without being root.
"""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.gateway_script import script_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.gateway_work import GatewayWork, traffic_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan

ADDRESS, CLIENT, FAR, WORLD = "210.11.11.11", "192.168.10.2", "192.168.20.2", "8.8.8.8"
PLAN = make_plan(
    {
        "tokyo": {"ipsec_address": ADDRESS, "ipsec_networks": ["192.168.10.0/24"]},
        "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"]},
    }
)
NAMESPACES = {
    "lan": [
        "address add 192.168.10.2/24 dev lan",
        "link set lan up",
        "route add default via 192.168.10.1",
    ],
    "gateway": [
        "link set lo up",
        "address add 192.168.10.1/24 dev lan",
        "address add 210.11.11.11/24 dev wan",
        "link set lan up",
        "link set wan up",
        "route add default via 210.11.11.1",
    ],
    "world": [
        "link set lo up",
        "address add 210.11.11.1/24 dev wan",
        "address add 192.168.20.2/32 dev lo",
        "address add 8.8.8.8/32 dev lo",
        "link set wan up",
        "route add 192.168.10.0/24 via 210.11.11.11",
    ],
}
SERVER = """
import socket, sys
server = socket.create_server(("", 21))
print("ready", flush=True)
while True:
    connection, (address, _port) = server.accept()
    connection.sendall("{} {}".format(address, connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)).encode())
    connection.close()
"""


def run(command: str, check: bool = True, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(command.split(), check=False, capture_output=True, text=True, **options)
    if check and done.returncode:
        raise RuntimeError("{}: {}".format(command, done.stderr or done.stdout))
    return done


class Gateway:
    """The gateway's namespace, its script, and the world's server, which tells a client what it sees of it."""

    def __init__(self, script) -> None:
        self.script = script
        for name in NAMESPACES:
            run("ip netns add " + name)
        run("ip link add lan netns gateway type veth peer name lan netns lan")
        run("ip link add wan netns gateway type veth peer name wan netns world")
        for name, commands in NAMESPACES.items():
            for command in commands:
                run("ip -n {} {}".format(name, command))
        self.run("sysctl -qw net.ipv4.ip_forward=1")
        command = ["ip", "netns", "exec", "world", "python3", "-c", SERVER]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.server.stdout.readline()

    def close(self) -> None:
        self.server.terminate()
        self.server.wait()
        for name in NAMESPACES:
            run("ip netns delete " + name)

    def run(self, command: str, check: bool = True) -> str:
        return run("ip netns exec gateway " + command, check).stdout

    def work(self, verb: str, check: bool = True, **parts) -> int:
        if parts:
            self.script.write_text(script_text(GatewayWork(**parts), traffic_of(PLAN.ends["tokyo"])))
        return run("ip netns exec gateway sh {} {}".format(self.script, verb), check).returncode

    def seen_by(self, target: str) -> tuple[str, int]:
        """The source address and the segment size with which a client of the LAN is seen."""
        client = "import socket, sys; print(socket.create_connection((sys.argv[1], 21), 5).recv(99).decode())"
        words = ["ip", "netns", "exec", "lan", "python3", "-c", client, target]
        address, segment = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        return address, int(segment)

    def rules(self) -> str:
        return self.run("nft -s list ruleset") + self.run("iptables-legacy-save", check=False)


@pytest.fixture()
def gateway(tmp_path):
    made = Gateway(tmp_path / "gateway")
    yield made
    made.close()
