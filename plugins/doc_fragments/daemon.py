# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation shared by the modules that ask the daemon."""

from __future__ import annotations


class ModuleDocFragment:
    """How to reach the daemon."""

    DOCUMENTATION = r"""
options:
  control:
    description:
      - The daemon's control socket.
      - By default V(/run/tanuki-ipsec/control.sock) on Linux, V(/var/run/tanuki-ipsec/control.sock) on FreeBSD.
    type: path
"""
