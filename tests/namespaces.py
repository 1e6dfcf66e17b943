# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands, and network namespaces of the machine that tests run on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def run(*command: str) -> str:
    """A command's output. A failure shows what the command said."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError("{}: {}".format(" ".join(command), done.stdout.strip()))
    return done.stdout


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """What this thread opens or runs meanwhile, and threads that it starts, are in this namespace.

    /proc/net isn't, but in the first thread.
    """
    with open("/proc/thread-self/ns/net") as outside, open("/run/netns/" + namespace) as target:  # noqa: PTH123
        _enter(target.fileno())
        try:
            yield
        finally:
            _enter(outside.fileno())


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
