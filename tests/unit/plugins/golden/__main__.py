"""Write the golden configurations anew: ``python3 -m tests.unit.plugins.golden``. Then read what git says of them."""

from __future__ import annotations

from tests.unit.plugins import conftest  # noqa: F401 - makes the collection importable
from tests.unit.plugins.golden.generate import HERE, INVENTORIES, generate

for stale in HERE.glob("*/*.conf"):
    stale.unlink()
for inventory in INVENTORIES:
    for path, text in generate(inventory).items():
        path.write_text(text)
