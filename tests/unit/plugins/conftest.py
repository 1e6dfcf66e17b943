"""Lets the tests import the collection's plugins by their real name, `ansible_collections.tanuki.ipsec`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TREE = ROOT / "build" / "checkout"


def _link_checkout() -> None:
    link = TREE / "ansible_collections" / "tanuki" / "ipsec"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT, target_is_directory=True)
    sys.path.insert(0, str(TREE))


_link_checkout()
