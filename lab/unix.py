"""Unix stream sockets at paths of any length: the folder's descriptor gets round the kernel's limit of 107 bytes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path


def connect(path: Path, timeout: float | None = None) -> socket.socket:
    """A stream socket connected to `path`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        _at(path, connection.connect)
    except OSError:
        connection.close()
        raise
    return connection


def listen(path: Path) -> socket.socket:
    """A stream socket that listens at `path`, in place of whatever was there."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _at(path, listener.bind)
    listener.listen()
    return listener


def _at(path: Path, call: Callable[[str], None]) -> None:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        call(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
