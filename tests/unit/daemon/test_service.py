"""The whole daemon as its own process, twice, over UDP on loopback; only the kernel is simulated."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PORT = 5500 + os.getpid() % 4000

CONFIGURATION = """
interface {{ ike {{ {local} port {port}; }}; spmd {{ unix "/run/spmif"; }}; spmd_password "/pwd"; }};
remote peer {{
  acceptable_kmp {{ ikev1; }};
  ikev1 {{ my_id ipaddr {local}; peers_id ipaddr {peer}; peers_ipaddr {peer} port {port};
    kmp_enc_alg {{ aes128_cbc; }}; kmp_hash_alg {{ sha2_256; }}; kmp_dh_group {{ modp2048; }};
    kmp_auth_method {{ psk; }}; pre_shared_key "{psk}"; nat_traversal off; max_retry_to_send 2; }};
}};
selector net_out {{ direction outbound; src {near}; dst {far}; policy_index net; }};
selector net_in {{ direction inbound; src {far}; dst {near}; policy_index net; }};
policy net {{ action auto_ipsec; remote_index peer; ipsec_mode tunnel; ipsec_index {{ i; }}; ipsec_level require;
  my_sa_ipaddr {local}; peers_sa_ipaddr {peer}; }};
ipsec i {{ ipsec_sa_lifetime_time 1 hour; sa_index s; }};
sa s {{ sa_protocol esp; esp_enc_alg {{ aes128_cbc; }}; esp_auth_alg {{ hmac_sha2_256; }}; }};
"""
ENDS = {
    "tokyo": {"local": "127.0.0.11", "peer": "127.0.0.22", "near": "10.1.0.0/24", "far": "10.2.0.0/24"},
    "osaka": {"local": "127.0.0.22", "peer": "127.0.0.11", "near": "10.2.0.0/24", "far": "10.1.0.0/24"},
}


def _interruptible() -> None:
    """A shell starts what it runs in the background with SIGINT ignored, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class End:
    """One daemon."""

    def __init__(self, directory: Path, name: str, key: bytes = b"correct horse battery staple") -> None:
        self.directory = directory / name
        self.directory.mkdir()
        self.address = ENDS[name]["local"]
        self.psk = self.directory / "psk"
        self.psk.write_bytes(key)
        self.psk.chmod(0o600)
        self.file = self.directory / "racoon2.conf"
        self.write(CONFIGURATION.format(psk=self.psk, port=PORT, **ENDS[name]))
        self.socket = self.directory / "control.sock"
        self.log = self.directory / "log"
        self.process: subprocess.Popen | None = None

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def ike(self, *arguments: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins/module_utils")}
        command = [sys.executable, "-m", "ike", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.ike("ctl", "--control", str(self.socket), *arguments)

    def watch(self, *arguments: str) -> subprocess.Popen:
        """ctl monitor, once it watches."""
        before = self.watching()
        command = [sys.executable, "-m", "ike", "ctl", "--control", str(self.socket), "monitor", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins/module_utils")}
        watcher = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_interruptible,  # noqa: PLW1509 (no thread runs yet)
        )
        end = time.monotonic() + 60
        while self.watching() == before and time.monotonic() < end:
            time.sleep(0.02)
        return watcher

    def watching(self) -> int:
        return self.status()["watchers"]

    def start(self) -> End:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins/module_utils")}
        command = [sys.executable, "-m", "ike", "iked", "-F", "-f", str(self.file), "--kernel", "none"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, "--control", str(self.socket)], env=environment, stderr=log)
        self.wait_for("ready:")
        return self

    def wait_for(self, text: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in self.log.read_text():
                return
            time.sleep(0.02)
        raise AssertionError("{!r} is not in the log:\n{}".format(text, self.log.read_text()))

    def status(self) -> dict:
        return json.loads(self.ctl("status", "--json").stdout)

    def stop(self) -> int:
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def ends(tmp_path):
    pair = [End(tmp_path, name) for name in ENDS]
    yield pair
    for end in pair:
        end.stop()


def test_a_tunnel_between_two_processes_from_up_to_the_end(ends):
    tokyo, osaka = (end.start() for end in ends)
    up = tokyo.ctl("up", "net_out")
    assert (up.returncode, up.stderr) == (0, "")
    (child,) = tokyo.status()["tunnels"][0]["child_sas"]
    (mirror,) = osaka.status()["tunnels"][0]["child_sas"]
    assert (child["spi_in"], child["spi_out"]) == (mirror["spi_out"], mirror["spi_in"])
    assert "net_out" in tokyo.ctl("status").stdout
    assert 'ipsec_tunnel_up{tunnel="net_out",remote="peer"} 1' in tokyo.ctl("status", "--prometheus").stdout
    assert tokyo.stop() == 0
    osaka.wait_for("deleted by the peer")
    assert tokyo.ctl("status").returncode == 2


def test_a_wrong_key_is_the_reason_that_up_returns(tmp_path):
    tokyo = End(tmp_path, "tokyo").start()
    osaka = End(tmp_path, "osaka", key=b"correct horse battery staple\n").start()
    try:
        up = tokyo.ctl("up", "net", "--wait", "30")
        assert up.returncode == 1
        assert "probably the pre-shared keys differ" in up.stderr
        osaka.wait_for("message can't be decrypted: probably the pre-shared keys differ")
        assert "Traceback" not in osaka.log.read_text() + tokyo.log.read_text()
    finally:
        tokyo.stop()
        osaka.stop()


def test_a_broken_file_is_refused_with_line_and_column_and_the_running_configuration_stays(ends):
    tokyo = ends[0].start()
    tokyo.write(tokyo.file.read_text() + "policy broken { action auto_IPsec; };\n")
    reload = tokyo.ctl("reload")
    assert reload.returncode == 1
    assert "{}:".format(tokyo.file) in reload.stderr
    tokyo.process.send_signal(signal.SIGHUP)
    tokyo.wait_for("the running configuration stays")
    assert tokyo.status()["tunnels"][0]["name"] == "net_out"
    other = tokyo.ike("iked", "-F", "-f", str(tokyo.file), "--kernel", "none", "--control", str(tokyo.socket) + "2")
    assert other.returncode == 1
    assert "{}:".format(tokyo.file) in other.stderr


def test_reload_applies_the_difference_and_spares_the_rest(ends):
    tokyo, osaka = (end.start() for end in ends)
    tokyo.ctl("up", "net")
    before = tokyo.status()["tunnels"][0]["child_sas"]
    extra = (
        tokyo.file.read_text().replace("net_out", "more_out").replace("net_in", "more_in").replace(".0.0/24", ".9.0/24")
    )
    selectors = extra[extra.index("selector") : extra.index("policy net {")]
    tokyo.write(selectors + tokyo.file.read_text())
    dry = tokyo.ctl("reload", "--dry-run")
    assert "added: more_out" in dry.stdout
    assert len(tokyo.status()["tunnels"]) == 1
    assert "kept: net_out" in tokyo.ctl("reload").stdout
    tunnels = {tunnel["name"]: tunnel for tunnel in tokyo.status()["tunnels"]}
    assert set(tunnels) == {"net_out", "more_out"}
    assert [child["spi_in"] for child in tunnels["net_out"]["child_sas"]] == [child["spi_in"] for child in before]
    assert osaka.status()["tunnels"][0]["state"] == "up"


def test_what_happens_is_told_as_it_happens(ends):
    tokyo, _osaka = (end.start() for end in ends)
    people, programs = tokyo.watch(), tokyo.watch("--json")
    tokyo.ctl("up", "net")
    event = json.loads(programs.stdout.readline())
    assert (event["event"], event["remote"], event["peer"]) == ("ike_sa_up", "peer", "127.0.0.22[{}]".format(PORT))
    assert json.loads(programs.stdout.readline())["tunnel"] == "net_out"
    assert "ike_sa_up" in people.stdout.readline()
    assert "net_out" in people.stdout.readline()
    programs.send_signal(signal.SIGINT)
    assert programs.wait(20) == 0
    tokyo.stop()
    assert people.wait(20) == 2
    assert "the daemon has ended" in people.stderr.read()


def test_the_last_packets_of_a_peer_are_shown_decoded_and_without_the_key(ends):
    tokyo, osaka = (end.start() for end in ends)
    tokyo.ctl("up", "net")
    shown = tokyo.ctl("trace", "peer").stdout
    assert "IKEv1 main mode" in shown
    assert "ID ipaddr 127.0.0.22" in shown
    assert "correct horse" not in shown
    assert len(json.loads(osaka.ctl("trace", "127.0.0.11", "--json").stdout)) == 9
    assert "no packets of 192.0.2.9 are known" in tokyo.ctl("trace", "192.0.2.9").stdout
    refused = tokyo.ctl("trace", "nobody")
    assert (refused.returncode, "nobody" in refused.stderr) == (1, True)


def test_restart_starts_the_program_anew_in_the_same_process(ends):
    tokyo, osaka = (end.start() for end in ends)
    tokyo.ctl("up", "net")
    before = osaka.status()["tunnels"][0]["child_sas"]
    assert tokyo.ctl("restart").returncode == 0
    end = time.monotonic() + 60
    while tokyo.log.read_text().count("ready:") < 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert tokyo.log.read_text().count("ready:") == 2
    assert tokyo.process.poll() is None
    assert tokyo.status()["tunnels"][0]["name"] == "net_out"
    assert osaka.status()["tunnels"][0]["child_sas"][0]["spi_in"] == before[0]["spi_in"]


def test_restart_with_a_broken_file_is_refused(ends):
    tokyo = ends[0].start()
    tokyo.write("policy")
    answer = tokyo.ctl("restart")
    assert answer.returncode == 1
    assert "{}:".format(tokyo.file) in answer.stderr
    assert tokyo.status()["tunnels"]


def test_garbage_is_dropped_counted_and_logged_once(ends):
    tokyo = ends[0].start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rude:
        for _ in range(50):
            rude.sendto(b"garbage", (tokyo.address, PORT))
    end = time.monotonic() + 60
    while tokyo.status()["counters"].get("dropped", 0) < 50 and time.monotonic() < end:
        time.sleep(0.05)
    assert tokyo.status()["counters"]["dropped"] == 50
    log = tokyo.log.read_text()
    assert log.count("shorter than an ISAKMP header") == 1
    assert "Traceback" not in log


@pytest.mark.parametrize("arguments", [("up", "nothing"), ("rekey", "nothing"), ("down", "nothing")])
def test_a_name_that_is_no_tunnels_is_said(ends, arguments):
    answer = ends[0].start().ctl(*arguments)
    assert answer.returncode == 1
    assert "no tunnel has the selector or policy nothing" in answer.stderr
