# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ike ctl``: talk to the running daemon."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from typing import Any

from ..about import CONTROL_SOCKET
from . import event_text, status_text
from .streams import complain, say

_GRACE = 5.0  # seconds beyond what the daemon was asked to wait


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--control", default=CONTROL_SOCKET, metavar="PATH", help="control socket (%(default)s)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    status = actions.add_parser("status", help="what is configured, what is up, and why not")
    shape = status.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="for programs")
    shape.add_argument("--prometheus", action="store_true", help="as metrics")
    monitor = actions.add_parser("monitor", help="tell what happens, as it happens")
    monitor.add_argument("--json", action="store_true", help="for programs: an object a line")
    trace = actions.add_parser("trace", help="show a peer's last packets, decoded")
    trace.add_argument("name", metavar="PEER", help="index of a remote, or an address")
    trace.add_argument("--json", action="store_true", help="for programs")
    for name, summary in (
        ("up", "establish"),
        ("rekey", "make fresh SAs for"),
        ("reauth", "authenticate anew, as after a key's rotation, and make fresh SAs for"),
        ("down", "take down"),
    ):
        action = actions.add_parser(name, help="{} a tunnel".format(summary))
        action.add_argument("name", metavar="NAME", help="index of a selector or a policy")
        if name != "down":
            action.add_argument("--wait", type=float, default=40, metavar="SECONDS", help="at most (%(default)s)")
    reload = actions.add_parser("reload", help="read the configuration anew and apply what differs")
    reload.add_argument("--dry-run", action="store_true", help="only say what would change")
    actions.add_parser("restart", help="start the program anew; tunnels stay up")
    debug = actions.add_parser("debug", help="set the debug level; 0 is none")
    debug.add_argument("level", type=lambda text: int(text, 0), metavar="LEVEL")


def run(arguments: argparse.Namespace) -> int:
    """0 where the daemon did as asked, 1 with its reason on stderr, 2 where no daemon answers."""
    request = {
        "command": arguments.action,
        **{
            name: getattr(arguments, name)
            for name in ("name", "wait", "dry_run", "level")
            if getattr(arguments, name, None) is not None
        },
    }
    if arguments.action == "monitor":
        return watch(arguments.control, arguments.json)
    try:
        answer = ask(arguments.control, request, request.get("wait", 0) + _GRACE)
    except (OSError, ValueError) as error:
        complain("ike ctl: {}: {}".format(arguments.control, error))
        return 2
    if not answer.get("ok"):
        complain(answer.get("error", "the daemon gave no reason"))
        return 1
    _show(arguments, answer)
    return 0


def ask(path: str, request: dict[str, Any], timeout: float) -> dict[str, Any]:
    """The daemon's answer to one request. Raises OSError where there is none, ValueError where it is not JSON."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as stream:
            line = stream.readline()
    if not line:
        raise ValueError("the daemon closed the connection")
    return json.loads(line)


def watch(path: str, as_json: bool) -> int:
    """Say what happens until interrupted (0), refused or cut off (1), or until there is no daemon any more (2)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(path)
            connection.sendall(b'{"command": "monitor"}\n')
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline() or b"{}")
                if not answer.get("ok"):
                    complain(answer.get("error", "the daemon gave no reason"))
                    return 1
                return _say_events(stream, as_json)
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        complain("ike ctl: {}: {}".format(path, error))
        return 2


def _say_events(stream: Any, as_json: bool) -> int:
    for line in stream:
        event = json.loads(line)
        say(json.dumps(event) if as_json else event_text.event(event))
        sys.stdout.flush()
        if event["event"] == "cut_off":
            return 1
    complain("the daemon has ended")
    return 2


def _show(arguments: argparse.Namespace, answer: dict[str, Any]) -> None:
    if arguments.action == "status":
        if arguments.json:
            say(json.dumps(answer["status"], indent=2))
        elif arguments.prometheus:
            sys.stdout.write(status_text.prometheus(answer["status"]))
        else:
            sys.stdout.write(status_text.people(answer["status"]))
    elif arguments.action == "trace":
        _show_packets(arguments, answer["packets"])
    elif arguments.action == "reload":
        for kind, names in answer["changes"].items():
            say("{}: {}".format(kind, ", ".join(names) or "none"))


def _show_packets(arguments: argparse.Namespace, packets: list[dict[str, Any]]) -> None:
    if arguments.json:
        say(json.dumps(packets, indent=2))
        return
    for line in event_text.packets(packets, time.time()):
        say(line)
    if not packets:
        say("no packets of {} are known".format(arguments.name))
