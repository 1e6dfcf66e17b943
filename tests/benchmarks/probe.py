"""One peer of ours that opens its tunnel and then asks again and again whether the responder is there.

Runs in the initiators' namespace and prints one JSON object: the seconds that each answer took.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.benchmarks.load import Load

_PAUSE = 0.01  # seconds between an answer and the next question


class Probe(Load):
    """A load of one tunnel, which then stays."""

    def ask(self, seconds: float) -> list[float]:
        """How long each answer took, in seconds; an unanswered question is asked again as any request is."""
        (session,) = self._engine.sessions
        end = time.monotonic() + seconds
        answers: list[float] = []
        while time.monotonic() < end:
            begun = time.perf_counter()
            self._engine.host.now = time.monotonic()
            session.probe()
            while session.runner.asking:
                self.step()
            answers.append(time.perf_counter() - begun)
            time.sleep(_PAUSE)
        return answers


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    probe = Probe(arguments.file, 1, 0.0)
    probe.run()
    json.dump({"answers": probe.ask(arguments.seconds)}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
