# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways in network namespaces of a real kernel, joined by a cable.

192.168.10.1 ─ tokyo (210.11.11.11) ═══ (210.22.22.22) osaka ─ 192.168.20.1
fd00:10::1           2001:db8::11       2001:db8::22           fd00:20::1
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from ike.kernel.base import KernelError
from ike.kernel.xfrm import XfrmKernel
from tests.kernel.samples import tunnel_sa
from tests.namespaces import inside, run

STRICT = bool(os.environ.get("KERNEL_TESTS_STRICT"))


class Namespace:
    """A network namespace, which exists already or not yet."""

    def __init__(self, name: str) -> None:
        self.name = "tanuki-test-" + name

    def run(self, command: str) -> str:
        return run("ip", "netns", "exec", self.name, *command.split())

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """What is opened meanwhile (a socket, a file of /proc/net) is this namespace's."""
        return inside(self.name)


class Site(Namespace):
    """A gateway: a network namespace with its kernel."""

    def __init__(self, name, address, peer, address6, peer6, lan, far, lan6, far6):
        super().__init__(name)
        self.address, self.peer, self.address6, self.peer6 = address, peer, address6, peer6
        self.lan, self.far, self.lan6, self.far6 = lan, far, lan6, far6
        self.kernel = None

    def configure(self):
        with self.inside():
            self.kernel = XfrmKernel()
        for command in (
            "ip link set lo up",
            "ip link set cable up",
            "ip address add {}/32 peer {}/32 dev cable".format(self.address, self.peer),
            "ip -6 address add {}/64 dev cable nodad".format(self.address6),
            "ip address add {}/24 dev lo".format(self.lan),
            "ip -6 address add {}/64 dev lo nodad".format(self.lan6),
            "ip route add {}/32 via {} src {}".format(self.far, self.peer, self.lan),
            "ip -6 route add {}/128 via {} src {}".format(self.far6, self.peer6, self.lan6),
        ):
            self.run(command)

    def ping(self, target: str, count: int = 3, source: str = "") -> bool:
        """Whether every ping was answered. Without ``source``, ping finds its own by a UDP socket to port 1025."""
        command = ["ip", "netns", "exec", self.name, "ping", "-q", "-i", "0.05", "-W", "1", "-c", str(count)]
        command += ["-I", source] if source else []
        return subprocess.run([*command, target], check=False, stdout=subprocess.DEVNULL).returncode == 0


def unavailable(reason: str) -> None:
    """Skip, or fail where the machine was booted for these tests."""
    if STRICT:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cabled():
    if os.geteuid() != 0:
        unavailable("network namespaces need root; tests/kernel/run needs none")
    tokyo = Site(
        "tokyo", "210.11.11.11", "210.22.22.22", "2001:db8::11", "2001:db8::22",
        "192.168.10.1", "192.168.20.1", "fd00:10::1", "fd00:20::1",
    )  # fmt: skip
    osaka = Site(
        "osaka", "210.22.22.22", "210.11.11.11", "2001:db8::22", "2001:db8::11",
        "192.168.20.1", "192.168.10.1", "fd00:20::1", "fd00:10::1",
    )  # fmt: skip
    with contextlib.ExitStack() as cleanup:
        for site in (tokyo, osaka):
            run("ip", "netns", "add", site.name)
            cleanup.callback(run, "ip", "netns", "delete", site.name)
        run(*"ip link add cable netns {} type veth peer name cable netns {}".format(tokyo.name, osaka.name).split())
        for site in (tokyo, osaka):
            site.configure()
            cleanup.callback(site.kernel.close)
        yield tokyo, osaka


@pytest.fixture(scope="module")
def no_module_loading():
    """PF_KEY asks for every algorithm that the kernel lacks at every SA: a process for each would take minutes."""
    if not STRICT:
        yield  # this machine is not ours
        return
    loader = Path("/proc/sys/kernel/modprobe")
    path = loader.read_text()
    loader.write_text("\n")
    yield
    loader.write_text(path)


@pytest.fixture()
def sites(cabled):
    """(tokyo, osaka) with empty SPD and SAD."""
    yield cabled
    for site in cabled:
        site.kernel.flush_policies()
        site.kernel.flush_sas()
        while site.kernel.read_events():
            pass


@pytest.fixture()
def gateways(sites):
    """``sites`` of a kernel that has ESP."""
    tokyo, _osaka = sites
    try:
        tokyo.kernel.flush_sas()
        _probe_esp(tokyo)
    except KernelError as error:
        unavailable("this kernel has no ESP ({}): use tests/kernel/run".format(error))
    return sites


def _probe_esp(site: Site) -> None:
    association = tunnel_sa(site.address, site.peer, 0x1000)
    site.kernel.add_sa(association)
    site.kernel.delete_sa(association.id)
