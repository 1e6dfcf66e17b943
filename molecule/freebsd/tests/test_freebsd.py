"""The gateway on FreeBSD and its tunnel, whichever implementation runs."""

from __future__ import annotations

import os

import pytest
import testinfra

from lab.internet.capture import count_kinds, read_capture
from lab.lab import ROOT, Lab
from lab.topology import OSAKA, TOKYO
from lab.wire import ping_command

pytestmark = pytest.mark.skipif(not os.environ.get("FREEBSD_IMAGE"), reason="FREEBSD_IMAGE names no image")

PINGS = {
    "tokyo": ("tokyo", f"jexec client ping -c 4 {OSAKA.client.ip}"),
    "osaka": ("osaka-client", ping_command(TOKYO, count=4)),
}


@pytest.fixture(scope="module")
def lab():
    return Lab(ROOT / "build/molecule/lab")


@pytest.fixture(scope="module")
def tokyo(lab):
    return testinfra.get_host("ssh://tokyo", ssh_config=str(lab.ssh_config_path))


@pytest.mark.parametrize("here", PINGS)
def test_lan_clients_reach_each_other_in_esp_only(lab, here):
    host, command = PINGS[here]
    lab.run(host, command)  # the first packets may wait for the SAs
    start = lab.internet.capture_size
    result = lab.run(host, command)
    assert "4 received" in result.stdout or "4 packets received" in result.stdout, result.stdout
    kinds = count_kinds(read_capture(lab.internet.capture_path, start))
    assert kinds["esp"] >= 8 and kinds["cleartext"] == 0


@pytest.mark.parametrize("name", ["racoon2.conf", "psk/osaka.psk"])
def test_secrets_belong_to_root_alone(tokyo, name):
    file = tokyo.file("/usr/local/etc/racoon2/" + name)
    assert (file.user, file.mode) == ("root", 0o600)


def test_one_implementation_runs_and_starts_at_boot(tokyo):
    runs = {name for name in ("tanuki_iked", "spmd", "iked") if tokyo.run(f"service {name} onestatus").rc == 0}
    enabled = {
        name for name in ("tanuki_iked", "spmd", "iked") if tokyo.run(f"sysrc -n {name}_enable").stdout == "YES\n"
    }
    assert runs == enabled
    assert runs in ({"tanuki_iked"}, {"spmd", "iked"})
