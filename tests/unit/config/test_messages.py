"""Syntax errors say what is wrong, where, and what was probably meant; reading goes on behind them."""
# ruff: noqa: E501 (a table reads best with one case a line)

import pytest

from ike.config.loader import load_text

CASES = [
    ("policy p { action auto_IPsec; };", 1, 19, "did you mean auto_ipsec? keywords are lower case"),
    ("policy p { acton none; };", 1, 12, "did you mean action?"),
    ("remote r { my_id ipaddr 10.0.0.1; };", 1, 12, "it belongs in ikev1, ikev2, kink"),
    ("remote r { ikev1 { kmp_enc_alg foo_cbc; }; };", 1, 32, "kmp_enc_alg: expected one of"),
    ("remote r { ikev1 { kmp_sa_lifetime_time 100sec; }; };", 1, 41, "write a blank between number and unit: 100 sec"),
    ('remote r { ikev1 { max_retry_to_send "${A}"; }; };', 1, 38, "numbers are read before variables are known"),
    ("remote r { ikev1 { exchange_mode { main; }; }; };", 1, 34, "it takes one value, not a list"),
    ('remote r { ikev1 { exchange_mode "main"; }; };', 1, 34, "keywords stand without quotes"),
    ('remote r { ikev1 { my_id user_fqdn "a@b"; }; };', 1, 26, "did you mean email?"),
    ("remote r { ikev1 { kmp_dh_group curve25519; }; };", 1, 33, "only dialect tanuki knows curve25519"),
    ("remote esp { ikev1 { passive on; }; };", 1, 8, "esp is a reserved word: as a string it needs quotes"),
    ('remote r { ikev1 { script phase1_up "/x"; }; };', 1, 43, "write script { event path; }; instead"),
    ("include /etc/x;", 1, 9, "a path to include must be quoted"),
    ("remote r {\n ikev1 { passive on; }\n};", 2, 23, "expected ; after } (a closing brace needs a semicolon too)"),
    ("remote r {\n ikev1 {\n passive on\n dpd on; }; };", 3, 12, "expected ; after on"),
    ("policy p { my_sa_ipaddr 10.0.0.1 port 500; };", 1, 34, "my_sa_ipaddr takes no port"),
    ("policy p { my_sa_ipaddr 10.0.0.1$; };", 1, 33, "such characters stand only inside quotes and comments"),
    ('policy p { my_sa_ipaddr "10.0.0.1; };\n', 1, 25, "a quote that is never closed"),
    ("remote r { ikev1 { passive on; };\nremote s { ikev1 { passive on; }; };", 2, 1, 'a block above lacks its closing "};"'),
    ("remote r { ikev1 { passive on;", 1, 31, "expected } for the block that begins at line 1, found the end of the file"),
    ("passive on;", 1, 1, "it belongs in ikev1, ikev2, kink"),
    ("selector s { src 10.0.0.300; };", 1, 18, "10.0.0.300 is no address"),
    ("\ufeffresolver { resolver off; };", 1, 1, "save it as UTF-8 without BOM"),
    ("", 1, 1, "the file has no section"),
]  # fmt: skip


@pytest.mark.parametrize("text, line, column, expected", CASES, ids=[case[3] for case in CASES])
def test_message(text, line, column, expected):
    problems = load_text(text.encode(), "site.conf", "racoon2").problems
    first = next(problem for problem in problems if expected in str(problem))
    assert str(first).startswith("site.conf:{}:{}: ".format(line, column))


def test_reading_goes_on_behind_every_mistake():
    text = b"""
remote a { ikev1 { pasive on; kmp_enc_alg { foo; }; dpd maybe; my_id ipaddr 10.0.0.1; }; };
policy p { action auto_IPsec; install on; };
nonsense { a b c; { d; }; };
remote b { ikev1 { times_per_send two; }; };
"""
    loaded = load_text(text, "site.conf", "racoon2")
    assert [problem.line for problem in loaded.problems] == [2, 2, 2, 3, 4, 5]
    assert [section.label for section in loaded.tree.sections] == ["remote a", "policy p", "remote b"]


UNUSED = [
    ('remote r { kink { my_principal "a@B"; use_coa on; }; };', "tanuki", ["kink has no effect here"]),
    ("remote r { ikev2 { mobility_role mobile; use_coa on; }; };", "tanuki", ["mobility_role has", "use_coa has"]),
    ("remote r { ikev2 { request { ip4; }; }; };", "tanuki", ["request has no effect here"]),
    ("addresspool a { 10.0.0.1 - 10.0.0.9; };", "tanuki", ["addresspool has no effect here"]),
    ('remote r { kink { my_principal "a@B"; }; };', "racoon2", []),
    (
        "remote r { ikev1 { logmode debug; }; ikev2 { logmode debug; }; };",
        "racoon2",
        ["racoon2 ignores logmode in ikev1"],
    ),
    ("remote r { ikev2 { proposal_check exact; }; };", "racoon2", ["racoon2 ignores proposal_check in ikev2"]),
    ("interface { spmd { unix /run/spmif; }; spmd_password /p; kink { MY_IP; }; };", "tanuki", []),
]


@pytest.mark.parametrize("text, dialect, expected", UNUSED)
def test_what_nobody_acts_on_is_named_and_never_refused(text, dialect, expected):
    loaded = load_text(text.encode(), "site.conf", dialect)
    assert loaded.configuration is not None
    assert len(loaded.problems) == len(expected)
    for problem, words in zip(loaded.problems, expected):
        assert (problem.severity, words in problem.message) == ("warning", True)


def test_an_unclosed_block_costs_no_other_section():
    text = b"remote a { ikev1 { passive on; };\n\nselector s { policy_index p; };\npolicy p { action none; };\n"
    loaded = load_text(text, "site.conf", "racoon2")
    assert [section.label for section in loaded.tree.sections] == ["remote a", "selector s", "policy p"]


def test_a_message_is_one_line_whatever_the_file_holds():
    problems = load_text(
        b'remote "a\x1b[31m" { ikev1 { pasive "x\ny"; my_id fqdn \x1b; }; };', "site.conf", "racoon2"
    ).problems
    assert problems
    assert all(str(problem).isprintable() for problem in problems)
