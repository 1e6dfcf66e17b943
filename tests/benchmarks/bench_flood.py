"""50 peers connect while spoofed initiations flood the responder: all of them succeed, and its memory stays flat."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import network
from tests.benchmarks.bench_ike import (
    SUITES,
    among_initiators,
    initiators_text,
    key_file,
    responder_text,
    result_of,
)
from tests.benchmarks.responders import Ours

SUITE = SUITES[-1]
PEERS = range(50)
PACKETS, RATE = 200000, 10000.0
LIMIT_GROWTH_KB = 4096  # of resident memory, the 50 tunnels included
_AHEAD_SECONDS = 2.0

# Strangers are let in as far as anybody can be: to a remote that serves every address.
_ANYBODY = """
remote anybody {{
  acceptable_kmp {{ ikev2; }};
  ikev2 {{ my_id ipaddr {local}; peers_id fqdn "anybody"; peers_ipaddr IP_RW; {phase1}
    kmp_auth_method {{ psk; }}; pre_shared_key "{psk}"; passive on; }};
}};
"""


def measure() -> dict[str, float]:
    """The flood, the peers that came up meanwhile, and what it cost the responder."""
    with tempfile.TemporaryDirectory() as name, network.namespaces(len(PEERS)):
        directory = Path(name)
        psk = key_file(directory)
        responder = Ours(network.RESPONDERS_SPACE, directory)
        text = responder_text(SUITE, PEERS, psk)
        responder.start(text + _ANYBODY.format(local=network.RESPONDER, phase1=SUITE.phase1, psk=psk))
        (directory / "peers.conf").write_text(initiators_text(SUITE, PEERS, psk))
        try:
            return _flooded(responder, directory)
        finally:
            responder.stop()


def _flooded(responder: Ours, directory: Path) -> dict[str, float]:
    memory, cpu = responder.resident_kilobytes(), responder.cpu_seconds()
    peers_file = str(directory / "peers.conf")
    flood = among_initiators("flood", peers_file, "--count", str(PACKETS), "--rate", str(RATE))
    time.sleep(_AHEAD_SECONDS)
    peers = result_of(among_initiators("load", peers_file, "--width", str(len(PEERS))))
    in_time = flood.poll() is None
    sent = result_of(flood)
    counters = json.loads(_status(directory))["counters"]
    return {
        "connected": len(peers["latencies"]),
        "seconds": peers["seconds"],
        "in_time": in_time,
        "rate": sent["count"] / sent["seconds"],
        "cpu_us": (responder.cpu_seconds() - cpu) * 1e6 / counters["received"],
        "growth_kb": responder.resident_kilobytes() - memory,
    }


def _status(directory: Path) -> str:
    command = [sys.executable, "-m", "ike", "ctl", "--control", str(directory / "control.sock"), "status", "--json"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> list[dict[str, object]]:
    """Three rows: who connected, what memory grew by, what a spoofed packet costs."""
    found = measure()
    flood = "flood of {:.0f} spoofed initiations/s: ".format(found["rate"])
    return [
        {
            "name": flood + "of {} peers, up".format(len(PEERS)),
            "value": found["connected"],
            "unit": "",
            "limit": len(PEERS),
            "holds": found["connected"] == len(PEERS) and found["in_time"],
        },
        {
            "name": flood + "until they were",
            "value": round(found["seconds"], 2),
            "unit": "s",
            "limit": "",
            "holds": True,
        },
        {
            "name": flood + "memory grew by",
            "value": round(found["growth_kb"]),
            "unit": "KB",
            "limit": LIMIT_GROWTH_KB,
            "holds": found["growth_kb"] <= LIMIT_GROWTH_KB,
        },
        {
            "name": flood + "CPU per packet",
            "value": round(found["cpu_us"], 1),
            "unit": "us",
            "limit": "",
            "holds": True,
        },
    ]
