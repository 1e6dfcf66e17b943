"""Upstream's own verdicts on small files: dialect racoon2 gives the same ones, dialect tanuki the safer ones.

Each case was run against upstream's own parser; the numbers tell them apart.
"""

import pytest

from ike.config.checks.run import check
from ike.config.effective import effective
from ike.config.loader import load_text

IKEV1 = "remote r {{ ikev1 {{ {} }}; }};"
IKEV2 = "remote r {{ ikev2 {{ {} }}; }};"
TRAFFIC = "direction outbound; src 10.0.0.0/8; dst 10.1.0.0/16; policy_index p;"
SELECTOR = "selector s {{ " + TRAFFIC + " {} }}; policy p {{ action none; }};"
REACHED = "selector s {{ " + TRAFFIC + " }}; {}"
ESP = "sa a { sa_protocol esp; }; sa b { sa_protocol esp; };"

ACCEPTED = [
    ("2", "resolver { resolver off; };"),
    ("2 final newline", "resolver { resolver off; };\n"),
    ("2 CRLF", "resolver {\r\n resolver off;\r\n};\r\n"),
    ("7", 'setval A "b";'),
    ("10", 'setval { A "1.1.1.1"; A "2.2.2.2"; }; remote r { ikev1 { peers_ipaddr "${A}"; }; };'),
    ("12", 'setval { AA "$[HOME]"; };'),
    ("13", 'remote r { ikev1 { my_id fqdn "${A}"; }; }; setval { A "zz"; };'),
    ("14", IKEV1.format('my_id fqdn "a$b";')),
    ("17 quoted", 'remote "esp" { ikev1 { passive on; }; };'),
    ("18 hex", IKEV1.format("max_retry_to_send 0x10;")),
    ("18 zero", IKEV1.format("max_retry_to_send 010;")),
    ("18 negative", IKEV1.format("max_retry_to_send -1;")),
    ("18 quoted", IKEV1.format('max_retry_to_send "7";')),
    ("20 bare", IKEV1.format("kmp_sa_lifetime_time 100;")),
    ("20 unit", IKEV1.format("kmp_sa_lifetime_time 100 sec;")),
    ("24", IKEV1.format("max_retry_to_send 3; max_retry_to_send 4;")),
    ("25", IKEV2.format("max_retry_to_send 3; max_retry_to_send 4;")),
    ("27", IKEV1.format("passive on;") + IKEV1.format("passive off;")),
    ("28", IKEV1.format("kmp_enc_alg { rijndael_cbc,256; rijndael_cbc, 128; aes_ctr,128; };")),
    ("29 numbers", IKEV1.format("kmp_dh_group { 14; 2; };")),
    ("29 number", IKEV1.format("kmp_dh_group 14;")),
    ("31", IKEV1.format('script phase1_up "/x";;')),
    ("34", IKEV1.format('peers_id fqdn file "x";')),
    ("35", IKEV1.format('peers_public_key x509pem "c";')),
    ("36 any", SELECTOR.format("upper_layer_protocol any;")),
    ("36 esp", SELECTOR.format('upper_layer_protocol "esp";')),
    ("36 hex", SELECTOR.format("upper_layer_protocol 0x32;")),
    ("36 icmp", SELECTOR.format("upper_layer_protocol icmp 8 0;")),
    ("38 isakmp", IKEV1.format("peers_ipaddr 10.0.0.1 port isakmp;")),
    ("40", "addresspool a { 10.0.0.1 - 10.0.0.5; };"),
    ("40 empty", "addresspool a { };"),
    ("42 policy", "policy p { ipsec_index nosuch; };"),
    ("42 ipsec", "ipsec i { sa_index nosuch; };"),
    ("49", "policy p { action bypass; };"),
    ("50", "remote r { ikev1 { passive on; }; ikev1 { passive off; }; };"),
    ("2.5 request", "remote r { ikev2 { request { ip4; dns; }; }; };"),
    (
        "2.5 provide",
        'remote r { ikev2 { provide { addresspool p; dns 10.0.0.1 port 53; application_version "x"; }; }; };',
    ),
    ("2.5 provide empty", "remote r { ikev2 { provide { }; }; };"),
    ("2.1 default", "default { remote { ikev1 { passive on; }; }; policy { action none; }; sa { spi 1; }; };"),
    ("kink", 'remote r { kink { my_principal "a@B"; peers_principal "b@B"; }; };'),
    ("1.4 setval names a reserved word", 'setval { "port" "x"; };'),
]

