# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the running kernel, under /proc/sys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .manifest import DeployError

PROC_SYS = Path("/proc/sys")


def wrong_settings(wanted: Mapping[str, str], root: Path = PROC_SYS) -> dict[str, str]:
    """The settings whose value differs now, with that value. Raises DeployError for one that this kernel lacks."""
    current = {name: _read(name, root) for name in wanted}
    return {name: value for name, value in current.items() if value != wanted[name]}


def apply_settings(settings: Mapping[str, str], root: Path = PROC_SYS) -> None:
    for name, value in settings.items():
        _path(name, root).write_text(value + "\n", encoding="ascii")


def _path(name: str, root: Path) -> Path:
    return root.joinpath(*name.split("."))


def _read(name: str, root: Path) -> str:
    try:
        return _path(name, root).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise DeployError("this kernel has no setting {}".format(name)) from None
