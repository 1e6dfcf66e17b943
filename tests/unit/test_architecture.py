"""The ike package's floors: a file imports only from its own floor or below, and needs nothing but Python."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "plugins" / "module_utils" / "ike"
FLOORS = ["wire", "crypto", "config", "policy", "exchange", "kernel", "daemon", "cli"]
TOP = len(FLOORS)  # __main__.py
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def floor_of(path: Path) -> int:
    """The height of a file; version.py, which states a fact about all, lies below all."""
    parts = path.relative_to(PACKAGE).parts
    if len(parts) > 1:
        return FLOORS.index(parts[0])
    return TOP if path.name == "__main__.py" else -1


def imports(path: Path):
    """Every import of a file, those inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def relative_targets(path: Path):
    """The files and packages of ours that a file imports."""
    for node in imports(path):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for alias in node.names:
            candidates = (folder.with_suffix(".py"), folder / (alias.name + ".py"), folder / alias.name)
            yield node.lineno, next((one for one in candidates if one.exists()), folder)


def absolute_names(path: Path):
    for node in imports(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif not node.level:
            yield node.lineno, node.module.partition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_imports_from_its_own_floor_or_below(path):
    above = [
        "{}:{} imports {}".format(name_of(path), line, name_of(target))
        for line, target in relative_targets(path)
        if floor_of(target / "__init__.py" if target.is_dir() else target) > floor_of(path)
    ]
    assert above == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_standard_library_is_needed_beside_the_one_backend(path):
    allowed = set(sys.stdlib_module_names)
    if name_of(path) == "crypto/backend.py":
        allowed.add("cryptography")
    foreign = [
        "{}:{} {}".format(name_of(path), line, name) for line, name in absolute_names(path) if name not in allowed
    ]
    assert foreign == []


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=name_of)
def test_packages_are_empty(path):
    assert path.read_bytes() == b""


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_asserted(path):
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    assert [node.lineno for node in nodes if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_forbidden_by_ansible_test(path):
    """Its pylint refuses the name ``_``, print() and sys.exit(); found here in a second, there in minutes."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    underscores = [node.lineno for node in nodes if isinstance(node, ast.Name) and node.id == "_"]
    calls = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
    assert underscores == [] and not {"print", "sys.exit", "exit", "quit"} & set(calls)


def test_every_floor_is_there():
    assert sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")) == sorted(FLOORS)
