# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons of ours, one on PF_KEY and one on XFRM or both on PF_KEY, and the packets that their tunnel carries.

Usually tokyo has ``--kernel pfkey``, osaka ``--kernel xfrm``: what a FreeBSD gateway and a Linux one are to each other.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ike.cli.ctl import ask
from ike.config.build import LocalEnd, PeerEnd, Profile, site_configuration
from ike.config.grammar import TANUKI
from ike.config.psk import NEXT, PREVIOUS
from ike.config.render import render
from ike.kernel.pfkey import PfkeyKernel
from tests.kernel.test_traffic import Wire

pytestmark = pytest.mark.usefixtures("no_module_loading")

CHECKOUT = Path(__file__).parents[2]
SECONDS = 60.0
MIXED = ("pfkey", "xfrm")
ESP_PACKET, IKE_PACKET = (4, 50, 0), (4, 17, 500)

SUITES = {
    "3des-sha1": Profile(1, ("3des_cbc",), ("sha1",), ("modp2048",), ("3des_cbc",), ("hmac_sha1",)),
    "aes128-sha1": Profile(1, ("aes128_cbc",), ("sha1",), ("modp2048",), ("aes128_cbc",), ("hmac_sha1",)),
    "modern": Profile(
        2, ("aes128_cbc",), ("hmac_sha2_256",), ("curve25519",), ("aes128_cbc",), ("hmac_sha1",), ("hmac_sha2_256",)
    ),
}


class Daemon:
    """One daemon at its site. ``configure`` writes its configuration, from site, profile and directory."""

    def __init__(self, site, kernel: str, profile: Profile, directory: Path, configure=None) -> None:
        self.site, self.kernel, self.configure = site, kernel, configure or _configuration
        self.directory = directory / site.name
        self.directory.mkdir()
        self.have_keys(OLD)
        self.file = self.directory / "racoon2.conf"
        self.take(profile)
        self.control = str(self.directory / "control.sock")
        self.log = self.directory / "log"

    def have_keys(self, current: bytes, upcoming: bytes | None = None, previous: bytes | None = None) -> None:
        """What the peer may prove beside the current key is written first and removed last."""
        path = self.directory / "peer.psk"
        beside = {path.with_name(path.name + NEXT): upcoming, path.with_name(path.name + PREVIOUS): previous}
        for name, key in {**beside, path: current}.items():
            if key is not None:
                temporary = self.directory / "new"
                temporary.write_bytes(key)
                temporary.chmod(0o600)
                temporary.replace(name)
        for name in [name for name, key in beside.items() if key is None]:
            name.unlink(missing_ok=True)

    def take(self, profile: Profile) -> None:
        self.file.write_text(self.configure(self.site, profile, self.directory))

    def start(self) -> None:
        command = ["ip", "netns", "exec", self.site.name, sys.executable, "-m", "ike", "iked", "-F", "-D", "1"]
        command += ["-f", str(self.file), "--kernel", self.kernel, "--control", self.control]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "plugins/module_utils")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log)
        until(lambda: "ready:" in self.log.read_text() or self.process.poll() is not None, self.log.read_text)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(SECONDS)

    def ask(self, command: str, **parameters) -> dict:
        answer = ask(self.control, {"command": command, **parameters}, SECONDS)
        assert answer["ok"], answer.get("error", "") + "\n" + self.log.read_text()
        return answer

    def children(self) -> list[dict]:
        (tunnel,) = self.ask("status")["status"]["tunnels"]
        return tunnel["child_sas"]

    def ike_sas(self) -> set[str]:
        return {sa["id"] for sa in self.ask("status")["status"]["ike_sas"] if sa["state"] == "established"}


def _configuration(site, profile: Profile, directory: Path) -> str:
    address, peer = ipaddress.ip_address(site.address), ipaddress.ip_address(site.peer)
    ours, theirs = (ipaddress.ip_interface(lan + "/24").network for lan in (site.lan, site.far))
    end = PeerEnd(
        "peer", peer, ("ipaddr", site.address), ("ipaddr", site.peer), (ours,), (theirs,), profile
    )  # fmt: skip
    return render(site_configuration(LocalEnd(address, str(directory)), [end], TANUKI))


