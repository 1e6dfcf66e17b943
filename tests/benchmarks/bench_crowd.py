"""Many peers, one responder: 500 that begin at once, and liveness that is answered while 200 a second arrive."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks import network
from tests.benchmarks.bench_ike import (
    SUITES,
    among_initiators,
    initiators_text,
    key_file,
    load,
    result_of,
    started,
)
from tests.benchmarks.responders import Responder

SUITE = SUITES[-1]  # IKEv2 with AES-128-GCM and X25519: what today's profile comes closest to
AT_ONCE = range(1, 501)
ARRIVING = range(501, 1501)
RATE = 200.0  # handshakes a second
LIMIT_LIVENESS_MS = 50.0
LIMIT_IDLE_MB = 40.0
_SETTLED_SECONDS = 2.0


def measure(responder: Responder, psk: Path) -> dict[str, float]:
    """Idle memory, the crowd, and the probe's answers."""
    directory = responder.directory
    (directory / "probe.conf").write_text(initiators_text(SUITE, range(1), psk, network.initiator(0)))
    for name, peers in (("at-once", AT_ONCE), ("arriving", ARRIVING)):
        (directory / "{}.conf".format(name)).write_text(initiators_text(SUITE, peers, psk))
    crowd = load(directory / "at-once.conf", len(AT_ONCE))
    time.sleep(_SETTLED_SECONDS)
    probe = among_initiators("probe", str(directory / "probe.conf"), "--seconds", str(len(ARRIVING) / RATE))
    load(directory / "arriving.conf", len(ARRIVING), RATE)
    answers = sorted(result_of(probe)["answers"])
    return {
        "at_once_s": crowd["seconds"],
        "liveness_p50_ms": statistics.median(answers) * 1000,
        "liveness_p99_ms": answers[int(len(answers) * 0.99)] * 1000,
    }


def idle_megabytes() -> dict[str, float]:
    """What either daemon needs with one tunnel configured and nothing up."""
    figures = {}
    with tempfile.TemporaryDirectory() as name, network.namespaces(1):
        for responder in started(Path(name), SUITE, range(1), key_file(Path(name))):
            time.sleep(_SETTLED_SECONDS)
            figures[responder.name] = responder.resident_kilobytes() / 1024
    return figures


def main() -> list[dict[str, object]]:
    """Four rows: name, value, charon's, unit, ratio, what is aimed at, and whether it holds."""
    idle, figures = idle_megabytes(), {}
    everybody = range(ARRIVING.stop)
    with tempfile.TemporaryDirectory() as name, network.namespaces(len(everybody)):
        psk = key_file(Path(name))
        for responder in started(Path(name), SUITE, everybody, psk):
            figures[responder.name] = measure(responder, psk)
    ours, theirs = figures["tanuki"], figures["charon"]
    arriving = "{}: liveness answered while {:.0f}/s arrive, ".format(SUITE.name, RATE)
    once = "{}: {} peers at once, until all are up".format(SUITE.name, len(AT_ONCE))
    return [
        _row("idle daemon, resident memory", idle["tanuki"], idle["charon"], "MB", LIMIT_IDLE_MB),
        _row(once, ours["at_once_s"], theirs["at_once_s"], "s", theirs["at_once_s"]),
        _row(arriving + "median", ours["liveness_p50_ms"], theirs["liveness_p50_ms"], "ms", LIMIT_LIVENESS_MS),
        _row(arriving + "p99", ours["liveness_p99_ms"], theirs["liveness_p99_ms"], "ms", LIMIT_LIVENESS_MS),
    ]


def _row(name: str, ours: float, theirs: float, unit: str, limit: float) -> dict[str, object]:
    return {
        "name": name,
        "value": round(ours, 2),
        "peer": round(theirs, 2),
        "unit": unit,
        "ratio": round(ours / theirs, 2),
        "limit": "{:.4g} {}".format(limit, unit),
        "holds": ours <= limit,
    }
