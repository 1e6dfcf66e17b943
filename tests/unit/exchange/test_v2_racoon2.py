"""racoon2's recorded IKEv2 handshakes: we stand in for either end, and come to the very keys that its kernels had."""

from __future__ import annotations

from collections import deque

import pytest

from ike.config.settings import SaProposal
from ike.crypto.algorithms import GROUPS
from ike.exchange.path import Path
from ike.wire import v2
from ike.wire.header import decode_header
from ike.wire.v2_numbers import Exchange, Flag, Notify
from tests.unit.exchange import world as worlds
from tests.unit.exchange.world import OSAKA, TOKYO, bring_up
from tests.unit.handshakes import IKEV2, handshake

SUITE = {
    "encryption": (("aes_cbc", 128),),
    "hashes": ("hmac_sha1",),
    "prfs": ("hmac_sha1",),
    "groups": ("modp2048",),
}
ESP = {"proposals": (SaProposal("esp", (("aes_cbc", 128),), ("hmac_sha1",)),)}


class RecordedPair:
    """A key pair of the recording: its private half isn't known, what came of it is."""

    def __init__(self, public: bytes, peers: bytes, shared: bytes) -> None:
        self.group = GROUPS["modp2048"]
        self.public = public
        self._peers, self._shared = peers, shared

    def shared(self, peer: bytes) -> bytes:
        assert peer == self._peers
        return self._shared


@pytest.fixture(params=IKEV2)
def recorded(request):
    return handshake(request.param)


def stand_in(recorded, tmp_path, end: str):
    """A gateway that draws the recorded SPI, nonce, public value and ESP SPI of this end."""
    pair = worlds.world(tmp_path, version=2, tokyo=SUITE, osaka=SUITE, tokyo_tunnel=ESP, osaka_tunnel=ESP)
    gateway = getattr(pair, "tokyo" if end == "i" else "osaka")
    other = "r" if end == "i" else "i"
    host = gateway.engine.host
    drawn = deque([recorded["spi_" + end], recorded["nonce_" + end]])
    host.random = lambda count: drawn.popleft() if drawn and len(drawn[0]) == count else bytes(count)
    host.key_pair = lambda group: RecordedPair(recorded["ke_" + end], recorded["ke_" + other], recorded["g_ir"])
    gateway.kernel._spis = lambda: int.from_bytes(recorded["esp_spi_" + end], "big")
    return pair, gateway


def keys_of(gateway) -> list[tuple[bytes, bytes, bytes]]:
    return [(sa.spi.to_bytes(4, "big"), sa.encryption_key, sa.integrity_key) for sa in gateway.installed()]


def kernels(recorded) -> list[tuple[bytes, bytes, bytes]]:
    return sorted((sa["spi"], sa["enc_key"], sa["auth_key"]) for sa in recorded["esp_sas"])


def test_racoon2_as_responder(recorded, tmp_path):
    pair, tokyo = stand_in(recorded, tmp_path, "i")
    outcome = bring_up(pair)
    for datagram in recorded["datagrams"]:
        if datagram["dir"] == "i->r":
            _, ours = tokyo.engine.outbox.popleft()
            assert decode_header(ours).exchange == decode_header(datagram["data"]).exchange
            assert decode_header(ours).message_id == decode_header(datagram["data"]).message_id
        else:
            tokyo.engine.receive(datagram["data"], Path(TOKYO, OSAKA), pair.now)
    assert outcome == [(True, "")]
    assert keys_of(tokyo) == kernels(recorded)


def test_racoon2_as_initiator(recorded, tmp_path):
    pair, osaka = stand_in(recorded, tmp_path, "r")
    requests = [datagram["data"] for datagram in recorded["datagrams"] if datagram["dir"] == "i->r"]
    for request in requests[-2:]:  # one before them got the cookie that only racoon2's own secret could check
        osaka.engine.receive(request, Path(OSAKA, TOKYO), pair.now)
        _, answer = osaka.engine.outbox.popleft()
        assert decode_header(answer).message_id == decode_header(request).message_id
    assert osaka.state.up
    assert keys_of(osaka) == kernels(recorded)


# Its habits


def test_an_ike_auth_that_fails_as_a_whole_names_the_childs_reason(tmp_path):
    """racoon2 answers a child that it can't make with the error alone: no IDr, no AUTH, no IKE SA."""
    pair = worlds.world(tmp_path, version=2)
    outcome = bring_up(pair)
    pair.deliver_once()
    (ours,) = pair.tokyo.engine.sessions
    (theirs,) = pair.osaka.engine.sessions
    (answer,) = theirs.runner._sealed(Exchange.IKE_AUTH, Flag.RESPONSE, 1, [v2.Notification(Notify.TS_UNACCEPTABLE)])
    pair.tokyo.engine.receive(answer, ours.path, pair.now)
    assert outcome == [(False, "the peer refused: TS_UNACCEPTABLE")]
    assert not pair.tokyo.kernel.list_sas()
    assert not pair.tokyo.engine.sessions


def test_a_peer_without_nat_detection_is_served_on_port_500(tmp_path):
    changes = {"nat_traversal": False}
    pair = worlds.world(tmp_path, version=2, osaka=changes)
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    assert {sa.encapsulation for sa in pair.tokyo.installed()} == {None}
    assert pair.tokyo.engine.sessions[0].path.peer_port == 500