def until(condition, describe=lambda: "") -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "not within {} s: {}".format(SECONDS, describe())
        time.sleep(0.05)


def mature(site) -> list:
    return [state for state in site.kernel.list_sas() if state.state == "mature"]


@pytest.fixture()
def joined(gateways, tmp_path):
    """A function that starts both daemons with a profile, each on its kernel; they and the wire end with the test."""
    with contextlib.ExitStack() as cleanup:

        def join(profile: Profile, kernels: tuple[str, str] = MIXED):
            daemons = [Daemon(site, kernel, profile, tmp_path) for site, kernel in zip(gateways, kernels)]
            for daemon in daemons:
                daemon.start()
                cleanup.callback(daemon.stop)
            wire = Wire(gateways)
            cleanup.callback(wire.close)
            return (*daemons, wire)

        yield join


@pytest.mark.parametrize(
    ("suite", "kernels", "initiator"),
    [("3des-sha1", MIXED, 0), ("aes128-sha1", MIXED, 1), ("aes128-sha1", ("pfkey", "pfkey"), 0)],
    ids=["pfkey-begins", "xfrm-begins", "pfkey-at-both-ends"],
)
def test_a_packet_opens_the_tunnel_which_is_rekeyed_and_closed(gateways, joined, suite, kernels, initiator):
    """Acquire, traffic, rekey at both ends without a lost ping, down: and what both kernels have at each point."""
    *daemons, wire = joined(SUITES[suite], kernels)
    first, second = daemons[initiator], daemons[1 - initiator]
    until(lambda: first.site.ping(first.site.far, count=1), first.log.read_text)
    assert wire.seen() == {ESP_PACKET, IKE_PACKET}
    _both_kernels_agree(daemons, suite)
    for daemon in (first, second):
        _rekeyed_without_a_lost_ping(daemon)
    assert wire.seen() == {ESP_PACKET, IKE_PACKET}
    second.ask("down", name="peer")
    until(lambda: not any(site.kernel.list_sas() for site in gateways))
    assert not any(daemon.children() for daemon in daemons)


def _both_kernels_agree(daemons, suite: str) -> None:
    """The same two SAs at both ends, of the suite that was asked for, in the range of each kernel's request ids."""
    (tokyo, osaka) = ({state.spi: state for state in mature(daemon.site)} for daemon in daemons)
    assert len(tokyo) == 2 and set(tokyo) == set(osaka)
    assert {state.encryption for state in tokyo.values()} == {"3des_cbc" if suite.startswith("3des") else "aes_cbc"}
    for daemon, states in zip(daemons, (tokyo, osaka)):
        on_pfkey = daemon.kernel == "pfkey"
        assert {state.reqid in PfkeyKernel.reqids for state in states.values()} == {on_pfkey}
        # The kernels' own word on the window of 128 packets that was asked for: PF_KEY has 32 at most.
        assert {state.replay_window for state in states.values()} == {32 if on_pfkey else 128}


def _rekeyed_without_a_lost_ping(daemon: Daemon) -> None:
    before = {child["spi_in"] for child in daemon.children()}
    with no_ping_lost(daemon.site, 40):
        daemon.ask("rekey", name="peer")
    until(lambda: daemon.children() and not before & {child["spi_in"] for child in daemon.children()})


@contextlib.contextmanager
def no_ping_lost(site, count: int):
    """Pings through the tunnel, twenty a second, while the body runs and until the last one."""
    command = ["ip", "netns", "exec", site.name, "ping", "-q", "-i", "0.05", "-c", str(count), "-W", "2", site.far]
    pings = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield
    output, _error = pings.communicate(timeout=SECONDS)
    assert " 0% packet loss" in output, output


