"""What modules return of a kernel and a daemon: plain data, and a reason where there's no answer."""

from __future__ import annotations

import ipaddress
import json

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence import snapshot
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.daemon import Daemon, DaemonError, reasons
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.kernel import policy_as_data, sa_as_data
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.base import KernelError
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.policy.sa import (
    ESP,
    Encapsulation,
    Policy,
    PolicyState,
    SaState,
    Template,
    TrafficSelector,
)

from tests.unit.kernel.test_setkey import FREEBSD_SAD, FREEBSD_SPD
from tests.unit.plugins.simulated import SimulatedHost

TOKYO, OSAKA = ipaddress.ip_address("210.11.11.11"), ipaddress.ip_address("210.22.22.22")
SELECTOR = TrafficSelector(ipaddress.ip_network("192.168.10.0/24"), ipaddress.ip_network("192.168.20.0/24"), 6, 0, 80)
NOW = 1_000_000.0


@pytest.fixture
def daemon(tmp_path):
    host = SimulatedHost(tmp_path)
    yield Daemon(str(host.target.system.control)), host.control
    host.close()


def test_an_sa_is_plain_data():
    sa = SaState(
        TOKYO,
        OSAKA,
        ESP,
        0xF00A512,
        "tunnel",
        "mature",
        selector=SELECTOR,
        encapsulation=Encapsulation(4500, 1024),
        added=999_900,
    )
    data = json.loads(json.dumps(sa_as_data(sa, NOW)))
    assert (data["spi"], data["source"], data["destination"]) == ("0x0f00a512", "210.11.11.11", "210.22.22.22")
    assert (data["protocol"], data["age"], data["used"]) == ("esp", 100, None)
    assert data["encapsulation"] == {"source_port": 4500, "destination_port": 1024}
    assert data["selector"]["destination_port"] == 80


def test_a_policy_is_plain_data():
    policy = Policy(SELECTOR, "out", "ipsec", (Template(ESP, "tunnel", TOKYO, OSAKA, 7),), 2048)
    data = json.loads(json.dumps(policy_as_data(PolicyState(policy, 9, 999_990, 0), NOW)))
    assert (data["index"], data["direction"], data["priority"], data["age"]) == (9, "out", 2048, 10)
    assert data["templates"] == [
        {
            "protocol": "esp",
            "mode": "tunnel",
            "source": "210.11.11.11",
            "destination": "210.22.22.22",
            "reqid": 7,
            "level": "require",
        }
    ]


@pytest.fixture
def mute(monkeypatch):
    """A FreeBSD whose kernel isn't understood."""

    def refuse():
        raise KernelError("dump the SAD", 0, "an answer that isn't PF_KEY's")

    monkeypatch.setattr(snapshot, "open_kernel", refuse)
    monkeypatch.setattr("sys.platform", "freebsd14")


def test_setkey_is_asked_where_the_kernel_can_t_be(mute):
    """What it says has the shape that the kernel's own answer has, without the keys that it prints."""
    said = {("setkey", "-D"): FREEBSD_SAD, ("setkey", "-DP"): FREEBSD_SPD}
    unseen = []
    data = json.loads(json.dumps(snapshot.databases(lambda words: (0, said[tuple(words)], ""), unseen)))
    first, second = data["sas"]
    assert first.keys() == second.keys() == sa_as_data(SaState(TOKYO, OSAKA, ESP, 1, "tunnel", "mature"), NOW).keys()
    assert (first["spi"], first["encryption"], first["replay_window"]) == ("0x04953eab", "aes_gcm", 32)
    assert (second["protocol"], second["integrity"]) == ("ah", "hmac_sha2_256")
    assert [policy["direction"] for policy in data["policies"]] == ["out", "in", "out"]
    assert data["directions"] == ["out", "in"] and unseen == []
    assert "fae7adb0" not in json.dumps(data)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((127, "", "not installed"), "setkey: not installed"),
        ((0, "210.22.22.22 210.11.11.11\n\tE: aes-cbc fae7adb0\n", ""), "setkey: line 1: no line like"),
    ],
)
def test_neither_the_kernel_nor_setkey_answers(mute, answer, reason):
    unseen = []
    assert snapshot.databases(lambda words: answer, unseen) == {"sas": [], "policies": [], "directions": []}
    (text,) = unseen
    assert "an answer that isn't PF_KEY's; " + reason in text and "fae7adb0" not in text


def test_a_daemon_says_its_status_and_the_reasons(daemon):
    asked, control = daemon
    tunnels = [{"policy": "osaka", "reason": "no answer"}, {"policy": "osaka", "reason": "no answer"}, {"policy": "x"}]
    control.answer = {"ok": True, "status": {"schema": 1, "tunnels": tunnels}}
    assert reasons(asked.status(), "osaka") == ["no answer"]
    assert reasons(asked.status(), "x") == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"ok": True, "status": {"schema": 2}}, "schema 2"),
        ({"ok": False, "error": "no such command: status"}, "no such command"),
    ],
)
def test_an_answer_of_another_kind_is_refused(daemon, answer, message):
    asked, control = daemon
    control.answer = answer
    with pytest.raises(DaemonError, match=message):
        asked.status()


def test_a_failed_tunnel_has_the_daemons_reason(daemon):
    asked, control = daemon
    control.answer = {"ok": False, "error": "osaka: no proposal chosen"}
    with pytest.raises(DaemonError, match="osaka: no proposal chosen"):
        asked.bring_up("osaka", 1)


def test_no_daemon_is_said_plainly(tmp_path):
    with pytest.raises(DaemonError, match=r"no answer on .*control\.sock"):
        Daemon(str(tmp_path / "control.sock")).status()
