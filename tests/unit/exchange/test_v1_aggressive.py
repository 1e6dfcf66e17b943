"""Aggressive mode as initiator: for old peers, with a warning. The peer is played here: our daemon never answers it."""

from __future__ import annotations

import pytest

from ike.crypto.algorithms import GROUPS
from ike.crypto.groups import generate
from ike.crypto.v1_keys import Phase1Keys
from ike.exchange.path import Path
from ike.policy.identity import encode_address
from ike.policy.v1_proposals import choose_phase1
from ike.wire.header import HEADER_SIZE, decode_header
from ike.wire.v1 import Hash, Identification, KeyExchange, Message, Nonce, SaPayload, encode_clear
from ike.wire.v1_numbers import Exchange, Payload
from tests.unit.exchange.world import OSAKA, TOKYO, bring_up, key_file, world

AGGRESSIVE = {"exchange_mode": "aggressive", "groups": ("modp1024", "modp1536")}
FROM_OSAKA = Path(TOKYO, OSAKA)


class OldPeer:
    """A responder that knows aggressive mode: it answers the first message and understands the third."""

    def __init__(self, gateway, psk: bytes) -> None:
        self._settings = gateway.engine.configuration.remotes[0].ikev1
        self._psk = psk
        self.keys = None
        self._hashed = ()

    def answer(self, datagram: bytes) -> bytes:
        header = decode_header(datagram)
        message = Message.clear(header, datagram)
        suite, accepted = choose_phase1(self._settings, message.get(SaPayload))
        pair, nonce, cookie = generate(GROUPS["modp1024"]), Nonce(b"n" * 16), b"responds"
        publics = (message.body(Payload.KE), pair.public)
        self.keys = Phase1Keys(
            suite.hash,
            suite.cipher,
            suite.bits,
            self._psk,
            header.spi_i,
            cookie,
            message.get(Nonce).data,
            nonce.data,
            *publics,
            pair.shared(publics[0]),
        )
        kind, data = encode_address(OSAKA)
        identity, offer = Identification(kind, 0, 0, data), message.body(Payload.SA)
        self._hashed = (offer, message.body(Payload.ID))
        proof = Hash(self.keys.hash_r(offer, identity.encode()))
        payloads = [accepted, KeyExchange(pair.public), nonce, identity, proof]
        return encode_clear(header.spi_i, cookie, Exchange.AGGRESSIVE, 0, payloads)

    def believes(self, datagram: bytes) -> bool:
        header = decode_header(datagram)
        message = Message(header, self.keys.cipher.decrypt(self.keys.iv, datagram[HEADER_SIZE:]))
        return message.body(Payload.HASH) == self.keys.hash_i(*self._hashed)


def begin(tmp_path, psk=b"test"):
    pair = world(tmp_path, tokyo=AGGRESSIVE)
    outcome = bring_up(pair)
    ((_, first),) = pair.tokyo.engine.outbox
    pair.tokyo.engine.outbox.clear()
    return pair, outcome, first, OldPeer(pair.osaka, psk)


def test_the_first_message_holds_everything_and_offers_one_group(tmp_path):
    pair, _outcome, first, _peer = begin(tmp_path)
    header = decode_header(first)
    message = Message.clear(header, first)
    assert header.exchange == Exchange.AGGRESSIVE
    assert message.types()[:4] == [Payload.SA, Payload.KE, Payload.NONCE, Payload.ID]
    (proposal,) = message.get(SaPayload).proposals
    assert {transform.get(4) for transform in proposal.transforms} == {2}
    assert pair.tokyo.said("aggressive mode lets anybody who sees it guess the pre-shared key offline")


def test_three_messages_make_an_isakmp_sa(tmp_path):
    pair, _outcome, first, peer = begin(tmp_path)
    pair.tokyo.engine.receive(peer.answer(first), FROM_OSAKA, pair.now)
    (_, third), (_, quick) = pair.tokyo.engine.outbox
    assert peer.believes(third)
    assert decode_header(quick).exchange == Exchange.QUICK_MODE
    (session,) = pair.tokyo.engine.sessions
    assert (session.state, session.peer_id) == ("established", "ipaddr 210.22.22.22")


def test_a_wrong_key_is_named_and_our_proof_is_not_sent(tmp_path):
    pair, outcome, first, peer = begin(tmp_path, psk=b"another")
    pair.tokyo.engine.receive(peer.answer(first), FROM_OSAKA, pair.now)
    assert not pair.tokyo.engine.outbox
    assert outcome == [(False, "authentication failed: probably the pre-shared keys differ")]


def test_the_peer_may_prove_the_key_that_is_staged_beside_ours(tmp_path):
    *_others, peer = begin(tmp_path, psk=b"another")
    key_file(tmp_path, "tokyo.psk.next", b"another")
    pair, _outcome, first, _peer = begin(tmp_path)
    pair.tokyo.engine.receive(peer.answer(first), FROM_OSAKA, pair.now)
    (_, third), _quick = pair.tokyo.engine.outbox
    assert peer.believes(third)


@pytest.mark.parametrize("exchange", [Exchange.MAIN_MODE, Exchange.BASE])
def test_an_answer_in_another_mode_is_dropped(tmp_path, exchange):
    pair, outcome, first, peer = begin(tmp_path)
    answer = bytearray(peer.answer(first))
    answer[18] = exchange
    pair.tokyo.engine.receive(bytes(answer), FROM_OSAKA, pair.now)
    assert outcome == []
    assert not pair.tokyo.engine.outbox
