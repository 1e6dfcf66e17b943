"""Hostile input costs bounded time and memory: everything is linear, and every list of problems ends."""
# ruff: noqa: E501 (a table reads best with one case a line)

import time

import pytest

from ike.config.checks.run import check
from ike.config.checks.subject import Options
from ike.config.loader import load_text
from ike.config.problem import MAX_ERRORS

SIZE = 20000

HOSTILE = {
    "braces": "{" * SIZE,
    "closing braces": "}" * SIZE,
    "semicolons": ";" * SIZE,
    "quotes": '"' * (SIZE + 1),
    "blanks": " " * SIZE + "x" + "\t" * SIZE,
    "comments": "#\n" * SIZE,
    "carriage returns": "\r" * SIZE,
    "unknown words": "".join("word{} ;".format(number) for number in range(SIZE)),
    "unclosed sections": "remote r {" * SIZE,
    "nested blocks": "remote r { ikev1 {" + "x { " * SIZE,
    "one list": "remote r { ikev1 { peers_ipaddr { " + "10.0.0.1; " * SIZE + "}; peers_id { " + "ipaddr 10.0.0.1; " * SIZE + "}; }; };",
    "one variable": 'setval A "x"; remote r { ikev1 { my_id fqdn "' + "${A}" * SIZE + '"; }; };',
    "dollars": 'remote r { ikev1 { my_id fqdn "' + "$" * SIZE + "${" * SIZE + '"; }; };',
    "repetitions": "remote r { ikev1 { " + "passive on; " * SIZE + "}; };",
    "the same section": "remote r { ikev1 { passive on; }; };" * (SIZE // 10),
    "missing references": "".join(
        "selector s{0} {{ policy_index p{0}; }};".format(number) for number in range(SIZE // 10)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_ends_soon(name):
    start = time.process_time()
    loaded = load_text(HOSTILE[name].encode(), "hostile", "tanuki")
    problems = check(loaded, Options(files=False))
    assert time.process_time() - start < 5
    assert sum(problem.severity == "error" for problem in problems) <= 2 * (MAX_ERRORS + 1)


def test_too_many_errors_say_so():
    problems = load_text(b"x;\n" * 5000, "hostile", "tanuki").problems
    assert len(problems) == MAX_ERRORS + 1
    assert str(problems[-1]) == "hostile:1001:1: more than 1000 errors: the rest is not shown"
