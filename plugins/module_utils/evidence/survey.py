# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking around a host for its tunnels, in the words of its system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .freebsd import survey_freebsd
from .looking import FREEBSD, Look
from .network import Surroundings, Way, survey_linux


def survey(look: Look, ways: Sequence[Way], policies: Iterable[Any]) -> Surroundings:
    """The same shape on every system."""
    looking = survey_freebsd if look.system == FREEBSD else survey_linux
    return looking(look, ways, policies)
