# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment asks of the system that it's on: its settings, its services, and whether it can be a gateway."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from .service import ServiceState
from .static_routes import StaticRoute


class System(ABC):
    """A host's system. Methods raise DeployError."""

    validates: bool = True  # the daemon is ours, so its own check can be asked before files are replaced

    def obstacles(self) -> list[str]:
        """Why nothing can be deployed here, each with the way out; looked at before anything is changed."""
        return []

    def lacks_packages(self) -> list[str]:
        """Packages that files other than the daemon's need, and that aren't here."""
        return []

    def check_gateway(self, candidate: Path) -> str:
        """What is to be said of a candidate of the gateway's rules, if anything. Raises DeployError if it's refused."""
        return ""

    def unwanted_routes(self) -> list[StaticRoute]:
        """Routes that the operator wants taken away."""
        return []

    @abstractmethod
    def wrong_settings(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """The settings whose value differs now, with that value."""

    @abstractmethod
    def apply_settings(self, settings: Mapping[str, str]) -> None:
        """Set them, now and for the next boot where that isn't a file's business."""

    @abstractmethod
    def state(self) -> ServiceState:
        """How the services are."""

    @abstractmethod
    def lacks_program(self) -> bool:
        """Whether something has to be installed before the services can run."""

    @abstractmethod
    def effect_of(self, roles: frozenset[str]) -> str:
        """What running services need after files of these roles changed: one of the actions, or ""."""

    @abstractmethod
    def actions(self, state: ServiceState, roles: frozenset[str], pending: Sequence[str]) -> tuple[str, ...]:
        """What to do about the services, in order. ``pending`` is what an interrupted run left undone."""

    @abstractmethod
    def act(self, action: str) -> dict[str, list[str]]:
        """Do one of the actions; the tunnels of each kind of change, where the daemon tells."""
