"""What holds for every configuration and for every string of bytes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ike.config.checks.run import check
from ike.config.checks.subject import Options
from ike.config.effective import effective
from ike.config.loader import load_text
from ike.config.model import Block, Configuration, Directive, Word
from ike.config.parser import parse
from ike.config.problem import Problems
from ike.config.render import render

from .samples import NAMES, sample
from .trees import configurations

SLOW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

ALPHABET = 'remote selector policy ikev1 {};,"$#-/[]\n\t0123456789.:%ab\r\ufeff é'


def parsed(text):
    problems = Problems("tanuki")
    return Configuration(parse(text, "text", problems), "tanuki"), problems


@SLOW
@given(configurations())
def test_what_is_rendered_parses_to_the_same_tree(tree):
    again, problems = parsed(render(tree))
    assert problems.found == []
    assert again == tree


@SLOW
@given(configurations())
def test_any_tree_has_a_verdict(tree):
    examine(render(tree).encode())


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(ALPHABET, max_size=200).map(str.encode)))
def test_any_bytes_load_or_have_a_positioned_error(data):
    examine(data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_any_damage_to_a_sample_loads_or_has_a_positioned_error(name, data):
    text = sample(name)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    examine(text[:start] + data.draw(st.binary(max_size=8)) + text[end:])


@pytest.mark.parametrize("name", NAMES)
def test_every_single_character_mistake_loads_or_has_a_positioned_error(name):
    """Each deletion, insertion and swap in a sample, blank lines and indentation taken out first."""
    text = "\n".join(line.strip() for line in sample(name).decode().splitlines() if line.strip())
    inserted = ';{}"$x0\n,-/'
    for place in range(len(text)):
        read(text[:place] + text[place + 1 :])
        read(text[:place] + inserted[place % len(inserted)] + text[place:])
        read(text[:place] + text[place + 1 : place + 2] + text[place : place + 1] + text[place + 2 :])


def read(text):
    loaded = load_text(text.encode(), "text", "tanuki")
    errors = [problem for problem in loaded.problems if problem.is_error]
    assert (loaded.configuration is None) == bool(errors)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in errors)


def examine(data):
    for dialect in ("racoon2", "tanuki"):
        loaded = load_text(data, "data", dialect)
        lines = data.count(b"\n") + 1
        assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in loaded.problems)
        assert (loaded.configuration is None) == any(problem.is_error for problem in loaded.problems)
        check(loaded, Options(files=False))
        if loaded.configuration is not None:
            effective(loaded.configuration)


@pytest.mark.parametrize("dialect", ["racoon2", "tanuki"])
@pytest.mark.parametrize("name", NAMES)
def test_samples_load_and_survive_rendering(name, dialect):
    loaded = load_text(sample(name), name, dialect)
    text = render(loaded.configuration)
    again = load_text(text.encode(), name, dialect)
    assert again.configuration == loaded.configuration
    assert render(again.configuration) == text
    assert effective(again.configuration) == effective(loaded.configuration)


@pytest.mark.parametrize("text", [" ,", "a ,b", "7", "007", "-1", "٣", "esp", "", "${A}", "line\nline", "\r"])
def test_strings_survive_rendering(text):
    tree = Configuration((Block("remote", Word(text), (Directive("selector_index", ((Word(text),),)),)),), "racoon2")
    assert parsed(render(tree))[0] == tree


def test_a_numeric_path_to_include_stays_quoted():
    tree = Configuration((Directive("include", ((Word("123"),),)),), "racoon2")
    assert parsed(render(tree))[0] == tree


def test_a_quote_cannot_be_rendered():
    tree = Configuration((Block("remote", Word('a"b'), ()),), "racoon2")
    with pytest.raises(ValueError, match="quote"):
        render(tree)
