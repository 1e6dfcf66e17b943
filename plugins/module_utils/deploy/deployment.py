# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's deployment: compare, stage, validate, swap, tell the service. Reads top to bottom in that order.

Nothing is replaced before everything new is on the disk and the candidate configuration has passed the daemon's own
check. An interrupted run leaves either the old files or the new ones, and a manifest from which the next run goes on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..commands import Run
from . import static_routes
from .files import (
    APPLICATION,
    CONFIGURATION,
    GATEWAY,
    PSK,
    ROLES,
    FoundFile,
    Swap,
    WantedFile,
    back_up,
    difference,
    ensure_directory,
    find,
    removal,
)
from .manifest import DeployError, Manifest, load_manifest, save_manifest
from .secret import ensure_secret
from .system import System
from .undo import Change, Undo

_WARNING = ": warning: "  # what `check` writes after the place
_ORDER = {role: place for place, role in enumerate(ROLES)}


@dataclass(frozen=True)
class Target:
    """The host's side of the deployment: where things are, and how to run commands there.

    ``secrets`` are files that nobody but this host needs to know: they're filled with random bytes once.
    """

    run: Run
    system: System
    state_directory: Path
    directories: Mapping[Path, int]  # with their modes
    python: str
    settings: Mapping[str, str]
    secrets: Sequence[Path] = ()
    undo: Undo | None = None  # what undoes the deployment, unless it's confirmed in time
    confirm_seconds: int = 0

    @property
    def manifest(self) -> Path:
        return self.state_directory / "manifest.json"


@dataclass
class Outcome:
    """What was done, or would be.

    ``files`` maps paths to ``created``, ``updated``, ``permissions``, ``directory`` or ``removed``. ``tunnels`` has the
    tunnels of each kind of change, where the daemon was told to reload; ``routes`` were taken away.
    """

    files: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    routes: list[str] = field(default_factory=list)
    service: tuple[str, ...] = ()
    tunnels: dict[str, list[str]] = field(default_factory=dict)
    diff: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.files or self.settings or self.routes or self.service)


