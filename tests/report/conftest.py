# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets the tests import the collection's plugins by their real name."""

from __future__ import annotations

import sys

from tests.benchmarks.checkout import checkout

sys.path.insert(0, str(checkout()))
