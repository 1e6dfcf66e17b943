"""Handshakes side by side: our daemon and Debian's charon as responders under one load, in one run.

Of each: CPU time of the responder per complete handshake (IKE SA and child), latency of one peer at a time, memory
per established pair. Ratios are ours divided by charon's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cryptography
import vici
from cryptography.hazmat.backends.openssl import backend

from tests.benchmarks import network
from tests.benchmarks.responders import PACKAGE, ROOT, Charon, Ours, Responder

PEERS = 500
SINGLES = 100
PSK = "5d0e86c4f1d24b0e9a3cba29c1f6d7a8"


@dataclass(frozen=True)
class Suite:
    """One row: the version, racoon2's words for us, and charon's proposals."""

    name: str
    version: int
    phase1: str
    child: str
    charon_ike: str
    charon_esp: str


_ESP_3DES = "esp_enc_alg { 3des_cbc; }; esp_auth_alg { hmac_sha1; };"

SUITES = (
    Suite(
        "IKEv1 3des/sha1/modp2048",
        1,
        "kmp_enc_alg { 3des_cbc; }; kmp_hash_alg { sha1; }; kmp_dh_group { modp2048; };",
        _ESP_3DES,
        "3des-sha1-modp2048",
        "3des-sha1",
    ),
    Suite(
        "IKEv2 aes256/sha256/modp2048",
        2,
        "kmp_enc_alg { aes256_cbc; }; kmp_hash_alg { hmac_sha2_256; }; kmp_prf_alg { hmac_sha2_256; }; "
        "kmp_dh_group { modp2048; };",
        "esp_enc_alg { aes256_cbc; }; esp_auth_alg { hmac_sha2_256; };",
        "aes256-sha256-modp2048",
        "aes256-sha256",
    ),
    Suite(
        "IKEv2 aes128gcm/x25519",
        2,
        "kmp_enc_alg { aes128_gcm; }; kmp_prf_alg { hmac_sha2_256; }; kmp_dh_group { curve25519; };",
        "esp_enc_alg { aes128_gcm; };",
        "aes128gcm16-prfsha256-x25519",
        "aes128gcm16",
    ),
)


def _remote(name: str, local: object, peer: object, psk: Path, suite: Suite) -> str:
    return """
remote {name} {{
  acceptable_kmp {{ ikev{version}; }};
  ikev{version} {{ my_id ipaddr {local}; peers_id ipaddr {peer}; peers_ipaddr {peer} port 500; {phase1}
    kmp_auth_method {{ psk; }}; pre_shared_key "{psk}"; nat_traversal on; }};
}};
""".format(name=name, local=local, peer=peer, psk=psk, phase1=suite.phase1, version=suite.version)


def _tunnel(name: str, local: object, peer: object, near: object, far: object) -> str:
    return """
selector {name}_out {{ direction outbound; src {near}; dst {far}; policy_index {name}; }};
selector {name}_in {{ direction inbound; src {far}; dst {near}; policy_index {name}; }};
policy {name} {{ action auto_ipsec; remote_index {name}; ipsec_mode tunnel; ipsec_index {{ child; }};
  ipsec_level require; my_sa_ipaddr {local}; peers_sa_ipaddr {peer}; }};
""".format(name=name, local=local, peer=peer, near=near, far=far)


def _common(suite: Suite, listen: object = "MY_IPV4") -> str:
    return """
interface {{ ike {{ {listen} port 500; {listen} port 4500; }}; spmd {{ unix "/run/spmif"; }}; spmd_password "/pwd"; }};
ipsec child {{ ipsec_sa_lifetime_time 8 hours; sa_index child; }};
sa child {{ sa_protocol esp; {child} }};
""".format(child=suite.child, listen=listen)


def responder_text(suite: Suite, peers: range, psk: Path) -> str:
    """Our responder's configuration."""
    text = _common(suite)
    for number in peers:
        name, peer = "peer{}".format(number), network.initiator(number)
        text += _remote(name, network.RESPONDER, peer, psk, suite)
        text += _tunnel(name, network.RESPONDER, peer, network.RESPONDERS_NETWORK, network.network(number))
    return text


def initiators_text(suite: Suite, peers: range, psk: Path, listen: object = "MY_IPV4") -> str:
    """The load's configuration: as many peers as numbers, each with its own address.

    ``listen``: where two processes share the namespace, one of them names its address.
    """
    text = _common(suite, listen)
    for number in peers:
        name, local = "peer{}".format(number), network.initiator(number)
        text += _remote(name, local, network.RESPONDER, psk, suite)
        text += _tunnel(name, local, network.RESPONDER, network.network(number), network.RESPONDERS_NETWORK)
    return text


