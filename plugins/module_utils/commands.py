# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a host's own programs from a module.

Not by AnsibleModule.run_command. That one takes a second without output for the end of all output if the program has
ended when it asks next: on a host that is short of processor time it loses the answer, and says that all went well.
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
from collections.abc import Callable, Sequence

Run = Callable[[Sequence[str]], "tuple[int, str, str]"]  # a command -> exit code, standard output, standard error

UNRUNNABLE, MISSING = 126, 127  # a shell's exit codes of a program that can't be run, and of one that isn't there

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_LOOK_SECONDS = 0.2
_CHUNK = 1 << 16


def run(words: Sequence[str]) -> tuple[int, str, str]:
    """Run a command to its end: (exit code, standard output, standard error), in no language but C's.

    It is found where root finds it; code 127 says that it isn't there, 126 that it can't be run, as without its
    interpreter. A daemon that it starts may keep the pipes.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SBIN))
    program = shutil.which(words[0], path=path)
    if program is None:
        return MISSING, "", "{}: not installed".format(words[0])
    try:
        process = subprocess.Popen(
            [program, *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", "PATH": path},
        )
    except OSError as error:
        return UNRUNNABLE, "", "{}: {}".format(program, error.strerror)
    with process:
        output, errors = _read(process)
    return process.returncode, output, errors


def _read(process: subprocess.Popen[bytes]) -> list[str]:
    """All that a program writes to its two pipes until it ends."""
    written = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in written:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ended = process.poll() is not None  # asked before its pipes are, so that nothing of it can follow them
            ready = selector.select(0 if ended else _LOOK_SECONDS)
            if ended and not ready:
                break
            for key, _events in ready:
                chunk = os.read(key.fd, _CHUNK)
                if chunk:
                    written[key.fileobj] += chunk
                else:
                    selector.unregister(key.fileobj)
    return [text.decode("utf-8", "replace") for text in written.values()]
