# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ike check``: every problem of a configuration at once; what it puts into the SPD; whether two ends would agree."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping

from ..config.checks.pair import AGREE, DIFFER, Row, compare
from ..config.checks.run import check
from ..config.checks.subject import Options
from ..config.effective import effective
from ..config.grammar import DIALECTS, TANUKI
from ..config.loader import Loaded, load
from ..config.problem import UNREADABLE, Problem
from ..config.settings import Address
from ..config.values import numeric
from ..crypto import groups
from ..kernel.setkey import format_policy
from ..policy.spd import is_unknown, spd_entries
from .streams import complain, say

CLEAN, FAULTY, UNREAD = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", dest="file", metavar="FILE", required=True, help="the configuration")
    parser.add_argument("--dialect", choices=DIALECTS, default=TANUKI, help="racoon2: for upstream's daemons")
    parser.add_argument("--spd", action="store_true", help="print the policies that it means, as setkey -DP does")
    parser.add_argument("--pair", metavar="OTHER", help="the other end's configuration: would the two agree?")
    parser.add_argument(
        "--management",
        metavar="ADDRESS",
        type=_address,
        action="append",
        default=[],
        help="an address that must stay reachable in clear (may be given again)",
    )
    parser.add_argument("--no-files", dest="files", action="store_false", help="don't look at key files")


def run(arguments: argparse.Namespace) -> int:
    """0: clean (there may be warnings); 1: errors, or two ends that don't agree; 2: a file could not be read."""
    options = Options(
        tuple(arguments.management), session_of(os.environ), arguments.files, os.geteuid(), groups.all_lacking()
    )
    paths = [arguments.file] + ([arguments.pair] if arguments.pair else [])
    loaded = [load(path, arguments.dialect) for path in paths]
    verdict = max(_report(check(one, options if one is loaded[0] else Options(files=False))) for one in loaded)
    if arguments.spd and loaded[0].configuration is not None:
        _print_spd(loaded[0])
    if arguments.pair and all(one.configuration is not None for one in loaded):
        verdict = max(verdict, _print_pair(loaded, paths))
    return verdict


def session_of(environment: Mapping[str, str]) -> tuple[Address, Address] | None:
    """(our address, the operator's) of the SSH connection that this runs in; None outside one."""
    fields = environment.get("SSH_CONNECTION", "").split()
    if len(fields) != 4:
        return None
    theirs, ours = numeric(fields[0]), numeric(fields[2])
    return None if ours is None or theirs is None else (ours, theirs)


def _address(text: str) -> Address:
    address = numeric(text)
    if address is None:
        raise argparse.ArgumentTypeError("{} is no address".format(text))
    return address


def _report(problems: list[Problem]) -> int:
    for problem in problems:
        complain(printable(str(problem)))
    if any(problem.severity == UNREADABLE for problem in problems):
        return UNREAD
    return FAULTY if any(problem.is_error for problem in problems) else CLEAN


def printable(text: str) -> str:
    """A message on one line, whatever bytes the configuration holds."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _print_spd(loaded: Loaded) -> None:
    meaning = effective(loaded.configuration)
    policies = spd_entries(meaning)
    for policy in policies:
        sys.stdout.write(format_policy(policy))
    held = {policy.name for policy in policies if any(is_unknown(template) for template in policy.templates)}
    for tunnel in meaning.tunnels + meaning.inbound:
        if tunnel.name in held:
            complain(printable("selector {}: held back until its addresses are known".format(tunnel.name)))


def _print_pair(loaded: list[Loaded], paths: list[str]) -> int:
    rows = compare(*(effective(one.configuration) for one in loaded), names=tuple(paths))
    for row in rows:
        say(_line(row))
    return FAULTY if any(row.verdict == DIFFER for row in rows) else CLEAN


def _line(row: Row) -> str:
    if row.verdict == AGREE:
        both = row.ours if row.ours == row.theirs else "{} / {}".format(row.ours, row.theirs)
        return printable("{:8} {}: {}".format(row.verdict, row.subject, both))
    text = "{:8} {}: {} / {}: {}".format(row.verdict, row.subject, row.ours, row.theirs, row.reason)
    return printable(text)
