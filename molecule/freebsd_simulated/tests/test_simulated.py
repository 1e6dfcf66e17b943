"""The simulated FreeBSD gateway and its tunnel: files, services, rc.conf, and pings in ESP between the LANs."""

from __future__ import annotations

import pytest
import testinfra

from lab.internet.capture import count_kinds, read_capture
from lab.lab import ROOT, Lab
from lab.topology import OSAKA, TOKYO
from lab.wire import ping_command


@pytest.fixture(scope="module")
def lab():
    return Lab(ROOT / "build/molecule/lab")


@pytest.fixture(scope="module")
def tokyo(lab):
    return testinfra.get_host("ssh://tokyo", ssh_config=str(lab.ssh_config_path))


@pytest.mark.parametrize(("here", "there"), [(TOKYO, OSAKA), (OSAKA, TOKYO)], ids=["tokyo", "osaka"])
def test_lan_clients_reach_each_other_in_esp(lab, here, there):
    start = lab.internet.capture_size
    result = lab.run("{}-client".format(here.name), ping_command(there, count=4))
    assert "4 received" in result.stdout, result.stdout
    assert count_kinds(read_capture(lab.internet.capture_path, start))["esp"] >= 8


@pytest.mark.parametrize("name", ["racoon2.conf", "spmd.pwd", "psk/osaka.psk"])
def test_secrets_belong_to_root_alone(tokyo, name):
    file = tokyo.file("/usr/local/etc/racoon2/" + name)
    assert (file.user, file.mode) == ("root", 0o600)


def test_the_key_is_the_controllers_byte_for_byte(tokyo):
    (kept,) = (ROOT / "build/molecule/psk").glob("*.psk")
    assert tokyo.file("/usr/local/etc/racoon2/psk/osaka.psk").content == kept.read_bytes()


def test_rc_conf_starts_all_of_it_at_boot(tokyo):
    enabled = tokyo.file("/etc/rc.conf").content_string.splitlines()
    assert {'gateway_enable="YES"', 'spmd_enable="YES"', 'iked_enable="YES"'} <= set(enabled)


def test_spmd_was_there_before_iked(tokyo):
    started = [tokyo.file("/var/run/{}.pid".format(name)).mtime for name in ("spmd", "iked")]
    assert started == sorted(started)


def test_the_sas_were_made_by_pf_key(tokyo):
    """Its request ids are below 16384, as PF_KEY has them; XFRM's daemon takes others."""
    states = tokyo.check_output("ip xfrm state")
    reqids = {int(line.split("reqid ")[1].split("(")[0].split()[0]) for line in states.splitlines() if "reqid " in line}
    assert reqids and all(0x1000 <= reqid < 0x4000 for reqid in reqids)