REJECTED = [
    ("1 empty", ""),
    ("1 comment", "# x"),
    ("3", "resolver { resolver off; }"),
    ("5", "resolver { $ resolver off; };"),
    ("6", 'SETVAL { A "b"; };'),
    ("8", 'setval A "b"; setval C "d";'),
    ("9 setval", "setval { };"),
    ("9 interface", "interface { };"),
    ("9 remote", "remote r { };"),
    ("9 default", "default { };"),
    ("11", 'setval { A "x"; AA "${A}"; };'),
    ("15", IKEV1.format('my_id fqdn "${NOPE";')),
    ("16 B", 'setval { B "x"; };'),
    ("16 port", 'setval { port "x"; };'),
    ("17", "remote esp { ikev1 { passive on; }; };"),
    ("19", 'setval A "7"; ' + IKEV1.format('max_retry_to_send "${A}";')),
    ("20 no blank", IKEV1.format("kmp_sa_lifetime_time 100sec;")),
    ("21", IKEV1.format("kmp_sa_lifetime_byte 4 GB;")),
    ("22", IKEV1.format("max_retry_to_send infinite;")),
    ("23", IKEV1.format("peers_kmp_port 500;")),
    ("26", IKEV1.format("kmp_enc_alg 3des_cbc; kmp_enc_alg aes128_cbc;")),
    ("29 mixed", IKEV1.format("kmp_dh_group { modp2048; 2; };")),
    ("29 unknown", IKEV1.format("kmp_dh_group 99;")),
    ("30", IKEV1.format("exchange_mode { main; aggressive; };")),
    ("31 last", IKEV1.format('script phase1_up "/x";')),
    ("32 dpd", IKEV2.format("dpd on;")),
    ("32 dpd_retry", IKEV2.format("dpd_retry 5;")),
    ("32 cookie", IKEV1.format("cookie_required on;")),
    ("33", IKEV1.format('my_id user_fqdn "x";')),
    ("35", IKEV1.format('my_public_key x509pem "a";')),
    ("36 bare", SELECTOR.format("upper_layer_protocol esp;")),
    ("36 case", SELECTOR.format('upper_layer_protocol "Any";')),
    ("37 netmask", "selector s { src 10.0.0.0/255.0.0.0; };"),
    ("38 name", IKEV1.format("peers_ipaddr 10.0.0.1 port abc;")),
    ("39 list", REACHED.format("policy p { my_sa_ipaddr { 1.1.1.1; }; };")),
    ("39 port", REACHED.format("policy p { my_sa_ipaddr 1.1.1.1 port 500; };")),
    ("40 no blanks", "addresspool a { 10.0.0.1-10.0.0.5; };"),
    ("41 policy", REACHED.format("")),
    ("41 ipsec", REACHED.format("policy p { ipsec_index nosuch; };")),
    ("41 sa", REACHED.format("policy p { ipsec_index i; }; ipsec i { sa_index nosuch; };")),
    ("44 protocol", REACHED.format("policy p { ipsec_index i; }; ipsec i { sa_index a; }; sa a { spi 0; };")),
    (
        "44 twice",
        REACHED.format("policy p { ipsec_index i; }; ipsec i { sa_index { a; b; }; };") + ESP,
    ),
    ("46 none", 'include "/nonexistent/no-match*";'),
    ("46 unquoted", "include /etc/hosts;"),
    ("46 inside", 'remote r { include "/etc/hosts"; };'),
    ("46 braces", 'include "/nonexistent/x{a,b}";'),
    ("47", "\ufeffresolver { resolver off; };"),
    ("48", "interface { ike { MY_IP port 500; }; ike { MY_IP; }; };"),
]

# What upstream accepts and a safer daemon refuses.
DEVIATIONS = [
    ("4", "resolver { resolver off; };\n$\ngarbage {{{"),
    ("37 range", SELECTOR.format("").replace("10.0.0.0/8", "10.0.0.0/33")),
    ("37 unmasked", SELECTOR.format("").replace("10.0.0.0/8", "10.1.2.3/8")),
    ("38", IKEV1.format("peers_ipaddr 10.0.0.1 port 70000;")),
    ("43", REACHED.format("policy p { action none; remote_index nosuch; };")),
    ("45 direction", "selector s { src 10.0.0.0/8; dst 10.1.0.0/16; policy_index p; }; policy p { action none; };"),
    ("45 policy", "selector s { direction outbound; src 10.0.0.0/8; dst 10.1.0.0/16; };"),
]


def ids(cases):
    return [case[0] for case in cases]


@pytest.mark.parametrize("dialect", ["racoon2", "tanuki"])
@pytest.mark.parametrize("case", ACCEPTED, ids=ids(ACCEPTED))
def test_accepted(case, dialect):
    loaded = load_text(case[1].encode(), "case", dialect)
    assert loaded.configuration is not None, [str(problem) for problem in loaded.problems]


