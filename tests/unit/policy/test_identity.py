"""Identities: each kind of the configuration on the wire, and each type of the wire in a line of the log."""

from __future__ import annotations

import ipaddress

import pytest

from ike.config.settings import Identity
from ike.policy.identity import IdentityError, describe_identity, encode_identity


@pytest.mark.parametrize(
    "kind, value, expected, text",
    [
        ("ipaddr", ipaddress.ip_address("210.11.11.11"), (1, bytes([210, 11, 11, 11])), "ipaddr 210.11.11.11"),
        ("ipaddr", ipaddress.ip_address("2001:db8::11"), (5, b"\x20\x01\r\xb8" + bytes(11) + b"\x11"), None),
        ("fqdn", "tokyo.example", (2, b"tokyo.example"), "fqdn tokyo.example"),
        ("email", "noc@tokyo.example", (3, b"noc@tokyo.example"), "email noc@tokyo.example"),
        ("keyid", "site 7", (11, b"site 7"), "keyid site 7"),
    ],
)
def test_kinds_and_types(kind, value, expected, text):
    assert encode_identity(Identity(kind, value)) == expected
    assert describe_identity(*expected) == (text or "{} {}".format(kind, value))


def test_a_key_id_of_a_file_is_its_bytes(tmp_path):
    file = tmp_path / "id"
    file.write_bytes(b"\x00\xffkey\n")
    assert encode_identity(Identity("keyid", str(file), source="file")) == (11, b"\x00\xffkey\n")
    assert describe_identity(11, file.read_bytes()) == "keyid \\x00\\xffkey\\x0a"
    with pytest.raises(IdentityError, match="nowhere: No such file"):
        encode_identity(Identity("keyid", str(tmp_path / "nowhere"), source="file"))


def test_a_certificates_subject_is_refused():
    with pytest.raises(IdentityError, match="certificates"):
        encode_identity(Identity("x509_subject", "/etc/tokyo.pem", source="file"))


@pytest.mark.parametrize("kind", [*range(14), 255])
def test_what_a_peer_calls_itself_breaks_no_line(kind):
    for data in (b"", b"\n\x1b[31m", bytes(4), bytes(16), b"x" * 1000):
        text = describe_identity(kind, data)
        assert text.isprintable()
        assert len(text) < 600
