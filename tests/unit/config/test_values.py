"""Words to values: numbers, addresses, algorithms, identities, and where they are refused."""

import ipaddress

import pytest

from ike.config.grammar import CONTEXTS
from ike.config.parser import parse
from ike.config.problem import Problems
from ike.config.settings import Identity
from ike.config.values import Algorithm, Reader
from ike.config.variables import Variables

VARIABLES = Variables(
    {"A": "10.0.0.1", "NET": "10.0.0.0/8", "NEST": "$[INNER]", "LOOP": "x"}, {"INNER": "${A}", "SELF": "$[SELF]"}
)


def read(context, statement, dialect="tanuki"):
    """(value, deviations) of the first item of a directive."""
    wrapped = {"ikev1": "remote r {{ ikev1 {{ {} }}; }};", "ikev2": "remote r {{ ikev2 {{ {} }}; }};"}
    text = wrapped.get(context, context + " x {{ {} }};").format(statement)
    problems = Problems(dialect)
    (section,) = parse(text, "text", problems)
    assert problems.found == []
    while section.body[0].name in ("ikev1", "ikev2"):
        section = section.body[0]
    reader = Reader(VARIABLES, dialect)
    return reader.read(CONTEXTS[context][section.body[0].name], section.body[0].items[0]), reader.deviations


def value(context, statement):
    return read(context, statement)[0]


@pytest.mark.parametrize(
    "text, seconds",
    [("7", 7), ("7 sec", 7), ("2 min", 120), ("3 hours", 10800), ("1 day", 86400), ("infinite", 0), ("0x10 mins", 960)],
)
def test_times(text, seconds):
    assert value("ikev1", "kmp_sa_lifetime_time {};".format(text)) == seconds


@pytest.mark.parametrize("text, size", [("7", 7), ("7 B", 7), ("2 KB", 2048), ("1 MB", 1 << 20), ("1 GB", 1 << 30)])
def test_sizes(text, size):
    assert value("ikev1", "kmp_sa_lifetime_byte {};".format(text)) == size


@pytest.mark.parametrize("text", ["2 GB", "100000 days", "2147483648"])
def test_numbers_end_at_31_bits(text):
    directive = "kmp_sa_lifetime_byte" if "GB" in text else "kmp_sa_lifetime_time"
    with pytest.raises(ValueError, match="the largest number"):
        value("ikev1", "{} {};".format(directive, text))


def test_addresses():
    place = value("selector", 'src "${NET}" port 443;')
    assert (str(place.network()), place.port) == ("10.0.0.0/8", 443)
    assert str(value("selector", "src fd00::1;").network()) == "fd00::1/128"
    assert str(value("selector", "src ::/0;").network()) == "::/0"
    assert value("ikev1", "peers_ipaddr gw.example.com;").name == "gw.example.com"
    assert value("ikev1", "peers_ipaddr MY_IP%em0;").macro
    assert not value("ikev1", "peers_ipaddr MY_IPX;").macro


@pytest.mark.parametrize("text", ["fe80::1%em0", "fe80::%em0/64", "10.0.0.0/8", "10.0.0.1", "10.0.0.1/32"])
def test_networks_without_host_bits(text):
    assert read("selector", "src {};".format(text))[1] == []


@pytest.mark.parametrize("text", ["fe80::1%em0/64", "10.0.0.1/8", "10.0.0.0/33"])
def test_networks_with_host_bits_or_beyond_their_length(text):
    assert len(read("selector", "src {};".format(text))[1]) == 1


def test_variables_nest_and_end():
    assert VARIABLES.expand("<${NEST}>") == "<10.0.0.1>"
    assert VARIABLES.expand("$ ${A}$ $x") == "$ 10.0.0.1$ $x"
    with pytest.raises(ValueError, match="names itself"):
        VARIABLES.expand("$[SELF]")
    with pytest.raises(ValueError, match=r"\$\{NONE\} is not defined"):
        VARIABLES.expand("a${NONE}b")
    with pytest.raises(ValueError, match="lacks its closing"):
        VARIABLES.expand("a${NONE")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("aes_ctr,128", Algorithm("aes_ctr", 128)),
        ("aes_ctr, 128", Algorithm("aes_ctr", 128)),
        ('aes_ctr,128,"key"', Algorithm("aes_ctr", 128, "key")),
        ('3des_cbc,,"key"', Algorithm("3des_cbc", None, "key")),
        ('3des_cbc,,","', Algorithm("3des_cbc", None, ",")),
    ],
)
def test_algorithms(text, expected):
    assert value("ikev1", "kmp_enc_alg {};".format(text)) == expected


@pytest.mark.parametrize("number, name", [(14, "modp2048"), (31, "curve25519"), (4, "ec2n185"), (36, "mlkem768")])
def test_groups_by_number(number, name):
    assert value("ikev2", "kmp_dh_group {};".format(number)) == name


@pytest.mark.parametrize(
    "text, expected",
    [
        ("ipaddr 10.0.0.1", Identity("ipaddr", ipaddress.ip_address("10.0.0.1"))),
        ('fqdn "gw"', Identity("fqdn", "gw")),
        ('email "a@b"', Identity("email", "a@b")),
        ('keyid "/file"', Identity("keyid", "/file", "file")),
        ('keyid file "/file"', Identity("keyid", "/file", "file")),
        ('keyid tag "literal"', Identity("keyid", "literal")),
        ('x509_subject "/cert"', Identity("x509_subject", "/cert", "file")),
    ],
)
def test_identities(text, expected):
    assert value("ikev1", "my_id {};".format(text)) == expected


def test_an_identity_that_upstream_leaves_empty():
    assert value("ikev1", "my_id ipaddr MY_IP;").value == ""
    assert len(read("ikev1", "my_id ipaddr 10.0.0.1/24;")[1]) == 1


@pytest.mark.parametrize("text", ["10.0.0.9 - 10.0.0.1", "10.0.0.1 - fd00::1", "a - b"])
def test_ranges_that_hold_nothing(text):
    with pytest.raises(ValueError, match="range"):
        value("addresspool", "{};".format(text))
