"""What the deployment left on each gateway: service, files, configuration."""

from __future__ import annotations

import hashlib

import pytest

APPLICATION = "/usr/local/lib/tanuki-ipsec/ike.pyz"
CONFIGURATION = "/etc/racoon2/racoon2.conf"


def test_daemon_runs_and_starts_at_boot(gateway):
    service = gateway.service("tanuki-iked")
    assert service.is_running
    assert service.is_enabled


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (APPLICATION, 0o644),
        (CONFIGURATION, 0o600),
        ("/etc/racoon2/psk", 0o700),
        ("/etc/systemd/system/tanuki-iked.service", 0o644),
        ("/etc/systemd/system/tanuki-ipsec-gateway.service", 0o644),
        ("/etc/systemd/system/nftables.service.d/tanuki-ipsec.conf", 0o644),
        ("/usr/local/lib/tanuki-ipsec/gateway", 0o755),
    ],
)
def test_files_belong_to_root(gateway, path, mode):
    file = gateway.file(path)
    assert (file.user, file.group, oct(file.mode)) == ("root", "root", oct(mode))


def test_key_is_the_controller_s_to_the_byte(gateway, peer, key):
    file = gateway.file(f"/etc/racoon2/psk/{peer.name}.psk")
    assert (file.user, file.group, oct(file.mode), file.size) == ("root", "root", oct(0o600), len(key))
    assert file.sha256sum == hashlib.sha256(key).hexdigest()
    assert not key.endswith(b"\n")


def test_configuration_passes_its_check(gateway):
    result = gateway.run(f"/usr/bin/python3 {APPLICATION} check -f {CONFIGURATION}")
    assert result.rc == 0
    assert all(" warning: " in line for line in result.stderr.splitlines()), result.stderr


def test_the_key_is_in_no_log(gateway, key):
    assert key.decode() not in gateway.check_output("journalctl --no-pager --boot")


def test_forwarding_is_on(gateway):
    assert gateway.sysctl("net.ipv4.ip_forward") == 1
