# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's two streams: answers on standard output, reasons on standard error."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """One line of an answer."""
    sys.stdout.write(line + "\n")


def complain(line: str) -> None:
    """One line that says what is wrong."""
    sys.stderr.write(line + "\n")
