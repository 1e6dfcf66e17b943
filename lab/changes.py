"""What a scenario's check announced beside what its converge then did, as .config/molecule kept both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.lab import ROOT

DIRECTORY = ROOT / "build/molecule/changes"
STATE = "Note the state of files, forwarding and policies"  # the task of .config/molecule/state.yml

Change = dict[str, Any]  # host, task, and what the task said of it: diff, files, settings, routes, service


@dataclass(frozen=True)
class Run:
    """One run of converge.yml: what it changed or would have changed, and how each host was before."""

    changes: list[Change]
    states: dict[str, str]


def read_run(name: str, directory: Path = DIRECTORY) -> Run:
    """The run ``check`` or ``converge``. Raises FileNotFoundError where the scenario had no check."""
    results = json.loads((directory / f"{name}.json").read_text())
    return Run(
        changes=sorted(map(_comparable, filter(_is_change, results)), key=lambda one: (one["host"], one["task"])),
        states={result["host"]: result["stdout"] for result in results if result["task"] == STATE},
    )


def _is_change(result: dict[str, Any]) -> bool:
    return result["changed"]


def _comparable(result: dict[str, Any]) -> Change:
    """Without the digits of fingerprints: their key is made anew for each run."""
    return {**result, "diff": [_without_digits(entry) for entry in result.get("diff", [])]}


def _without_digits(entry: dict[str, str]) -> dict[str, str]:
    return {
        name: "fingerprint\n" if value.startswith("fingerprint ") else value for name, value in sorted(entry.items())
    }
