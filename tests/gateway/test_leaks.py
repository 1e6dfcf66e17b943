"""ipsec_leak_assert on a gateway without IPsec: everything between the sites is a leak, and nothing else is."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_leak_assert

from tests.gateway.conftest import ADDRESS, FAR, WORLD
from tests.namespaces import inside

TUNNEL = {
    "name": "osaka",
    "local": ADDRESS,
    "peer": "210.22.22.22",
    "networks": [{"local": "192.168.10.0/24", "peer": "192.168.20.0/24"}],
    "encryption": ["aes256_gcm"],
}


def ping(target):
    networks = {"tunnel": "osaka", "network": "192.168.10.0/24", "far": "192.168.20.0/24"}
    return {**networks, "source": "192.168.10.1", "target": target}


@pytest.fixture()
def watch(gateway, capsys):
    """Runs the module on the gateway; what it returns."""

    def run(**options):
        arguments = {"tunnels": [TUNNEL], "seconds": 0.5, "control": "/nowhere", **options}
        with inside("gateway"), patch_module_args(arguments), pytest.raises(SystemExit):
            ipsec_leak_assert.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_a_packet_in_clear_fails(watch):
    found = watch(probes=[ping(FAR), ping(WORLD)])
    assert found["failed"] and found["devices"] == ["wan"]
    assert [text.partition(" packets ")[2] for text in found["leaks"]] == ["icmp 192.168.10.1 -> " + FAR]
    assert found["msg"].startswith("left in clear by wan: ")


def test_silence_in_which_nothing_was_said_proves_nothing(watch):
    found = watch(probes=[ping(WORLD)])
    assert not found.get("failed") and not found["changed"] and found["leaks"] == [] and found["esp"] == 0
    assert "silence proves nothing" in str(found["warnings"])
    assert "silence proves nothing" in watch(strict=True)["msg"]


def test_what_was_to_be_done_meanwhile_and_failed_fails(watch):
    found = watch(rekey=True)
    assert found["failed"] and found["events"][0].startswith("rekey osaka: ") and found["events"][0] in found["msg"]


def test_check_mode_does_nothing_meanwhile(watch):
    found = watch(rekey=True, restart=True, _ansible_check_mode=True)
    assert not found.get("failed") and not found["changed"] and found["events"] == []


def test_a_peer_that_no_device_leads_to_can_not_be_watched(watch, gateway):
    gateway.run("ip route del default")
    assert watch()["msg"].startswith("can't watch: osaka: no way to 210.22.22.22 to be watched: ")


def test_a_device_that_is_not_there_can_not_be_watched(watch):
    assert "can't watch: " in watch(devices=["ppp7"])["msg"]
