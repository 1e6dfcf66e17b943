"""What nftables does for the tunnels' traffic, between gateways that masquerade all the rest."""

from __future__ import annotations

import subprocess

import pytest

from lab.internet.rules import Rule

LARGE = 4 << 20  # bytes
TABLE = "nft list table inet tanuki_ipsec"
MASQUERADE = (
    "nft add table ip everyday",
    "nft 'add chain ip everyday post { type nat hook postrouting priority srcnat ; }'",
    "nft add rule ip everyday post masquerade",
)
PPPOE = Rule("pppoe", "drop", minimum_size=1493)
SERVER = (
    "import socket; server = socket.create_server(('', 5000)); print('ready', flush=True);"
    "connection, peer = server.accept(); stream = connection.makefile('rwb');"
    f"size = len(stream.read({LARGE})); stream.write(b'x' * size); stream.flush(); print(peer[0], size)"
)
CLIENT = (
    "import socket; stream = socket.create_connection(('{}', 5000), 20).makefile('rwb');"
    f"stream.write(bytes({LARGE})); stream.flush(); print(len(stream.read({LARGE})))"
)


@pytest.fixture()
def everyday(lab, site, peer):
    """Gateways that masquerade, and a path that carries 1492 bytes and says nothing about it."""
    for name in (site.name, peer.name):
        for command in MASQUERADE:
            done = lab.run(name, command)
            assert done.returncode == 0, done.stderr
    lab.internet.add_rule(PPPOE)
    yield
    lab.internet.remove_rule(PPPOE.name)
    for name in (site.name, peer.name):
        lab.run(name, "nft delete table ip everyday")


def test_the_rules_are_loaded_and_come_back_at_boot(gateway):
    assert gateway.service("tanuki-ipsec-gateway").is_running
    assert gateway.service("tanuki-ipsec-gateway").is_enabled
    assert {"chain exempt {", "chain clamp {"} <= {line.strip() for line in gateway.check_output(TABLE).splitlines()}


@pytest.mark.parametrize("verb", ["restart", "reload"])
def test_the_rules_outlive_a_flush_by_nftables_own_service(gateway, verb):
    rules = gateway.check_output(TABLE)
    gateway.check_output("systemctl start nftables")
    assert gateway.check_output(TABLE) == rules
    gateway.check_output(f"systemctl {verb} nftables")
    assert gateway.check_output(TABLE) == rules
    gateway.check_output("systemctl stop nftables")
    assert gateway.run(TABLE).rc == 1
    gateway.check_output("systemctl start nftables")
    assert gateway.check_output(TABLE) == rules


def test_the_rules_come_back_however_often_they_are_restarted(gateway):
    """More often than systemd lets a unit start in 10 seconds by itself."""
    rules = gateway.check_output(TABLE)
    gateway.check_output("for time in 1 2 3 4 5 6 7 8; do systemctl restart tanuki-ipsec-gateway || exit; done")
    assert gateway.check_output(TABLE) == rules


def test_a_large_transfer_keeps_its_source_and_fits_the_path(lab, site, peer, everyday):
    ssh = ["ssh", "-F", str(lab.ssh_config_path)]
    command = [*ssh, f"{peer.name}-client", f'python3 -c "{SERVER}"']
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        client = [*ssh, f"{site.name}-client", f'timeout 60 python3 -c "{CLIENT.format(peer.client.ip)}"']
        assert subprocess.run(client, check=False, capture_output=True, text=True).stdout == f"{LARGE}\n"
        assert server.stdout.readline() == f"{site.client.ip} {LARGE}\n"
    finally:
        server.terminate()
        server.wait()


def test_without_the_rules_it_stalls_or_is_translated(lab, site, peer, everyday):
    """The same way, and the rules gone: the test above can fail."""
    lab.run(site.name, "systemctl stop tanuki-ipsec-gateway")
    try:
        ping = lab.run(f"{site.name}-client", f"ping -c 2 -W 1 {peer.client.ip}").stdout
        assert " 0 received" in ping, ping
    finally:
        lab.run(site.name, "systemctl start tanuki-ipsec-gateway")
