# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the kernel backend by its name on the command line."""

from __future__ import annotations

import sys

from .base import Kernel
from .none import NoneKernel
from .pfkey import PfkeyKernel
from .xfrm import XfrmKernel

BACKENDS = {"xfrm": XfrmKernel, "pfkey": PfkeyKernel, "none": NoneKernel}
NAMES = ("auto",) + tuple(BACKENDS)


def open_kernel(name: str = "auto") -> Kernel:
    """The backend of this name; ``auto`` is this system's own. ValueError for an unknown name, KernelError
    if the kernel has no IPsec or the process no privilege."""
    if name == "auto":
        name = "xfrm" if sys.platform.startswith("linux") else "pfkey"
    if name not in BACKENDS:
        raise ValueError("no kernel backend {!r}: choose one of {}".format(name, ", ".join(NAMES)))
    return BACKENDS[name]()
