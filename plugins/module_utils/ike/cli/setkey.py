# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ike setkey``: the kernel's SAD and SPD in setkey's format, without keys."""

from __future__ import annotations

import argparse
import sys
import time

from ..kernel.base import KernelError
from ..kernel.open import NAMES, open_kernel
from ..kernel.setkey import format_sad, format_spd
from .streams import complain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-D", dest="dump", action="store_true", required=True, help="print the SAD")
    parser.add_argument("-P", dest="policies", action="store_true", help="with -D: print the SPD instead")
    parser.add_argument("--kernel", choices=NAMES, default="auto", help="where to look (default: this system's)")


def run(arguments: argparse.Namespace) -> int:
    try:
        sys.stdout.write(_dump(arguments))
    except KernelError as error:
        complain("setkey: {}".format(error))
        return 1
    return 0


def _dump(arguments: argparse.Namespace) -> str:
    kernel = open_kernel(arguments.kernel)
    try:
        if arguments.policies:
            return format_spd(kernel.list_policies())
        return format_sad(kernel.list_sas(), time.time())
    finally:
        kernel.close()
