# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ike iked``: start the daemon."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from ..about import CONTROL_SOCKET
from ..crypto.backend import CryptographyMissing, require
from ..daemon.service import ConfigurationError, Daemon, Options
from ..daemon.sockets import ListenError
from ..kernel.base import KernelError
from ..kernel.open import NAMES, open_kernel
from .streams import complain

# syslog's priorities, which journald reads from the beginning of a line (sd-daemon(3))
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", dest="file", required=True, metavar="FILE", help="the configuration, racoon2.conf")
    parser.add_argument("-F", dest="foreground", action="store_true", help="stay in the foreground")
    parser.add_argument(
        "-D", dest="level", type=lambda text: int(text, 0), default=0, metavar="LEVEL", help="debug level; 0 is none"
    )
    parser.add_argument("--kernel", choices=NAMES, default="auto", help="who installs the SAs (default: %(default)s)")
    parser.add_argument("--control", default=CONTROL_SOCKET, metavar="PATH", help="control socket (%(default)s)")
    parser.add_argument("--no-spd", dest="spd", action="store_false", help="leave the policies to somebody else")
    parser.add_argument(
        "--hold", action="store_true", help="leave the policies in place at the end: traffic is held back, never clear"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 after an orderly end; 1 where the daemon can't start, every reason on stderr."""
    _log_to_stderr(logging.DEBUG if arguments.level else logging.INFO)
    options = Options(str(Path(arguments.file).absolute()), arguments.control, arguments.spd, arguments.hold)
    try:
        require()
        daemon = Daemon(options, open_kernel(arguments.kernel))
        if not arguments.foreground:
            _go_to_background()
        if asyncio.run(daemon.run()):
            _start_anew()
    except ConfigurationError as error:
        for problem in error.problems:
            complain(str(problem))
        return 1
    except (CryptographyMissing, KernelError, ListenError, OSError) as error:
        complain("ike iked: {}".format(error))
        return 1
    return 0


class _Formatter(logging.Formatter):
    """One line a record; with a priority where journald reads it, else with the level's name."""

    def __init__(self, to_journal: bool) -> None:
        super().__init__()
        self._to_journal = to_journal

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage().replace("\n", " | ")
        if self._to_journal:
            return "<{}>{}".format(_PRIORITIES.get(record.levelno, 6), text)
        return "{} {}".format(record.levelname.lower(), text)


def _log_to_stderr(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("JOURNAL_STREAM" in os.environ))
    logger = logging.getLogger("ike")
    logger.handlers[:] = [handler]
    logger.setLevel(level)


def _start_anew() -> None:
    """Become the program that now lies where this one was started from. The process keeps its id."""
    os.execv(sys.executable, _own_command())


def _own_command() -> list[str]:
    """What this process was started as. Python 3.9 doesn't tell, but Linux does."""
    if hasattr(sys, "orig_argv"):
        return sys.orig_argv
    words = Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]
    return [os.fsdecode(word) for word in words]


def _go_to_background() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
