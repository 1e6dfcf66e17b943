"""The simulated FreeBSD gateway and its tunnel: files, services, rc.conf, and pings in ESP between the LANs."""

from __future__ import annotations

import pytest
import testinfra

from lab.changes import read_run
from lab.internet.capture import count_kinds, read_capture
from lab.lab import ROOT, Lab
from lab.setkey import read_associations, read_directions
from lab.topology import OSAKA, TOKYO
from lab.wire import ping_command


@pytest.fixture(scope="module")
def lab():
    return Lab(ROOT / "build/molecule/lab")


@pytest.fixture(scope="module")
def tokyo(lab):
    return testinfra.get_host("ssh://tokyo", ssh_config=str(lab.ssh_config_path))


def found(tokyo, form, path):
    """What stat says: testinfra takes the machine for FreeBSD, and would ask its stat as FreeBSD's is asked."""
    return tokyo.check_output("stat -c %s %s", form, path)


@pytest.mark.parametrize(("here", "there"), [(TOKYO, OSAKA), (OSAKA, TOKYO)], ids=["tokyo", "osaka"])
def test_lan_clients_reach_each_other_in_esp(lab, here, there):
    start = lab.internet.capture_size
    ping = ping_command(there, count=4).replace("ping", "/usr/bin/ping", 1)  # the first in the path is dressed
    result = lab.run("{}-client".format(here.name), ping)
    assert "4 received" in result.stdout, result.stdout
    assert count_kinds(read_capture(lab.internet.capture_path, start))["esp"] >= 8


@pytest.mark.parametrize("name", ["racoon2.conf", "spmd.pwd", "psk/osaka.psk"])
def test_secrets_belong_to_root_alone(tokyo, name):
    assert found(tokyo, "%U %a", "/usr/local/etc/racoon2/" + name) == "root 600"


def test_the_key_is_the_controllers_byte_for_byte(tokyo):
    (kept,) = (ROOT / "build/molecule/psk").glob("*.psk")
    assert tokyo.file("/usr/local/etc/racoon2/psk/osaka.psk").content == kept.read_bytes()


def test_rc_conf_starts_all_of_it_at_boot(tokyo):
    enabled = tokyo.file("/etc/rc.conf").content_string.splitlines()
    assert {'gateway_enable="YES"', 'spmd_enable="YES"', 'iked_enable="YES"'} <= set(enabled)


def test_spmd_was_there_before_iked(tokyo):
    spmd, iked = (float(found(tokyo, "%.Y", "/var/run/{}.pid".format(name))) for name in ("spmd", "iked"))
    assert spmd <= iked


def test_each_role_picked_itself():
    deployed = {change["host"]: change["task"] for change in read_run("converge").changes}
    assert deployed == {
        "tokyo": "tanuki.ipsec.racoon2_freebsd : Deploy this site's tunnels",
        "osaka": "tanuki.ipsec.xfrm_linux : Deploy this site's tunnels",
    }


def test_both_kernels_hold_the_same_associations(lab, tokyo):
    """tokyo's by the dressed setkey, which dumps them by PF_KEY."""
    here = read_associations(tokyo.check_output("setkey -D"))
    there = read_associations(lab.run("osaka", "python3 /usr/local/lib/tanuki-ipsec/ike.pyz setkey -D").stdout)
    mature = [{sa.spi for sa in found if sa.state == "mature"} for found in (here, there)]
    assert mature[0] and mature[0] == mature[1]
    assert read_directions(tokyo.check_output("setkey -DP")) == ["fwd", "in", "out"]


def test_the_sas_were_made_by_pf_key(tokyo):
    """Its request ids are below 16384, as PF_KEY has them; XFRM's daemon takes others."""
    states = tokyo.check_output("ip xfrm state")
    reqids = {int(line.split("reqid ")[1].split("(")[0].split()[0]) for line in states.splitlines() if "reqid " in line}
    assert reqids and all(0x1000 <= reqid < 0x4000 for reqid in reqids)
