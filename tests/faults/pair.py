# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The working pair: two daemons with the configuration that the plan gives them, and the evidence of both ends.

The evidence is gathered by the code that the modules run, inside each gateway's namespace, in the steps of
playbooks/diagnose.yml.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_probes import probes_between
from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_tunnels import ipsec_tunnels
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.capture import Capture
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.diagnosis import Diagnosis, diagnose
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.ends import End, Pair, common_spis
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.gather import (
    KERNEL,
    SURROUNDINGS,
    Gatherer,
)
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.probe import Probe
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import expectation
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.gateway_script import script_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.gateway_work import IPTABLES, GatewayWork, traffic_of
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import Paths
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan

from ike.cli.ctl import ask
from tests.faults.network import SITES, Site, run
from tests.namespaces import inside

KEY = "the key that both sites share, long enough"
PROFILE = "ikev1-aes"
_START_SECONDS = 20.0
_UP_SECONDS = 15.0
_ATTEMPTS = 3
_BRING_UP_SECONDS = 6.0


def _variables(site: Site) -> dict:
    own = {"ipsec_own_address": site.own_address} if site.own_address else {}
    return {"ipsec_address": site.address, "ipsec_networks": list(site.networks), "ipsec_profile": PROFILE, **own}


class Gateway:
    """A site with its daemon, its files, and how it is looked at."""

    def __init__(self, site: Site, directory: Path, inventory: dict) -> None:
        self.site = site
        self.inventory = inventory
        self.paths = Paths(config_directory=str(directory))
        self.control = str(directory / "control.sock")
        self.log = directory / "iked.log"
        self.configuration = Path(self.paths.configuration)
        self.process: subprocess.Popen | None = None
        self.clock_ahead = 0  # seconds
        (self.tunnel,) = ipsec_tunnels(inventory, site.name, list(inventory))
        self.key_file = Path(self.paths.psk(self.tunnel["name"]))
        Path(self.paths.psk_directory).mkdir(parents=True)
        self.write_files()

    def write_files(self) -> None:
        """As a deployment leaves them."""
        plan = make_plan(self.inventory)
        name = self.site.name
        self.configuration.write_text(configuration_text(plan.sites[name], plan.ends[name], self.paths))
        self.write_key(KEY)

    def write_key(self, key: str, mode: int = 0o600) -> None:
        self.key_file.write_text(key)
        self.key_file.chmod(mode)

    def edit(self, old: str, new: str) -> None:
        """Change the configuration; what is to be changed has to be there."""
        text = self.configuration.read_text()
        if old not in text:
            raise RuntimeError("{!r} is not in {}'s configuration".format(old, self.site.name))
        self.configuration.write_text(text.replace(old, new))

    # ---- Its packet filter

    def work(self, **parts: bool) -> None:
        """Load these parts of the gateway's work. This kernel has iptables only, of the legacy kind."""
        work = GatewayWork(packet_filter=IPTABLES, **parts)
        text = script_text(work, traffic_of(make_plan(self.inventory).ends[self.site.name]))
        script = self.configuration.with_name("gateway")
        script.write_text(text.replace("PATH=", "PATH={}:".format(_legacy(script.parent)), 1))
        self.site.run("sh {} start".format(script))

    # ---- Its daemon

    def start(self) -> None:
        command = [
            sys.executable, "-m", "ike", "iked", "-F", "-D", "1", "-f", str(self.configuration),
            "--control", self.control, "--hold",
        ]  # fmt: skip
        with inside(self.site.name), self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stderr=log, env={**os.environ, "PYTHONPATH": "plugins/module_utils"}
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the daemon did not start: " + self.log.read_text())
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(_START_SECONDS)
            self.process = None

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait(_START_SECONDS)
        self.process = None

    def restart(self) -> None:
        self.stop()
        self.site.run("ip xfrm state flush")
        self.start()

    def reboot(self) -> None:
        """What the other end notices of a reboot: nothing at first. Nobody says goodbye, nothing is left of the SAs."""
        self.kill()
        self.site.run("ip xfrm state flush")
        self.site.run("ip xfrm policy flush")
        self.start()

    def answers(self) -> bool:
        try:
            return bool(self.ask("status").get("ok"))
        except (OSError, ValueError):
            return False

    def ask(self, command: str, **arguments) -> dict:
        return ask(self.control, {"command": command, **arguments}, 40)

    def up(self) -> str:
        """Why the tunnel is not up; "" once it is."""
        answer = self.ask("up", name=self.tunnel["name"], wait=_UP_SECONDS)
        return "" if answer.get("ok") else answer.get("error", "no reason given")

    # ---- How it is looked at

    def gatherer(self) -> Gatherer:
        return Gatherer(
            Look(self._run), [expectation(self.tunnel)], self.control, str(self.configuration), "a salt", os.getuid()
        )

    def _run(self, words: list[str]) -> tuple[int, str, str]:
        try:
            done = subprocess.run(words, check=False, capture_output=True, text=True)
        except FileNotFoundError:
            return 127, "", ""
        return done.returncode, done.stdout, done.stderr

    def gather(self, *subjects: str) -> dict:
        with inside(self.site.name), _clock_ahead(self.clock_ahead):
            return self.gatherer().gather(*([subjects] if subjects else []))

    def bring_up(self) -> None:
        with inside(self.site.name):
            self.gatherer().bring_up([self.tunnel["name"]], _BRING_UP_SECONDS)

    @contextlib.contextmanager
    def capture(self) -> Iterator[Capture]:
        capture = Capture(Look(self._run), [expectation(self.tunnel)])
        with inside(self.site.name):
            capture.__enter__()
        with contextlib.closing(capture):
            yield capture

    def probe(self, probes: list[dict]) -> list[dict]:
        gatherer = self.gatherer()
        with inside(self.site.name):
            return [gatherer.probe(Probe(**one)) for one in probes]


