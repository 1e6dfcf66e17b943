"""The load generator: many peers of ours, in one process, that open a tunnel each to one responder.

Both responders get exactly this load. Runs in the initiators' namespace and prints one JSON object.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import select
import sys
import time
from dataclasses import dataclass, field

from ike.config.effective import effective
from ike.config.loader import load
from ike.daemon import policies, sockets
from ike.daemon.rim import Rim
from ike.exchange.engine import Engine
from ike.exchange.host import Host
from ike.kernel.none import NoneKernel

_PATIENCE = 60.0  # seconds without any progress


@dataclass
class Load:
    """Peers of one configuration, ``width`` of them at a time."""

    file: str
    width: int
    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        kernel = NoneKernel()
        self._configuration = policies.numbered(effective(load(self.file).configuration), kernel.reqids)
        self._engine = Engine(self._configuration, Host(Rim(kernel).perform, lambda level, text: None))
        self._listeners = [sockets.Listener(ipaddress.ip_address("0.0.0.0"), port, kernel) for port in (500, 4500)]

    def run(self) -> float:
        """Open every tunnel; the seconds that all of it took."""
        waiting = [tunnel.name for tunnel in self._configuration.tunnels]
        total, started = len(waiting), time.perf_counter()
        begun: dict[str, float] = {}

        def ended(name: str, success: bool, reason: str) -> None:
            if success:
                self.latencies.append(time.perf_counter() - begun[name])
            else:
                self.failures.append(reason)

        while len(self.latencies) + len(self.failures) < total:
            while waiting and len(begun) - len(self.latencies) - len(self.failures) < self.width:
                name = waiting.pop()
                begun[name] = time.perf_counter()
                self._engine.up(name, time.monotonic(), lambda ok, why, name=name: ended(name, ok, why))
            self._step()
        return time.perf_counter() - started

    def _step(self) -> None:
        engine, now = self._engine, time.monotonic()
        while engine.outbox:
            path, datagram = engine.outbox.popleft()
            sockets.find(self._listeners, path).send(path, datagram)
        deadline = engine.deadline()
        wait = max(0.0, min(deadline - now, 1.0)) if deadline is not None else 1.0
        for listener in select.select(self._listeners, [], [], wait)[0]:
            for datagram in listener.receive():
                engine.receive(datagram.data, datagram.path, time.monotonic())
        engine.run_timers(time.monotonic())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--width", type=int, default=8)
    arguments = parser.parse_args()
    load_run = Load(arguments.file, arguments.width)
    seconds = load_run.run()
    json.dump({"seconds": seconds, "latencies": load_run.latencies, "failures": load_run.failures}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
