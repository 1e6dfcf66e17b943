"""racoon2's habits: recorded handshakes played against our daemon, in either role, and what is special about it.

What we would have drawn at random (cookies, nonces, keys, SPIs, padding) is drawn from the recording, so that what
we send can be compared with what racoon2 sent. racoon2 pads where we don't: from there on a message is the recorded
plaintext under our own chain of IVs.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ike.config.settings import SaProposal
from ike.exchange.path import Path
from ike.exchange.v1 import phase1
from ike.wire.header import HEADER_SIZE, decode_header
from ike.wire.v1 import Message, encode_encrypted_header
from ike.wire.v1_numbers import Payload
from tests.unit.exchange.world import OSAKA, TOKYO, bring_up, world
from tests.unit.handshakes import IKEV1, handshake

MODP2048 = {"groups": ("modp2048",)}


@dataclass
class Recorded:
    """Half of a recorded key exchange: the public value that was sent, and the secret that came of it."""

    public: bytes
    theirs: bytes
    secret: bytes

    def shared(self, peer: bytes) -> bytes:
        assert peer == self.theirs
        return self.secret


class Script:
    """Recorded random values by their size, in the order in which they are wanted; zeros where there are none."""

    def __init__(self, *values: bytes) -> None:
        self._values = list(values)

    def __call__(self, size: int) -> bytes:
        value = next((one for one in self._values if len(one) == size), None)
        if value is None:
            return bytes(size)
        self._values.remove(value)
        return value


@pytest.fixture(params=IKEV1)
def recorded(request):
    return handshake(request.param)


def plaintext(recorded, number: int) -> Message:
    """A recorded encrypted message, decrypted, with racoon2's padding behind it."""
    datagram = recorded["datagrams"][number - 1]
    return Message(decode_header(datagram["data"]), datagram["decrypted"])


def halves(recorded, ours: str, theirs: str):
    """The recorded key exchanges seen from one role: phase 1's, and quick mode's where it has PFS."""
    pairs = [Recorded(recorded["ke_" + ours], recorded["ke_" + theirs], recorded["g_xy"])]
    if recorded["quick"]["g_xy_pfs"]:
        publics = {"i": plaintext(recorded, 7).body(Payload.KE), "r": plaintext(recorded, 8).body(Payload.KE)}
        pairs.append(Recorded(publics[ours], publics[theirs], recorded["quick"]["g_xy_pfs"]))
    return pairs


def gateway_for(tmp_path, recorded, role: str):
    """Our daemon in one role of a recording: the initiator was tokyo, the responder osaka."""
    pfs = {**MODP2048, "need_pfs": bool(recorded["quick"]["g_xy_pfs"])}
    pair = world(tmp_path, tokyo=pfs, osaka=pfs)
    gateway = pair.tokyo if role == "i" else pair.osaka
    quick, padding = recorded["quick"], plaintext(recorded, 5 if role == "i" else 6).content[-4:]
    pairs = iter(halves(recorded, role, "r" if role == "i" else "i"))
    host = gateway.engine.host
    host.key_pair = lambda group: next(pairs)
    host.random = Script(
        recorded["cookie_" + role], recorded["nonce_" + role], quick["nonce_" + role], padding, quick["message_id"]
    )
    gateway.kernel._spis = lambda: int.from_bytes(quick["spi_" + role], "big")
    return gateway


def sealed(gateway, recorded, number: int) -> bytes:
    """A recorded message as racoon2 would have sent it in our chain of IVs."""
    (session,) = gateway.engine.sessions
    header = decode_header(recorded["datagrams"][number - 1]["data"])
    exchange = session._exchanges[header.message_id]
    ciphertext = session.keys.cipher.encrypt(exchange.iv, recorded["datagrams"][number - 1]["decrypted"])
    return encode_encrypted_header(
        header.spi_i, header.spi_r, header.exchange, header.message_id, header.next_payload, ciphertext
    )


def answer(gateway, datagram: bytes) -> list[bytes]:
    path = Path(OSAKA, TOKYO) if gateway.name == "osaka" else Path(TOKYO, OSAKA)
    gateway.engine.receive(datagram, path, 1000.0)
    sent = [data for _, data in gateway.engine.outbox]
    gateway.engine.outbox.clear()
    return sent


def keys_of(gateway):
    return {(sa.spi.to_bytes(4, "big"), sa.encryption_key, sa.integrity_key) for sa in gateway.installed()}


def recorded_keys(recorded):
    return {(sa["spi"], sa["enc_key"], sa["auth_key"]) for sa in recorded["esp_sas"]}


