# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the whole package agrees on: its version (the collection's, galaxy.yml) and where the daemon listens."""

from __future__ import annotations

import sys

VERSION = "0.1.0"
CONTROL_SOCKET = "{}/tanuki-ipsec/control.sock".format("/run" if sys.platform.startswith("linux") else "/var/run")
