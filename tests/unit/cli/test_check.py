"""``ike check`` as an operator runs it: exit codes, where messages go, and what is printed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "tests" / "unit" / "config" / "samples"


def ike_check(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "ike", "check", *map(str, arguments)],
        env={**os.environ, "SSH_CONNECTION": "", "PYTHONPATH": str(ROOT / "plugins" / "module_utils"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def site(tmp_path):
    """A configuration with its key, both clean."""
    key = tmp_path / "site_b.psk"
    key.write_bytes(b"k3Jf9-QpX2vT7zLm8Wc4Rb6Nh1Ys5Dg0")
    key.chmod(0o600)
    path = tmp_path / "racoon2.conf"
    path.write_text((SAMPLES / "ikev2_aes.conf").read_text().replace("/usr/local/etc/racoon2/psk", str(tmp_path)))
    return path


def place(path, text):
    """Where a text stands first, as messages say it."""
    before = path.read_text().partition(text)[0]
    return "{}:{}:{}".format(path, before.count("\n") + 1, len(before) - before.rfind("\n"))


@pytest.mark.parametrize("dialect", ["racoon2", "tanuki"])
def test_clean(site, dialect):
    result = ike_check("-f", site, "--dialect", dialect)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_warnings_are_no_failure(site):
    site.write_text(site.read_text().replace("modp2048", "modp1024"))
    result = ike_check("-f", site)
    assert result.returncode == 0
    assert result.stderr.startswith("{}: warning: modp1024 is weak (".format(place(site, "modp1024")))


def test_every_error_on_a_line_of_its_own(site):
    site.write_text(site.read_text().replace("auto_ipsec", "auto_IPsec").replace("need_pfs on", "need_pfs maybe"))
    result = ike_check("-f", site)
    assert result.returncode == 1
    mistakes = [place(site, "maybe"), place(site, "auto_IPsec")]
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == mistakes


def test_unreadable(tmp_path):
    result = ike_check("-f", tmp_path / "nothing.conf")
    assert (result.returncode, result.stderr) == (2, "{}/nothing.conf: No such file or directory\n".format(tmp_path))


def test_control_characters_do_not_reach_the_terminal(site):
    site.write_bytes(site.read_bytes().replace(b"remote_index site_b", b'remote_index "\x1b[2J\xff"'))
    result = ike_check("-f", site)
    assert result.returncode == 1
    assert "\x1b" not in result.stderr
    assert "\\x1b[2J" in result.stderr


def test_spd(site):
    lines = ike_check("-f", site, "--spd").stdout.splitlines()
    assert lines[0] == "192.168.10.0/24[any] 192.168.20.0/24[any] any"
    assert "\tesp/tunnel/210.11.11.11-210.22.22.22/require" in lines
    directions = [line.split()[0] for line in lines if line.endswith(" ipsec")]
    assert directions == ["out", "in", "fwd"]


def test_spd_without_addresses(site):
    site.write_text(site.read_text().replace('my_sa_ipaddr "${A_GW}"', "my_sa_ipaddr MY_IP"))
    result = ike_check("-f", site, "--spd")
    assert result.returncode == 0
    assert "\tesp/tunnel/0.0.0.0-210.22.22.22/require" in result.stdout.splitlines()
    assert result.stderr.splitlines() == [
        "selector site_b_out: held back until its addresses are known",
        "selector site_b_in: held back until its addresses are known",
    ]


def test_pair(site, tmp_path):
    other = tmp_path / "b.conf"
    text = site.read_text()
    for one, two in (("210.11.11.11", "210.22.22.22"), ("192.168.10.0", "192.168.20.0"), ("gw-a", "gw-b")):
        text = text.replace(one, "@").replace(two, one).replace("@", two)
    other.write_text(text)
    result = ike_check("-f", site, "--pair", other)
    assert result.returncode == 0
    assert all(line.startswith("agree ") for line in result.stdout.splitlines())
    other.write_text(text.replace("modp2048", "modp3072"))
    result = ike_check("-f", site, "--pair", other)
    assert result.returncode == 1
    assert "differ   ikev2 kmp_dh_group: modp2048 / modp3072: nothing in common" in result.stdout.splitlines()


def test_management_address(site):
    site.write_text(site.read_text().replace('A_NET     "192.168.10.0/24"', 'A_NET     "210.11.11.0/24"'))
    assert ike_check("-f", site, "--management", "192.168.20.7").returncode == 1
    assert ike_check("-f", site, "--management", "203.0.113.7").returncode == 0
    assert ike_check("-f", site, "--management", "elsewhere").returncode == 2


def test_own_session(site):
    site.write_text(site.read_text().replace('A_NET     "192.168.10.0/24"', 'A_NET     "210.11.11.0/24"'))
    result = ike_check("-f", site, SSH_CONNECTION="192.168.20.7 40000 210.11.11.11 22")
    assert "captures your own connection from 192.168.20.7" in result.stderr


def test_key_files_may_be_elsewhere(site):
    (site.parent / "site_b.psk").unlink()
    assert ike_check("-f", site).returncode == 1
    assert ike_check("-f", site, "--no-files").returncode == 0
