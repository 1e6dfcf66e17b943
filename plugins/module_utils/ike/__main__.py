# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``python3 -m ike iked|check|setkey|ctl``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from . import about


def _iked() -> Any:
    from .cli import iked

    return iked


def _check() -> Any:
    from .cli import check

    return check


def _setkey() -> Any:
    from .cli import setkey

    return setkey


def _ctl() -> Any:
    from .cli import ctl

    return ctl


# Each command loads only what it needs: on a small gateway that is most of what "ctl status" costs.
COMMANDS = {
    "iked": (_iked, "the IKE daemon: negotiates SAs and keeps the policies (racoon2's iked and spmd)"),
    "check": (_check, "check a racoon2.conf, without touching anything"),
    "setkey": (_setkey, "show the kernel's SAs (-D) or policies (-DP)"),
    "ctl": (_ctl, "talk to the running daemon"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="ike", description="IPsec with racoon2's configuration language.")
    parser.add_argument("--version", action="version", version=about.VERSION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (load, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name in arguments[:1]:
            module = load()
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    parsed = parser.parse_args(arguments)
    return parsed.run(parsed)


if __name__ == "__main__":
    raise SystemExit(main())
