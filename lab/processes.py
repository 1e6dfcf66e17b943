"""Long-running processes of the lab, known by a file that holds their id. Nothing is ever ended by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

END_LIMIT = 10  # seconds to end by itself before SIGKILL


def running(pid_path: Path) -> int | None:
    """The id in `pid_path` if that process runs and is ours: its command line names the file. Else None."""
    try:
        pid = int(pid_path.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(pid_path).encode() in command.split(b"\0") else None


def end(pid_path: Path, number: signal.Signals = signal.SIGTERM) -> bool:
    """End the process of `pid_path` and wait until it's gone. False when it wasn't running."""
    pid = running(pid_path)
    if pid is None:
        pid_path.unlink(missing_ok=True)
        return False
    os.kill(pid, number)
    deadline = time.monotonic() + END_LIMIT
    while running(pid_path):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    pid_path.unlink(missing_ok=True)
    return True
