"""IKEv1 key derivation against recorded racoon2 handshakes."""

from __future__ import annotations

import struct

import pytest

from ike.crypto.algorithms import CIPHERS, GROUPS_BY_NUMBER, HASHES
from ike.crypto.groups import modulus
from ike.crypto.v1_keys import Phase1Keys
from ike.wire import v1
from ike.wire.header import HEADER_SIZE, decode_header
from ike.wire.v1_numbers import Payload
from tests.unit.handshakes import IKEV1, handshake


@pytest.fixture(params=IKEV1)
def recorded(request):
    return handshake(request.param)


def derive(recorded) -> Phase1Keys:
    suite = recorded["suite"]
    return Phase1Keys(
        HASHES[suite["hash"]],
        CIPHERS[suite["enc"]],
        suite["key_length"],
        recorded["psk"],
        recorded["cookie_i"],
        recorded["cookie_r"],
        recorded["nonce_i"],
        recorded["nonce_r"],
        recorded["ke_i"],
        recorded["ke_r"],
        recorded["g_xy"],
    )


def test_the_recorded_shared_secret_comes_out_of_the_recorded_public_values(recorded):
    prime = modulus(GROUPS_BY_NUMBER[recorded["suite"]["group"]])
    private = int.from_bytes(recorded["dh_private_i"], "big")
    assert pow(2, private, prime) == int.from_bytes(recorded["ke_i"], "big")
    shared = pow(int.from_bytes(recorded["ke_r"], "big"), private, prime)
    assert shared == int.from_bytes(recorded["g_xy"], "big")


def test_skeyid_family_and_first_iv(recorded):
    keys = derive(recorded)
    assert keys._skeyid == recorded["SKEYID"]
    assert keys._skeyid_d == recorded["SKEYID_d"]
    assert keys._skeyid_a == recorded["SKEYID_a"]
    assert keys.iv == recorded["phase1_iv"]


def test_hash_i_and_hash_r(recorded):
    keys = derive(recorded)
    assert keys.hash_i(recorded["sa_i_body"], recorded["id_i_body"]) == recorded["hash_i"]
    assert keys.hash_r(recorded["sa_i_body"], recorded["id_r_body"]) == recorded["hash_r"]


def test_every_encrypted_message_decrypts(recorded):
    """The IV of a message is the last ciphertext block of the one before it in its exchange."""
    keys = derive(recorded)
    ivs = {0: keys.iv}
    encrypted = [d for d in recorded["datagrams"] if d["decrypted"] is not None]
    assert len(encrypted) == 5
    for datagram in encrypted:
        header = decode_header(datagram["data"])
        ciphertext = datagram["data"][HEADER_SIZE:]
        if header.message_id not in ivs:
            ivs[header.message_id] = keys.phase2_iv(ivs[0], header.message_id)
        assert keys.cipher.decrypt(ivs[header.message_id], ciphertext) == datagram["decrypted"]
        assert keys.cipher.encrypt(ivs[header.message_id], datagram["decrypted"]) == ciphertext
        ivs[header.message_id] = ciphertext[-keys.cipher.block :]


def test_hashes_of_quick_mode(recorded):
    keys = derive(recorded)
    quick = recorded["quick"]
    message_id = struct.unpack(">I", quick["message_id"])[0]
    messages = [
        v1.Message(decode_header(datagram["data"]), datagram["decrypted"])
        for datagram in recorded["datagrams"]
        if decode_header(datagram["data"]).message_id == message_id
    ]
    behind = [m.content[m.find(Payload.HASH).end : m.end] for m in messages]
    assert keys.hash_1(message_id, behind[0]) == quick["hash1"] == messages[0].body(Payload.HASH)
    assert keys.hash_2(message_id, quick["nonce_i"], behind[1]) == quick["hash2"] == messages[1].body(Payload.HASH)
    assert keys.hash_3(message_id, quick["nonce_i"], quick["nonce_r"]) == quick["hash3"]
    assert messages[2].body(Payload.HASH) == quick["hash3"]


def test_keymat_of_both_sas(recorded):
    keys = derive(recorded)
    quick = recorded["quick"]
    for sa in recorded["esp_sas"]:
        keymat = keys.keymat(len(sa["keymat"]), quick["g_xy_pfs"], 3, sa["spi"], quick["nonce_i"], quick["nonce_r"])
        assert keymat == sa["keymat"] == sa["enc_key"] + sa["auth_key"]


def test_a_shared_key_with_a_newline_is_another_key(recorded):
    other = dict(recorded, psk=recorded["psk"] + b"\n")
    assert derive(other)._skeyid != recorded["SKEYID"]
