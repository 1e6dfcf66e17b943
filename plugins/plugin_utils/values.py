# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single values of an inventory: read, or refused in words for its author."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

_NUMBER = re.compile("[0-9]{1,10}")  # so many digits that no text is too long to be read


class WrongValue(ValueError):
    """A value that can't be used; the text names it and says why, but not where it stands."""


def read_boolean(value: Any) -> bool:
    """What Ansible takes for a truth value. Raises WrongValue."""
    try:
        return boolean(value)
    except TypeError as error:
        raise WrongValue("{!r} is neither true nor false".format(value)) from error


def read_number(value: Any, least: int, most: int, unit: str = "") -> int:
    """A whole number, of something that ``unit`` names. Raises WrongValue."""
    if isinstance(value, bool) or not _NUMBER.fullmatch(str(value)) or not least <= int(value) <= most:
        kind = "number of " + unit if unit else "number"
        raise WrongValue("{!r} is no {} from {} to {}".format(value, kind, least, most))
    return int(value)