def test_as_responder_we_send_what_racoon2_sent(tmp_path, recorded):
    """ESP_3DES with a key length is taken, a whole block of padding is no part of the message."""
    osaka = gateway_for(tmp_path, recorded, "r")
    sent = [one["data"] for one in recorded["datagrams"]]
    assert answer(osaka, sent[0]) == [sent[1]]
    assert answer(osaka, sent[2]) == [sent[3]]
    assert answer(osaka, sent[4]) == [sent[5]]
    (reply,) = answer(osaka, sent[6])
    whole = len(plaintext(recorded, 8).content[: plaintext(recorded, 8).end]) // 8 * 8
    assert reply[HEADER_SIZE : HEADER_SIZE + whole] == sent[7][HEADER_SIZE : HEADER_SIZE + whole]
    assert answer(osaka, sealed(osaka, recorded, 9)) == []
    assert osaka.state.up
    assert keys_of(osaka) == recorded_keys(recorded)


def test_as_initiator_we_understand_what_racoon2_answered(tmp_path, recorded):
    """No INITIAL-CONTACT comes; quick mode's answer has a key length for 3DES, which we didn't offer."""
    tokyo = gateway_for(tmp_path, recorded, "i")
    tokyo.engine.up("net", 1000.0, lambda success, reason: None)
    tokyo.engine.outbox.clear()
    sent = [one["data"] for one in recorded["datagrams"]]
    assert answer(tokyo, sent[1]) == [sent[2]]
    answer(tokyo, sent[3])
    assert len(answer(tokyo, sealed(tokyo, recorded, 6))) == 1
    answer(tokyo, sealed(tokyo, recorded, 8))
    assert tokyo.state.up
    assert keys_of(tokyo) == recorded_keys(recorded)


# Its life afterwards


def test_lifetimes_are_the_initiators_as_between_two_racoon2(tmp_path):
    pair = world(tmp_path, tokyo={"lifetime_seconds": 3600}, tokyo_tunnel={"lifetime_seconds": 600})
    bring_up(pair)
    pair.exchange()
    for gateway in pair.gateways():
        assert [session.suite.lifetime_seconds for session in gateway.engine.sessions] == [3600]
        assert [child.lifetime_seconds for child in gateway.state.children] == [600]


def deaf_to_soft_expiry(gateway):
    """racoon2 has no soft lifetime in IKEv1: its SAs just end."""
    gateway.engine.expire = lambda sa_id, hard, now: None


def test_a_peer_that_never_rekeys_is_rekeyed_by_us_before_its_sas_end(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(3600)
    deaf_to_soft_expiry(pair.tokyo)
    (child,) = pair.osaka.state.children
    pair.osaka.engine.expire(child.inbound, False, pair.now)
    pair.exchange()
    assert [one.state for one in pair.osaka.state.children] == ["rekeyed", "up"]
    pair.run(60)
    assert len(pair.osaka.installed()) == len(pair.tokyo.installed()) == 2


def test_a_peer_that_deletes_nothing_and_greets_nobody_just_begins_anew(tmp_path, monkeypatch):
    """At SIGTERM racoon2 sends nothing, and no INITIAL-CONTACT when it is back: the young child takes over."""
    monkeypatch.setattr(phase1, "initial_contact", lambda session: [])
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(100)
    pair.tokyo = world(tmp_path).tokyo
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    old, young = pair.osaka.state.children
    assert (old.state, young.state) == ("rekeyed", "up")
    assert young.spi_out == pair.tokyo.state.children[0].spi_in


def test_a_peer_that_ignores_our_refusal_and_asks_again_changes_nothing(tmp_path):
    """racoon2 resends quick mode's first message after NO-PROPOSAL-CHOSEN, five times."""
    other = (SaProposal("esp", (("aes_cbc", 128),), ("hmac_sha1",)),)
    pair = world(tmp_path, osaka_tunnel={"proposals": other})
    outcome = bring_up(pair)
    pair.tokyo.state.wanted = False
    pair.exchange()
    assert outcome == [(False, "the peer refused: NO-PROPOSAL-CHOSEN")]
    quick = next(data for sender, data in pair.wire if sender == "tokyo" and decode_header(data).exchange == 32)
    for _ in range(5):
        answers = answer(pair.osaka, quick)
        assert len(answers) <= 1
    assert [session.state for session in pair.osaka.engine.sessions] == ["established"]
    assert not pair.osaka.kernel.list_sas()