class WorkingPair:
    """Two gateways, up; ``diagnosis`` looks at them as diagnose.yml does. The first one initiates."""

    def __init__(self, directory: Path, sites: tuple[Site, Site] = SITES) -> None:
        inventory = {site.name: _variables(site) for site in sites}
        self.first, self.second = (Gateway(site, directory / site.name, inventory) for site in sites)

    @property
    def gateways(self) -> tuple[Gateway, Gateway]:
        return self.first, self.second

    def start(self) -> None:
        """Like gateways of every day: they masquerade what leaves, and the role exempts the tunnels' traffic."""
        for gateway in self.gateways:
            gateway.site.run("iptables-legacy -t nat -A POSTROUTING -o wan -j MASQUERADE")
            gateway.work()
            gateway.start()

    def stop(self) -> None:
        for gateway in self.gateways:
            gateway.stop()

    def renegotiate(self) -> None:
        """Take note of changed files and begin from nothing."""
        for gateway in self.gateways:
            gateway.restart()

    def up(self) -> None:
        """After a fault there may be a negotiation that has to fail first."""
        reason = "not tried"
        for _attempt in range(_ATTEMPTS):
            reason = self.first.up() or self._one_sided()
            if not reason:
                return
        raise RuntimeError("the pair does not come up: " + reason)

    def _one_sided(self) -> str:
        """An initiator is up when it has sent quick mode's last message, which the responder has yet to read.

        "" once both kernels have the SAs of every flow.
        """
        deadline = time.monotonic() + _UP_SECONDS
        while time.monotonic() < deadline:
            if all(common_spis(*flow) for flow in self._kernels().flows()):
                return ""
            time.sleep(0.1)
        return "only one kernel has the SAs"

    def _kernels(self) -> Pair:
        return Pair(*(End(one.site.name, expectation(one.tunnel), one.gather(KERNEL)) for one in self.gateways))

    def diagnosis(self) -> Diagnosis:
        before = {one.site.name: one.gather(KERNEL, SURROUNDINGS) for one in self.gateways}
        with contextlib.ExitStack() as listening:
            captures = {one.site.name: listening.enter_context(one.capture()) for one in self.gateways}
            self.first.bring_up()
            probes = self._probed(before)
            captured = {name: capture.as_data()[0] for name, capture in captures.items()}
        after = {one.site.name: one.gather() for one in self.gateways}
        ends = [
            End(name, expectation(one.tunnel), after[name], before[name], probes[name], captured[name])
            for one, name in ((one, one.site.name) for one in self.gateways)
        ]
        return diagnose(Pair(*ends))

    def _probed(self, before: dict[str, dict]) -> dict[str, list[dict]]:
        """Both gateways ping at once, as Ansible has them do it."""
        with ThreadPoolExecutor(len(self.gateways)) as threads:
            found = threads.map(lambda one: one.probe(self._probes(one, before)), self.gateways)
            return {gateway.site.name: probes for gateway, probes in zip(self.gateways, found)}

    def _probes(self, gateway: Gateway, before: dict[str, dict]) -> list[dict]:
        peer = self.second if gateway is self.first else self.first
        inner = [before[one.site.name].get("inner", {}) for one in (gateway, peer)]
        return probes_between(gateway.tunnel, *inner)


@contextlib.contextmanager
def _clock_ahead(seconds: int) -> Iterator[None]:
    """The machine's clock as a gateway has it whose own is ahead: all namespaces share one."""
    _set_clock(seconds)
    try:
        yield
    finally:
        _set_clock(-seconds)


def _set_clock(ahead: int) -> None:
    if ahead:
        time.clock_settime(time.CLOCK_REALTIME, time.time() + ahead)


def _legacy(directory: Path) -> Path:
    """A directory in which iptables and ip6tables are the legacy ones."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("iptables", "iptables-restore", "ip6tables", "ip6tables-restore"):
        link = programs / name
        if not link.is_symlink():
            link.symlink_to("/usr/sbin/" + name.replace("tables", "tables-legacy"))
    return programs


def modprobe(*modules: str) -> None:
    run("{} -a {}".format(Path("/proc/sys/kernel/modprobe").read_text().strip(), " ".join(modules)))
