"""This checkout under its name as a collection, below build/: for benchmarks of what runs on the controller."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def checkout() -> Path:
    """A folder for ``sys.path``, in which ``ansible_collections.tanuki.ipsec`` is this checkout."""
    tree = ROOT / "build" / "checkout"
    link = tree / "ansible_collections" / "tanuki" / "ipsec"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT, target_is_directory=True)
    return tree