class Deployment:
    """Makes a host match the wanted files. Every method raises DeployError or OSError with nothing half-replaced."""

    def __init__(self, target: Target, wanted: Sequence[WantedFile], key: str) -> None:
        self.target = target
        _refuse(target.system.obstacles())
        self.manifest = load_manifest(target.manifest)
        self.found = [find(file, key, self.manifest) for file in sorted(wanted, key=lambda file: _ORDER[file.role])]
        self.wrong_settings = target.system.wrong_settings(target.settings)
        self.routes = target.system.unwanted_routes()
        self.state = target.system.state()
        self.stale = self._stale({str(file.path) for file in wanted})

    def needs(self) -> list[str]:
        """The paths whose content has to be sent before :meth:`apply`."""
        return [str(found.wanted.path) for found in self.found if found.differs and found.wanted.content is None]

    def lacks_program(self) -> bool:
        """Whether something has to be installed first. A running daemon proves that it's there."""
        return not self.state.active and self.target.system.lacks_program()

    def lacks_packages(self) -> list[str]:
        """The same for what the daemon itself can do without."""
        return self.target.system.lacks_packages()

    def apply(self, dry: bool, validate: bool = True) -> Outcome:
        """Do it, or with ``dry`` only find out what would be done. The configuration is validated in both cases."""
        changed = [found for found in self.found if found.change]
        outcome = Outcome()
        self._directories(outcome, dry)
        self._secrets(outcome, dry)
        self._describe(changed, outcome)
        with tempfile.TemporaryDirectory() as scratch, Swap(Path(scratch) if dry else None) as swap:
            for found in changed:
                swap.stage(found.wanted.path, _content(found), found.wanted.mode)
            if validate and self.target.system.validates and {CONFIGURATION, APPLICATION} & _roles(changed):
                self._validate(swap)
            if validate and GATEWAY in _roles(changed):
                self._validate_gateway(swap, outcome)
            if not dry:
                self._replace(changed, swap)
        if not dry:
            self._take_effect(outcome)
        return outcome

    def _stale(self, wanted: set[str]) -> list[tuple[Path, bool]]:
        """Files of ours that are no longer wanted, each with whether it's still as we wrote it."""
        stale = []
        for name in sorted(set(self.manifest.files) - wanted):
            path = Path(name)
            if path.is_file():
                stale.append((path, self.manifest.wrote(name, path.read_bytes())))
        return stale

    def _describe(self, changed: Sequence[FoundFile], outcome: Outcome) -> None:
        for found in changed:
            outcome.files[str(found.wanted.path)] = found.change
            outcome.diff.append(difference(found))
            if found.foreign:
                outcome.warnings.append(
                    "{}: not as this collection wrote it; a copy is kept beside it".format(found.wanted.path)
                )
        for path, ours in self.stale:
            if ours:
                outcome.files[str(path)] = "removed"
                outcome.diff.append(removal(path))
            else:
                outcome.warnings.append("{}: no longer wanted, but changed by someone else: left there".format(path))
        outcome.settings = {name: self.target.settings[name] for name in self.wrong_settings}
        if self.wrong_settings:
            outcome.diff.append(_settings_difference(self.wrong_settings, outcome.settings))
        if self.routes:
            outcome.routes = [route.text for route in self.routes]
            outcome.diff.append(dict(static_routes.difference(self.routes)))
        outcome.service = self._actions(changed)

    def foreseen(self) -> tuple[str, ...]:
        """What the services will be told, as far as it's known before contents are."""
        return self._actions([found for found in self.found if found.change])

    def _actions(self, changed: Sequence[FoundFile]) -> tuple[str, ...]:
        return self.target.system.actions(self.state, _roles(changed), self.manifest.pending)

    def _directories(self, outcome: Outcome, dry: bool) -> None:
        for path, mode in {self.target.state_directory: 0o700, **self.target.directories}.items():
            if ensure_directory(path, mode, dry):
                outcome.files[str(path)] = "directory"

    def _secrets(self, outcome: Outcome, dry: bool) -> None:
        for path in self.target.secrets:
            change = ensure_secret(path, dry)
            if change:
                outcome.files[str(path)] = change

    def _validate(self, swap: Swap) -> None:
        """Let the new daemon check the new configuration, both still under their temporary names.

        Not the key files: they take their places together with it.
        """
        configuration, application = self._path_of(CONFIGURATION), self._path_of(APPLICATION)
        candidate = swap.candidate(configuration)
        command = [self.target.python, str(swap.candidate(application)), "check", "--no-files", "-f", str(candidate)]
        code, _output, error = self.target.run(command)
        if code != 0:
            errors = [line for line in error.splitlines() if _WARNING not in line]
            text = "\n".join(errors).replace(str(candidate), str(configuration))
            raise DeployError("the new configuration is refused, the old one stays in force:\n{}".format(text))

    def _validate_gateway(self, swap: Swap, outcome: Outcome) -> None:
        """Let the packet filter read its new rules, while the old ones are in force."""
        path = self._path_of(GATEWAY)
        try:
            warning = self.target.system.check_gateway(swap.candidate(path))
        except DeployError as error:
            text = "the packet filter refuses {}, nothing was changed:\n{}"
            raise DeployError(text.format(path, error)) from error
        outcome.warnings += [warning] if warning else []

    def _path_of(self, role: str) -> Path:
        return next(found.wanted.path for found in self.found if found.wanted.role == role)

    def _replace(self, changed: Sequence[FoundFile], swap: Swap) -> None:
        """Put the new files in place and take the stale ones away, between two manifests that know both states."""
        digests = {str(found.wanted.path): (self.manifest.digest(_content(found)),) for found in self.found}
        if not changed and digests == self.manifest.files:
            return
        self._arm(changed)
        self.manifest = self._manifest_during(digests, self.target.system.effect_of(_roles(changed)))
        save_manifest(self.target.manifest, self.manifest)
        for found in changed:
            if found.foreign:
                back_up(found.wanted.path)
        swap.commit()
        for path, ours in self.stale:
            if ours:
                path.unlink()
        self.manifest = replace(self.manifest, files=digests)
        save_manifest(self.target.manifest, self.manifest)

    def _arm(self, changed: Sequence[FoundFile]) -> None:
        """From here on the host goes back by itself, should what follows cut it off."""
        if self.target.undo is None:
            return
        files = {found.wanted.path: found.wanted.role for found in changed}
        files.update({path: PSK for path, ours in self.stale if ours})
        change = Change(files, self.target.manifest, self._path_of(CONFIGURATION))
        self.target.undo.arm(change, self.target.confirm_seconds)

    def _manifest_during(self, digests: Mapping[str, tuple[str, ...]], effect: str) -> Manifest:
        """What holds while files are swapped: each may be the old one or the new one, and the service lags behind."""
        before = self.manifest.files
        files = {**before, **{path: (*before.get(path, ()), *new) for path, new in digests.items()}}
        pending = dict.fromkeys((*self.manifest.pending, effect)) if effect else self.manifest.pending
        return replace(self.manifest, files=files, pending=tuple(pending))

    def _take_effect(self, outcome: Outcome) -> None:
        self.target.system.apply_settings(outcome.settings)
        static_routes.remove(self.target.run, self.routes)
        for action in outcome.service:
            outcome.tunnels.update(self.target.system.act(action))
        if self.manifest.pending:
            save_manifest(self.target.manifest, replace(self.manifest, pending=()))


def _refuse(obstacles: Sequence[str]) -> None:
    if obstacles:
        raise DeployError("nothing was changed:\n{}".format("\n".join(obstacles)))


def _content(found: FoundFile) -> bytes:
    """What is to lie at the file's path. Raises DeployError where it differs and wasn't sent."""
    content = found.wanted.content if found.differs else found.content
    if content is None:
        raise DeployError("{}: changed while this was under way; run again".format(found.wanted.path))
    return content


def _roles(files: Sequence[FoundFile]) -> frozenset[str]:
    return frozenset(found.wanted.role for found in files)


def _settings_difference(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    return {
        "before_header": "kernel settings",
        "after_header": "kernel settings",
        "before": "".join("{} = {}\n".format(name, value) for name, value in before.items()),
        "after": "".join("{} = {}\n".format(name, value) for name, value in after.items()),
    }