@pytest.mark.parametrize("case", ACCEPTED + DEVIATIONS, ids=ids(ACCEPTED + DEVIATIONS))
def test_a_part_of_a_configuration_has_the_loaders_verdict(case):
    problems = check(load_text(case[1].encode(), "case", "racoon2"))
    assert [str(problem) for problem in problems if problem.is_error] == []
    assert any("a part of a configuration" in problem.message for problem in problems)


@pytest.mark.parametrize("dialect", ["racoon2", "tanuki"])
@pytest.mark.parametrize("case", REJECTED, ids=ids(REJECTED))
def test_rejected(case, dialect):
    loaded = load_text(case[1].encode(), "case", dialect)
    assert loaded.configuration is None
    assert all(problem.file == "case" and problem.line > 0 for problem in loaded.problems)


@pytest.mark.parametrize("case", DEVIATIONS, ids=ids(DEVIATIONS))
def test_deviation_is_a_warning_in_racoon2_and_an_error_in_tanuki(case):
    compatible = load_text(case[1].encode(), "case", "racoon2")
    assert compatible.configuration is not None
    assert any("upstream" in problem.hint for problem in compatible.problems)
    safer = load_text(case[1].encode(), "case", "tanuki")
    assert safer.configuration is None
    assert any(problem.is_error and "deviation" in problem.hint for problem in safer.problems)


def test_only_upstreams_groups_have_numbers_in_racoon2():
    text = IKEV1.format("kmp_dh_group 19;").encode()
    assert load_text(text, "case", "racoon2").configuration is None
    assert load_text(text, "case", "tanuki").configuration is not None


def meaning(text, dialect="racoon2"):
    return effective(load_text(text.encode(), "case", dialect).configuration)


def first_remote(text):
    remote = meaning(text).remotes[0]
    return remote.ikev1 or remote.ikev2


@pytest.mark.parametrize("value, expected", [("0x10", 16), ("010", 10), ("-1", -1), ('"7"', 7)])
def test_numbers_18(value, expected):
    assert first_remote(IKEV1.format("max_retry_to_send {};".format(value))).retries == expected


def test_first_definition_wins_10():
    text = 'setval { A "1.1.1.1"; A "2.2.2.2"; }; remote r { ikev1 { peers_ipaddr "${A}"; }; };'
    assert str(first_remote(text).peers[0].address) == "1.1.1.1"


def test_variables_are_known_before_they_are_defined_13():
    assert first_remote('remote r { ikev1 { my_id fqdn "${A}"; }; }; setval { A "zz"; };').my_ids[0].value == "zz"


def test_lone_dollar_is_literal_14():
    assert first_remote(IKEV1.format('my_id fqdn "a$b";')).my_ids[0].value == "a$b"


def test_environment_12(monkeypatch):
    monkeypatch.setenv("GATEWAY", "10.9.8.7")
    assert str(first_remote(IKEV1.format('peers_ipaddr "$[GATEWAY]";')).peers[0].address) == "10.9.8.7"


def test_repeated_directive_24_25():
    repeated = "max_retry_to_send 3; max_retry_to_send 4;"
    assert first_remote(IKEV1.format(repeated)).retries == 4
    assert first_remote(IKEV2.format(repeated)).retries == 3


def test_first_of_two_remotes_wins_27():
    twice = meaning(IKEV1.format("passive on;") + IKEV1.format("passive off;"))
    assert twice.remote("r").ikev1.passive is True


@pytest.mark.parametrize(
    "value, protocol, ports",
    [("any", 0, (0, 0)), ('"esp"', 50, (0, 0)), ("0x32", 50, (0, 0)), ("icmp 8 0", 1, (8, 0))],
)
def test_upper_layer_protocol_36(value, protocol, ports):
    traffic = meaning(SELECTOR.format("upper_layer_protocol {};".format(value))).tunnels[0].selector
    assert (traffic.protocol, (traffic.source_port, traffic.destination_port)) == (protocol, ports)


@pytest.mark.parametrize("value, port", [("70000", 4464), ("isakmp", 500), ("any", 0)])
def test_ports_38(value, port):
    assert first_remote(IKEV1.format("peers_ipaddr 10.0.0.1 port {};".format(value))).peers[0].port == port


def test_bypass_is_none_49():
    assert meaning(SELECTOR.format("").replace("none", "bypass")) == meaning(SELECTOR.format(""))
    assert meaning(SELECTOR.format("")).tunnels[0].action == "bypass"


def test_later_block_replaces_50():
    assert first_remote("remote r { ikev1 { passive on; }; ikev1 { times_per_send 2; }; };").passive is False


def test_rest_of_the_file_is_ignored_4():
    loaded = load_text(b"resolver { resolver off; };\n$\ngarbage {{{", "case", "racoon2")
    assert len(loaded.configuration.sections) == 1
    assert [(problem.line, problem.column, problem.severity) for problem in loaded.problems] == [(2, 1, "warning")]
