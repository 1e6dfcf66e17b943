"""The load generator: many peers of ours, in one process, that open a tunnel each to one responder.

Both responders get exactly this load. Runs in the initiators' namespace and prints one JSON object.
"""

from __future__ import annotations

import argparse
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

_LONGEST_WAIT = 1.0  # seconds


@dataclass
class Load:
    """Peers of one configuration, at most ``width`` of them at a time, and ``rate`` of them a second (0: no limit)."""

    file: str
    width: int
    rate: float
    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        kernel = NoneKernel()
        self._configuration = policies.numbered(effective(load(self.file).configuration), kernel.reqids)
        self._engine = Engine(self._configuration, Host(Rim(kernel).perform, lambda level, text: None))
        pairs = sockets.wanted(self._configuration.listen)
        self._listeners = [sockets.Listener(address, port, kernel) for address, port in pairs]

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
            while waiting and self._may_begin(len(begun), time.perf_counter() - started):
                name = waiting.pop()
                begun[name] = time.perf_counter()
                self._engine.up(name, time.monotonic(), lambda ok, why, name=name: ended(name, ok, why))
            self.step()
        return time.perf_counter() - started

    def _may_begin(self, begun: int, elapsed: float) -> bool:
        under_way = begun - len(self.latencies) - len(self.failures)
        return under_way < self.width and (not self.rate or begun <= elapsed * self.rate)

    def step(self) -> None:
        """Do what is due, and wait for what comes next."""
        engine, now = self._engine, time.monotonic()
        while engine.outbox:
            path, datagram = engine.outbox.popleft()
            sockets.find(self._listeners, path).send(path, datagram)
        deadline = engine.deadline()
        longest = 1 / self.rate if self.rate else _LONGEST_WAIT
        wait = max(0.0, min(deadline - now, longest)) if deadline is not None else longest
        for listener in select.select(self._listeners, [], [], wait)[0]:
            for datagram in listener.receive():
                engine.receive(datagram.data, datagram.path, time.monotonic())
        engine.run_timers(time.monotonic())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.0)
    arguments = parser.parse_args()
    load_run = Load(arguments.file, arguments.width, arguments.rate)
    seconds = load_run.run()
    json.dump({"seconds": seconds, "latencies": load_run.latencies, "failures": load_run.failures}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
