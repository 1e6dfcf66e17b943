# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a deployment off a host: service, SAs, policies, files, in that order; the manifest goes last.

Ours are the files that lie as the manifest says we wrote them, and what the kernel has with a request id of our range;
of upstream's daemons, which give none, what leads from one end of a configured tunnel to the other.
An interrupted removal leaves the manifest, so that the next run finishes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..ike.kernel.base import Kernel
from ..ike.policy.sa import Address, Policy, SaState, Template
from .ending import Ending
from .files import removal
from .manifest import load_manifest


@dataclass(frozen=True)
class Deployed:
    """Where a deployment lies. ``directories`` are those that it may have made.

    ``ends`` are pairs (source, destination), both ways, of tunnels whose SAs and policies have no request ids.
    """

    kernel: Kernel
    state_directory: Path
    directories: Sequence[Path]
    services: Ending
    ends: frozenset[tuple[Address, Address]] = frozenset()

    @property
    def manifest(self) -> Path:
        return self.state_directory / "manifest.json"


@dataclass
class Removed:
    """What was removed, or would be. ``files`` has directories too; ``left`` says what stayed, and why."""

    service: tuple[str, ...] = ()
    sas: list[str] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.service or self.sas or self.policies or self.files)

    @property
    def diff(self) -> list[dict[str, str]]:
        """For Ansible: each file by its name, what leaves the kernel as two lists."""
        lists = (("security associations", self.sas), ("security policies", self.policies))
        return [removal(Path(name)) for name in self.files] + [
            {"before_header": name, "after_header": name, "before": "".join(map("{}\n".format, gone)), "after": ""}
            for name, gone in lists
            if gone
        ]


class Removal:
    """Finds what is ours on construction; :meth:`apply` takes it away. Raises DeployError, KernelError, OSError."""

    def __init__(self, deployed: Deployed) -> None:
        self.deployed = deployed
        manifest = load_manifest(deployed.manifest)
        self._present = [Path(name) for name in sorted(manifest.files) if Path(name).is_file()]
        self._files = [path for path in self._present if manifest.wrote(str(path), path.read_bytes())]
        self._going = [*self._files, *([deployed.manifest] if deployed.manifest.is_file() else [])]
        # Where no deployment of ours is, a service of that name isn't ours.
        self._actions = deployed.services.actions(self._files) if manifest.files else ()
        kernel = deployed.kernel
        self._sas = [state for state in kernel.list_sas() if self._ours(state)]
        policies = (state.policy for state in kernel.list_policies())
        self._policies = [policy for policy in policies if any(map(self._ours, policy.templates))]

    def apply(self, dry: bool) -> Removed:
        """Do it, or with ``dry`` only find out what would be done."""
        removed = Removed(
            service=self._actions,
            sas=[_sa_text(state) for state in self._sas],
            policies=[_policy_text(policy) for policy in self._policies],
            files=[str(path) for path in [*self._going, *self._emptied()]],
            left=["{}: changed by someone else".format(path) for path in self._present if path not in self._files],
        )
        if not dry:
            self.deployed.services.end(self._actions)
            self._clear_kernel()
            self._delete_files()
        return removed

    def _ours(self, one: SaState | Template) -> bool:
        unnumbered = one.reqid == 0 and (one.source, one.destination) in self.deployed.ends
        return one.reqid in self.deployed.kernel.reqids or unnumbered

    def _clear_kernel(self) -> None:
        """The daemon holds its policies when it ends; only now does traffic pass unprotected."""
        for state in self._sas:
            self.deployed.kernel.delete_sa(state.id)
        for policy in self._policies:
            self.deployed.kernel.delete_policy(policy)

    def _delete_files(self) -> None:
        emptied = self._emptied()
        for path in self._files:
            path.unlink()
        self.deployed.services.forget(self._actions)
        self.deployed.manifest.unlink(missing_ok=True)
        for directory in emptied:
            directory.rmdir()

    def _emptied(self) -> list[Path]:
        """Our directories that hold nothing but what goes, inner ones first. The last marks a deployment."""
        state_directory = self.deployed.state_directory
        if not state_directory.is_dir():
            return []
        going = set(self._going)
        emptied = []
        for directory in [*sorted(self.deployed.directories, reverse=True), state_directory]:
            if directory.is_dir() and set(directory.iterdir()) <= going:
                going.add(directory)
                emptied.append(directory)
        return emptied


def _sa_text(state: SaState) -> str:
    return "{} to {}, SPI {:#010x}".format(state.source, state.destination, state.spi)


def _policy_text(policy: Policy) -> str:
    return "{}: {} to {}".format(policy.direction, policy.selector.source, policy.selector.destination)
