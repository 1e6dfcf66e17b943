"""IKEv2's keys against recorded handshakes and the RFCs' own vectors; sealed messages against every tampering."""

from __future__ import annotations

import hmac

import pytest

from ike.crypto import sk_cipher
from ike.crypto.algorithms import CIPHERS, INTEGRITIES, PRFS
from ike.crypto.mac import icv, prf, prf_plus
from ike.crypto.sk_cipher import IntegrityError, sk_key
from ike.crypto.v2_keys import IkeKeys, skeyseed
from ike.wire import v2
from ike.wire.header import decode_header
from tests.unit.handshakes import IKEV2, handshake

SHA1 = PRFS["hmac_sha1"]
HMAC_SHA1 = INTEGRITIES["hmac_sha1"]


@pytest.fixture(params=IKEV2)
def recorded(request):
    return handshake(request.param)


def derive(recorded, initiator: bool = True) -> IkeKeys:
    nonces = recorded["nonce_i"] + recorded["nonce_r"]
    seed = skeyseed(SHA1, recorded["nonce_i"], recorded["nonce_r"], recorded["g_ir"])
    spis = recorded["spi_i"] + recorded["spi_r"]
    return IkeKeys(SHA1, CIPHERS["aes_cbc"], 128, HMAC_SHA1, seed, nonces, spis, initiator)


def test_skeyseed_and_its_family(recorded):
    assert skeyseed(SHA1, recorded["nonce_i"], recorded["nonce_r"], recorded["g_ir"]) == recorded["SKEYSEED"]
    keys = derive(recorded)
    assert (keys._d, keys._pi, keys._pr) == (recorded["SK_d"], recorded["SK_pi"], recorded["SK_pr"])
    assert (keys.outgoing._key, keys.incoming._key) == (recorded["SK_ei"], recorded["SK_er"])
    assert (keys.outgoing._integrity_key, keys.incoming._integrity_key) == (recorded["SK_ai"], recorded["SK_ar"])


def init_exchange(recorded) -> tuple[bytes, bytes]:
    """The initiator's last IKE_SA_INIT request and the responder's answer to it."""
    clear = [one for one in recorded["datagrams"] if decode_header(one["data"]).exchange == 34]
    return clear[-2]["data"], clear[-1]["data"]


def test_both_auth_values(recorded):
    keys = derive(recorded)
    request, answer = init_exchange(recorded)
    auth_i = keys.auth_i(recorded["psk"], request, recorded["nonce_r"], recorded["id_i_body"])
    auth_r = keys.auth_r(recorded["psk"], answer, recorded["nonce_i"], recorded["id_r_body"])
    assert v2.Authentication(2, auth_i).encode() == recorded["auth_i"]
    assert v2.Authentication(2, auth_r).encode() == recorded["auth_r"]


def test_keymat_of_the_first_child(recorded):
    nonces = recorded["nonce_i"] + recorded["nonce_r"]
    assert derive(recorded).keymat(len(recorded["child_keymat"]), nonces) == recorded["child_keymat"]


def test_recorded_sealed_messages_open_and_are_rebuilt_to_the_byte(recorded):
    sealed = [one["data"] for one in recorded["datagrams"] if decode_header(one["data"]).exchange == 35]
    assert len(sealed) == 2
    for datagram, initiator in zip(sealed, (False, True)):
        key = derive(recorded, initiator).incoming
        around = v2.envelope(decode_header(datagram), datagram)
        content = key.open(datagram, around.at)
        message = v2.Message.opened(decode_header(datagram), around.first, content)
        assert message.body(35 if not initiator else 36) == recorded["id_r_body" if initiator else "id_i_body"]
        iv = datagram[around.at : around.at + 16]
        assert key.seal(datagram[: around.at], content, iv) == datagram


# The AES-based PRFs

KEY = bytes(range(16))
DATA = bytes(range(20))


@pytest.mark.parametrize(
    "name, key, expected",
    [
        # RFC 4434 3
        ("aes_xcbc", KEY, "47f51b4564966215b8985c63055ed308"),
        ("aes_xcbc", KEY[:10], "0fa087af7d866e7653434e602fdde835"),
        ("aes_xcbc", KEY + b"\xed\xcb", "8cd3c93ae598a9803006ffb67c40e9e4"),
        # RFC 4615 4
        ("aes_cmac", KEY, "980ae87b5f4c9c5214f5b6a8455e4c2d"),
        ("aes_cmac", KEY[:10], "290d9e112edb09ee141fcf64c0b72f3d"),
        ("aes_cmac", KEY + b"\xed\xcb", "84a348a4a45d235babfffc0d2b4da09a"),
    ],
)
def test_aes_prfs(name, key, expected):
    assert prf(PRFS[name], key, DATA).hex() == expected


