"""Key exchange methods: both ends agree, and a bad public value never reaches the arithmetic (RFC 6989)."""

from __future__ import annotations

import pytest

from ike.crypto import backend, groups
from ike.crypto.algorithms import GROUPS

RUNNABLE = [group for group in GROUPS.values() if groups.supported(group) and not group.kem]
KEMS = [group for group in GROUPS.values() if group.kem]
MODP = [group for group in RUNNABLE if group.kind == "modp"]


@pytest.mark.parametrize("group", RUNNABLE, ids=lambda group: group.name)
def test_both_ends_agree(group):
    ours, theirs = groups.generate(group), groups.generate(group)
    assert len(ours.public) == group.public
    assert ours.shared(theirs.public) == theirs.shared(ours.public)


@pytest.mark.parametrize("group", MODP, ids=lambda group: group.name)
def test_a_modulus_has_its_form_and_passes_fermat(group):
    prime = groups.modulus(group)
    assert prime.bit_length() == group.bits
    assert prime >> (group.bits - 64) == 2**64 - 1 == prime & (2**64 - 1)
    if group.bits <= 3072:
        assert pow(2, prime - 1, prime) == 1
        assert pow(2, (prime - 1) // 2 - 1, (prime - 1) // 2) == 1


@pytest.mark.parametrize("group", MODP, ids=lambda group: group.name)
@pytest.mark.parametrize("offset", [0, 1, -1, "p", "p+2"])
def test_degenerate_modp_values_are_refused(group, offset):
    prime = groups.modulus(group)
    value = {0: 0, 1: 1, -1: prime - 1, "p": prime, "p+2": prime + 2}[offset]
    with pytest.raises(groups.KeyExchangeError):
        groups.generate(group).shared(value.to_bytes(group.public, "big"))


@pytest.mark.parametrize("group", RUNNABLE, ids=lambda group: group.name)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_public_value_of_another_length_is_refused(group, change):
    with pytest.raises(groups.KeyExchangeError, match="bytes"):
        groups.generate(group).shared(b"\2" * (group.public + change))


@pytest.mark.parametrize("name", ["curve25519", "curve448", "ecp256", "ecp384", "ecp521"])
def test_zero_is_no_point(name):
    group = GROUPS[name]
    with pytest.raises(groups.KeyExchangeError):
        groups.generate(group).shared(bytes(group.public))


def test_a_point_off_the_curve_is_refused():
    group = GROUPS["ecp256"]
    public = bytearray(groups.generate(group).public)
    public[-1] ^= 1
    with pytest.raises(groups.KeyExchangeError, match="outside of ecp256"):
        groups.generate(group).shared(bytes(public))


# Key encapsulation


@pytest.mark.parametrize("group", KEMS, ids=lambda group: group.name)
def test_the_responder_encapsulates_what_the_initiator_finds(group):
    pair = groups.generate(group)
    ciphertext, secret = groups.encapsulate(group, pair.public)
    assert (len(pair.public), len(ciphertext), len(secret)) == (group.public, group.answer, 32)
    assert pair.shared(ciphertext) == secret
    assert groups.encapsulate(group, pair.public)[1] != secret


@pytest.mark.parametrize("group", KEMS, ids=lambda group: group.name)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_kem_takes_values_of_its_own_lengths_only(group, change):
    pair = groups.generate(group)
    with pytest.raises(groups.KeyExchangeError, match="{} bytes, not".format(group.answer)):
        pair.shared(bytes(group.answer + change))
    with pytest.raises(groups.KeyExchangeError, match="{} bytes, not".format(group.public)):
        groups.encapsulate(group, bytes(group.public + change))


@pytest.mark.parametrize("group", KEMS, ids=lambda group: group.name)
def test_a_public_value_whose_numbers_are_too_large_is_refused(group):
    """FIPS 203 7.2: the encapsulation key's modulus check."""
    with pytest.raises(groups.KeyExchangeError, match="outside of {}".format(group.name)):
        groups.encapsulate(group, b"\xff" * group.public)


def test_a_ciphertext_that_nobody_made_gives_another_secret():
    """FIPS 203 6.3: implicit rejection; AUTH is what finds it out."""
    pair = groups.generate(GROUPS["mlkem768"])
    ciphertext, secret = groups.encapsulate(pair.group, pair.public)
    assert pair.shared(ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])) != secret


def test_a_library_without_it_is_named(monkeypatch):
    monkeypatch.setattr(backend, "runs_mlkem", lambda: False)
    monkeypatch.setattr(backend, "versions", lambda: "cryptography 38.0.4, OpenSSL 3.0.19")
    assert not groups.supported(GROUPS["mlkem768"])
    assert groups.supported(GROUPS["curve25519"])
    assert groups.lacking(GROUPS["mlkem1024"]) == (
        "mlkem1024 needs cryptography 48 or newer on OpenSSL 3.5 or newer; here is cryptography 38.0.4, OpenSSL 3.0.19"
    )


def test_versions_are_what_they_are():
    assert backend.versions().startswith("cryptography ")
    assert "OpenSSL" in backend.versions()
