"""Hypothesis strategies for whole configurations, grown from the grammar table itself."""

from hypothesis import strategies as st

from ike.config.grammar import CONTEXTS, EVENTS, TOP, WORD_CLASSES
from ike.config.model import Block, Configuration, Directive, Word
from ike.config.syntax import SYNTAX

MAX_STATEMENTS = 4

STRINGS = st.text(st.characters(blacklist_characters='"', blacklist_categories=("Cs",)), max_size=12)
NUMBERS = st.integers(min_value=-(2**31), max_value=2**31 - 1).map(str)


def words(element, rule):
    """What may stand in one place of an argument."""
    if element.name in ("STRING", "QUOTED"):
        texts = STRINGS
    elif element.name == "NUMBER":
        texts = NUMBERS
    elif element.name == "WORD":
        texts = st.sampled_from(rule.words + rule.more_words)
    elif element.name in WORD_CLASSES:
        texts = st.sampled_from(sorted(WORD_CLASSES[element.name]) if element.name != "EVENT" else EVENTS)
    else:
        texts = st.just(element.name)
    return texts.map(lambda text: (Word(text, element.kind),))


def sequences(sequence, rule):
    parts = []
    for element in sequence:
        if element.group:
            parts.append(st.one_of(st.just(()), sequences(element.group, rule)))
        else:
            parts.append(words(element, rule))
    return st.tuples(*parts).map(lambda taken: sum(taken, ()))


def items(rule):
    return st.one_of([sequences(sequence, rule) for sequence in SYNTAX[rule.argument]])


@st.composite
def directives(draw, rule):
    listed = rule.listed and (rule.name == "request" or draw(st.booleans()))
    least = 0 if rule.empty else 1
    size = draw(st.integers(least, 3)) if listed else 1
    return Directive(rule.name, tuple(draw(items(rule)) for _ in range(size)), listed)


@st.composite
def blocks(draw, rule):
    index = Word(draw(STRINGS)) if rule.indexed else None
    least = 0 if rule.empty else 1
    return Block(
        rule.name, index, tuple(draw(st.lists(statements(rule.name), min_size=least, max_size=MAX_STATEMENTS)))
    )


def statements(context):
    rules = list(CONTEXTS[context].values())
    return st.sampled_from(rules).flatmap(lambda rule: blocks(rule) if rule.argument == "block" else directives(rule))


def configurations():
    sections = st.lists(statements(TOP), min_size=1, max_size=MAX_STATEMENTS)
    return sections.map(lambda found: Configuration(tuple(found), "tanuki"))
