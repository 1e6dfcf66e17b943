"""Coverage-guided fuzzing of the configuration's front end: bytes in, a verdict out, never an exception.

``python3 tests/fuzz/fuzz_config.py [libFuzzer options] tests/fuzz/corpus/config`` with atheris installed; the unit
tests replay the stored corpus without it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "module_utils"))

from ike.config.checks.run import check
from ike.config.checks.subject import Options
from ike.config.effective import effective
from ike.config.loader import load_text
from ike.config.render import render


def run_one(data: bytes) -> None:
    """One input through everything that reads configurations. Raises only where the project is at fault."""
    for dialect in ("racoon2", "tanuki"):
        loaded = load_text(data, "fuzz", dialect)
        check(loaded, Options(files=False))
        if loaded.configuration is None:
            continue
        effective(loaded.configuration)
        again = load_text(render(loaded.configuration).encode("utf-8", "surrogateescape"), "fuzz", dialect)
        if again.configuration != loaded.configuration:
            raise AssertionError("rendering changes the configuration")


def main() -> None:
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, run_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