@pytest.mark.parametrize("first", [0, 1], ids=["pfkey-first", "xfrm-first"])
def test_a_tunnel_moves_from_ikev1_to_ikev2_without_a_lost_ping(joined, first):
    """Both ends change one after the other, with some seconds in between, while pings pass."""
    *daemons, _wire = joined(SUITES["3des-sha1"])
    daemons[0].ask("up", name="peer", wait=SECONDS)
    before = {child["spi_in"] for child in daemons[0].children()}
    with no_ping_lost(daemons[0].site, 200):
        for daemon in (daemons[first], daemons[1 - first]):
            daemon.take(SUITES["modern"])
            assert daemon.ask("reload")["changes"]["renewed"] == ["peer_1_out"]
            time.sleep(3)
        until(lambda: all(_carries(daemon, "aes_cbc") for daemon in daemons), daemons[1 - first].log.read_text)
    until(lambda: not before & {state.spi for state in mature(daemons[0].site)})
    assert daemons[0].site.ping(daemons[0].site.far)


def _carries(daemon: Daemon, encryption: str) -> bool:
    return any(child["encryption"] == encryption and child["state"] == "up" for child in daemon.children())


OLD, NEW = b"a key that both ends have", b"the key that they are to have"
# Each end's key files on the way of a rotation: current, next, previous.
ROTATION = [(OLD, NEW, None), (NEW, None, OLD), (NEW, None, None)]


@pytest.mark.parametrize("suite", ["aes128-sha1", "modern"])
def test_a_key_is_rotated_without_a_lost_ping_and_each_end_authenticates_at_every_step(joined, suite):
    """One end is always a step behind the other when both authenticate anew, once each."""
    *daemons, _wire = joined(SUITES[suite])
    daemons[0].ask("up", name="peer", wait=SECONDS)
    for state in ROTATION:
        for moved in daemons:
            moved.have_keys(*state)
            for daemon in daemons:
                known = daemon.ike_sas()
                with no_ping_lost(daemon.site, 20):
                    daemon.ask("reauth", name="peer", wait=SECONDS)
                assert daemon.ike_sas() - known
    said = [daemon.log.read_text() for daemon in daemons]
    assert all("the other key of a rotation" in text for text in said)
    assert not any(key.decode() in text for key in (OLD, NEW) for text in said)


def test_soft_expiry_in_the_kernel_replaces_the_sa(gateways, joined):
    """PF_KEY's own EXPIRE message drives it: traffic goes on past the lifetime."""
    profile = Profile(
        1, ("aes128_cbc",), ("sha1",), ("modp2048",), ("aes128_cbc",), ("hmac_sha1",), child_lifetime=20
    )  # fmt: skip
    tokyo, _osaka, _wire = joined(profile)
    tokyo.ask("up", name="peer", wait=SECONDS)
    before = {child["spi_in"] for child in tokyo.children()}
    until(lambda: not before & {child["spi_in"] for child in tokyo.children()}, tokyo.log.read_text)
    assert tokyo.site.ping(tokyo.site.far)


def test_a_killed_daemon_leaves_its_policies_and_the_next_one_takes_them_over(gateways, joined):
    """No packet in clear between the two runs, and one set of policies afterwards."""
    tokyo, _osaka, wire = joined(SUITES["aes128-sha1"])
    tokyo.ask("up", name="peer", wait=SECONDS)
    policies = [state.policy for state in tokyo.site.kernel.list_policies()]
    wire.seen()
    tokyo.kill()
    tokyo.site.kernel.flush_sas()
    assert not tokyo.site.ping(tokyo.site.far, count=1)
    assert wire.seen() == set()
    tokyo.start()
    until(lambda: tokyo.site.ping(tokyo.site.far, count=1), tokyo.log.read_text)
    assert [state.policy for state in tokyo.site.kernel.list_policies()] == policies
    tokyo.stop()
    assert tokyo.site.kernel.list_policies() == [] and tokyo.site.kernel.list_sas() == []
