"""The tunnel itself: both kernels' databases, pings between the LANs, the wire, and the daemon's sudden death."""

from __future__ import annotations

import re
import subprocess
import time

from lab.deployment import DEFAULT_PROFILE, Deployment
from lab.internet.capture import count_kinds, read_capture
from lab.proof import ALGORITHMS
from lab.setkey import read_associations, read_directions
from lab.wire import canaries, esp_spis, ping_command

SETKEY = "python3 /usr/local/lib/tanuki-ipsec/ike.pyz setkey"
RECOVERY_LIMIT = 60  # seconds from the daemon's death to the next answered ping


def test_policies_in_all_three_directions(gateway):
    assert read_directions(gateway.check_output(f"{SETKEY} -DP")) == ["fwd", "in", "out"]


def test_lan_clients_reach_each_other_in_esp_only(lab, site, peer):
    start = lab.internet.capture_size
    result = lab.run(f"{site.name}-client", ping_command(peer, count=4))
    assert "4 received" in result.stdout, result.stdout
    captured = list(read_capture(lab.internet.capture_path, start))
    assert count_kinds(captured)["esp"] >= 8
    assert_nothing_in_clear(captured)


def test_both_kernels_hold_the_same_associations(lab, site, peer, gateway):
    here = read_associations(gateway.check_output(f"{SETKEY} -D"))
    there = read_associations(lab.run(peer.name, f"{SETKEY} -D").stdout)
    assert {(sa.mode, sa.state, sa.encryption, sa.integrity) for sa in here} == {
        ("tunnel", "mature", *ALGORITHMS[DEFAULT_PROFILE])
    }
    assert {(sa.source, sa.destination) for sa in here} == {
        (site.outside.ip, peer.outside.ip),
        (peer.outside.ip, site.outside.ip),
    }
    assert {sa.spi for sa in here} == {sa.spi for sa in there}


def test_the_wire_carries_the_kernel_s_associations(lab, site, peer):
    start = lab.internet.capture_size
    lab.run(f"{site.name}-client", ping_command(peer, count=1))
    captured = list(read_capture(lab.internet.capture_path, start))
    spis = {sa.spi for sa in read_associations(lab.run(site.name, f"{SETKEY} -D").stdout)}
    used = esp_spis(captured, site.outside.ip, peer.outside.ip) | esp_spis(captured, peer.outside.ip, site.outside.ip)
    assert len(used) == 2
    assert used <= spis


def test_killed_daemon_leaks_nothing_and_comes_back(lab, site, peer, gateway):
    start = lab.internet.capture_size
    traffic = start_traffic(lab, site, peer)
    killed = main_pid(gateway)
    gateway.check_output("systemctl kill --signal=KILL tanuki-iked")
    try:
        wait_until(lambda: main_pid(gateway) not in (0, killed), "systemd restarted the daemon")
        assert read_directions(gateway.check_output(f"{SETKEY} -DP")) == ["fwd", "in", "out"]
        wait_until(lambda: answered(lab, site, peer), f"{site.name}'s client reaches {peer.name}'s")
        wait_until(lambda: answered(lab, peer, site), f"{peer.name}'s client reaches {site.name}'s")
    finally:
        traffic.terminate()
        traffic.wait()
    assert_nothing_in_clear(list(read_capture(lab.internet.capture_path, start)))


def test_nothing_leaks_while_both_daemons_are_restarted_by_systemd(lab):
    """As an operator asks for it: verify.yml ends with an error if the canary sings, or a tunnel doesn't come back."""
    Deployment(lab).play("tanuki.ipsec.verify", ipsec_verify_leaks=True, ipsec_verify_leaks_restart=True)


def start_traffic(lab, site, peer):
    """Pings from LAN client to LAN client in the background, as long as the test lasts."""
    command = ["ssh", "-F", lab.ssh_config_path, f"{site.name}-client", ping_command(peer, count=600, interval=0.2)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def main_pid(gateway):
    output = gateway.check_output("systemctl show --property=MainPID tanuki-iked")
    return int(re.fullmatch(r"MainPID=(\d+)\s*", output)[1])


def answered(lab, source, destination):
    return " 0 received" not in lab.run(f"{source.name}-client", ping_command(destination, count=2)).stdout


def wait_until(condition, what):
    """Poll until the condition holds; fails after RECOVERY_LIMIT seconds."""
    deadline = time.monotonic() + RECOVERY_LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {RECOVERY_LIMIT} s: {what}"
        time.sleep(0.5)


def assert_nothing_in_clear(captured):
    assert count_kinds(captured)["cleartext"] == 0
    assert canaries(captured) == 0