@pytest.mark.parametrize(
    "size, expected",
    [
        # RFC 3566 4.6, whose results are these with 96 bits
        (0, "75f0251d528ac01c4573dfd5"),
        (3, "5b376580ae2f19afe7219cee"),
        (16, "d2a246fa349b68a79998a439"),
        (20, "47f51b4564966215b8985c63"),
        (32, "f54f0ec8d2b9f3d36807734b"),
    ],
)
def test_xcbc_96(size, expected):
    assert icv(INTEGRITIES["aes_xcbc"], KEY, bytes(range(size))).hex() == expected


def test_prf_plus_is_a_stream():
    whole = prf_plus(SHA1, b"key", b"seed", 100)
    assert len(whole) == 100
    assert prf_plus(SHA1, b"key", b"seed", 37) == whole[:37]
    assert whole[:20] == prf(SHA1, b"key", b"seed\1")
    assert whole[20:40] == prf(SHA1, b"key", whole[:20] + b"seed\2")


# Sealed messages

SUITES = [
    (name, bits, integrity)
    for name, cipher in CIPHERS.items()
    if sk_cipher.supported(cipher)
    for bits in cipher.key_bits
    for integrity in ([None] if cipher.aead else ["hmac_sha1", "hmac_sha2_256", "aes_xcbc", "aes_cmac"])
]


def pair(name, bits, integrity):
    """A sealing key and an opening key of the same secret."""
    cipher, algorithm = CIPHERS[name], INTEGRITIES[integrity] if integrity else None
    material = bytes(range(cipher.material(bits)))
    return [sk_key(cipher, material, algorithm, bytes(algorithm.key if algorithm else 0)) for _ in range(2)]


@pytest.mark.parametrize("suite", SUITES, ids=str)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 300])
def test_what_is_sealed_opens_and_has_the_size_that_was_said(suite, size):
    sealing, opening = pair(*suite)
    content, head = bytes(range(256)) * 2, b"head" * 8
    sealed = sealing.seal(head, content[:size])
    assert len(sealed) == len(head) + sealing.size(size)
    assert opening.open(sealed, len(head)) == content[:size]


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_no_byte_may_change_and_none_may_be_missing(suite):
    sealing, opening = pair(*suite)
    head = b"head" * 8
    sealed = sealing.seal(head, b"content")
    for at in range(len(sealed)):
        with pytest.raises(IntegrityError):
            opening.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], len(head))
    for end in range(len(head), len(sealed)):
        with pytest.raises(IntegrityError):
            opening.open(sealed[:end], len(head))


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_no_iv_is_used_twice(suite):
    sealing, _ = pair(*suite)
    ivs = {sealing.seal(b"", b"same")[: CIPHERS[suite[0]].iv] for _ in range(100)}
    assert len(ivs) == 100


def test_padding_longer_than_its_message_is_refused():
    key = sk_cipher.MacKey(CIPHERS["aes_cbc"], bytes(16), HMAC_SHA1, bytes(20))
    iv, padded = bytes(16), bytes(15) + b"\xff"
    sealed = iv + sk_cipher._run(CIPHERS["aes_cbc"], bytes(16), iv, padded, encrypt=True)
    with pytest.raises(IntegrityError, match="padding"):
        key.open(sealed + icv(HMAC_SHA1, bytes(20), sealed), 0)


# Post-quantum pre-shared keys


def plus(key: bytes, seed: bytes, size: int) -> bytes:
    """prf+ with HMAC-SHA-1, written out anew from RFC 7296 2.13."""
    stream = block = b""
    for counter in range(1, 256):
        block = hmac.digest(key, block + seed + bytes([counter]), "sha1")
        stream += block
        if len(stream) >= size:
            return stream[:size]
    raise AssertionError(size)


def test_a_ppk_is_mixed_into_three_keys_by_the_formulas_of_rfc_8784(recorded):
    ppk = bytes(range(32))
    keys = derive(recorded)
    mixed = keys.with_ppk(ppk)
    assert mixed._d == plus(ppk, recorded["SK_d"], 20)
    assert mixed._pi == plus(ppk, recorded["SK_pi"], 20)
    assert mixed._pr == plus(ppk, recorded["SK_pr"], 20)
    assert (mixed.outgoing, mixed.incoming) == (keys.outgoing, keys.incoming)
    assert keys._d == recorded["SK_d"]


def test_auth_with_a_ppk(recorded):
    ppk = b"a quantum computer finds no key in this"
    request, _answer = init_exchange(recorded)
    key = plus(ppk, recorded["SK_pi"], 20)
    octets = request + recorded["nonce_r"] + hmac.digest(key, recorded["id_i_body"], "sha1")
    expected = hmac.digest(hmac.digest(recorded["psk"], b"Key Pad for IKEv2", "sha1"), octets, "sha1")
    signed = (recorded["psk"], request, recorded["nonce_r"], recorded["id_i_body"])
    assert derive(recorded).with_ppk(ppk).auth_i(*signed) == expected
