"""Progress for people: each step with its time, and at the end what took how long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Steps:
    """Prints a headline when a step begins, and its duration when it ends."""

    begun: float = field(default_factory=time.monotonic)
    done: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        print(f"\n== {title}", flush=True)
        begun = time.monotonic()
        yield
        seconds = time.monotonic() - begun
        self.done.append((title, seconds))
        print(f"   {title}: {seconds:.1f} s", flush=True)

    def summary(self) -> str:
        """A line per step and the total."""
        rows = [*self.done, ("total", time.monotonic() - self.begun)]
        return "\n".join(f"  {seconds:7.1f} s  {title}" for title, seconds in rows)
