"""The wire floor's fuzz corpus, replayed: whatever was once found stays found."""

import importlib.util
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"
CORPUS = sorted((FUZZ / "corpus" / "wire").iterdir())


def target():
    specification = importlib.util.spec_from_file_location("fuzz_wire", FUZZ / "fuzz_wire.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.run_one


def test_there_is_a_corpus():
    assert len(CORPUS) > 50


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_input_has_a_verdict(path):
    target()(path.read_bytes())