def load_charon(socket_path: str, suite: Suite, peers: range) -> None:
    """Give charon the same peers."""
    import socket

    connection = socket.socket(socket.AF_UNIX)
    connection.connect(socket_path)
    session = vici.Session(connection)
    for number in peers:
        peer = str(network.initiator(number))
        session.load_shared({"type": "IKE", "data": PSK, "owners": [peer]})
        child = {
            "local_ts": [str(network.RESPONDERS_NETWORK)],
            "remote_ts": [str(network.network(number))],
            "esp_proposals": [suite.charon_esp],
            "rekey_time": "8h",
        }
        session.load_conn(
            {
                "peer{}".format(number): {
                    "version": str(suite.version),
                    "local_addrs": [str(network.RESPONDER)],
                    "remote_addrs": [peer],
                    "proposals": [suite.charon_ike],
                    "local": {"auth": "psk", "id": str(network.RESPONDER)},
                    "remote": {"auth": "psk", "id": peer},
                    "children": {"net": child},
                }
            }
        )


def among_initiators(module: str, *arguments: str) -> subprocess.Popen:
    """A module of this package, started in the initiators' namespace; it prints one JSON object."""
    command = ["ip", "netns", "exec", network.INITIATORS_SPACE, sys.executable, "-m", "tests.benchmarks." + module]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": "{}:{}".format(PACKAGE, ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )


def result_of(process: subprocess.Popen) -> dict[str, Any]:
    """What a process that was started among the initiators has found. It has ten minutes."""
    output = process.communicate(timeout=600)[0]
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return json.loads(output)


def load(file: Path, width: int, rate: float = 0.0) -> dict[str, Any]:
    """Open the tunnels of a configuration: what tests.benchmarks.load prints. None may fail."""
    result = result_of(among_initiators("load", str(file), "--width", str(width), "--rate", str(rate)))
    if result["failures"]:
        raise RuntimeError("{} of the load's tunnels failed: {}".format(len(result["failures"]), result["failures"][0]))
    return result


def measure(responder: Responder, suite: Suite, psk: Path) -> dict[str, float]:
    """One responder under the load: first one peer at a time, then many at once."""
    directory = responder.directory
    singles, crowd = range(SINGLES), range(SINGLES, SINGLES + PEERS)
    (directory / "singles.conf").write_text(initiators_text(suite, singles, psk))
    (directory / "crowd.conf").write_text(initiators_text(suite, crowd, psk))
    one_by_one = load(directory / "singles.conf", 1)["latencies"]
    memory, cpu = responder.resident_kilobytes(), responder.cpu_seconds()
    crowd_run = load(directory / "crowd.conf", 8)
    return {
        "cpu_ms": (responder.cpu_seconds() - cpu) * 1000 / PEERS,
        "p50_ms": statistics.median(one_by_one) * 1000,
        "p95_ms": statistics.quantiles(one_by_one, n=20)[-1] * 1000,
        "kb_per_pair": (responder.resident_kilobytes() - memory) / PEERS,
        "per_second": PEERS / crowd_run["seconds"],
    }


def run_suite(suite: Suite) -> dict[str, dict[str, float]]:
    """{"tanuki": figures, "charon": figures}."""
    figures = {}
    with tempfile.TemporaryDirectory() as name, network.namespaces(SINGLES + PEERS):
        psk = key_file(Path(name))
        for responder in started(Path(name), suite, range(SINGLES + PEERS), psk):
            figures[responder.name] = measure(responder, suite, psk)
    return figures


def key_file(directory: Path) -> Path:
    """The pre-shared key of all peers."""
    psk = directory / "psk"
    psk.write_text(PSK)
    psk.chmod(0o600)
    return psk


def started(directory: Path, suite: Suite, peers: range, psk: Path) -> Iterator[Responder]:
    """Ours, then charon, each with the same peers, and gone before the next one starts."""
    for responder in (Ours(network.RESPONDERS_SPACE, directory), Charon(network.RESPONDERS_SPACE, directory)):
        if isinstance(responder, Ours):
            responder.start(responder_text(suite, peers, psk))
        else:
            responder.start(lambda socket: load_charon(socket, suite, peers))
        try:
            yield responder
        finally:
            responder.stop()


_FIGURES = (
    ("cpu_ms", "responder CPU per handshake", "ms", 1.0),
    ("p50_ms", "latency, median", "ms", 1.0),
    ("p95_ms", "latency, 95th percentile", "ms", 1.0),
    ("kb_per_pair", "memory per IKE SA and child", "KB", 0.5),
)


def main() -> list[dict[str, object]]:
    """A row for each suite and figure: ours, charon's, their ratio, the ratio aimed at, and whether it holds."""
    print("cryptography {}, {}".format(cryptography.__version__, backend.openssl_version_text()))
    rows = []
    for suite in SUITES:
        figures = run_suite(suite)
        for key, what, unit, limit in _FIGURES:
            ours, theirs = figures["tanuki"][key], figures["charon"][key]
            ratio = ours / theirs
            rows.append(
                {
                    "name": "{}: {}".format(suite.name, what),
                    "value": round(ours, 2),
                    "peer": round(theirs, 2),
                    "unit": unit,
                    "ratio": round(ratio, 2),
                    "limit": limit,
                    "holds": ratio <= limit,
                }
            )
    return rows


if __name__ == "__main__":
    for row in main():
        print(
            "{name}: {value} {unit}, charon {peer} {unit}: {ratio} (aim {limit}): {verdict}".format(
                verdict="ok" if row["holds"] else "MISSED", **row
            )
        )
