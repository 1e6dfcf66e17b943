"""A peer that has lost what it had with us: what it doesn't say (RFC 7296 2.4), and what it says in clear (2.21.4)."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from ike.config.settings import Traffic
from ike.wire.header import decode_header
from ike.wire.v2 import Message, Notification, encode_clear
from ike.wire.v2_numbers import Exchange, Flag, Notify
from tests.unit.exchange import world as worlds
from tests.unit.exchange.test_strongswan_scenarios import add
from tests.unit.exchange.test_v2_tunnel import agree
from tests.unit.exchange.world import OSAKA, TOKYO, TOKYO_NET, bring_up

world = functools.partial(worlds.world, version=2)
QUICK = {"dpd_retry": 2, "dpd_maxfail": 2}  # six seconds until a peer is given up, once it is asked
SECOND = Traffic(TOKYO_NET, worlds.ipaddress.ip_network("10.9.0.0/16"))


def pair_of_two_tunnels(tmp_path, **changes):
    pair = world(tmp_path, tokyo=QUICK, osaka={**QUICK, **changes})
    add(pair, "second", SECOND)
    return pair


def reborn(tmp_path, pair, silent: bool) -> None:
    """Tokyo starts over from nothing; ``silent``: and says nothing of it, with INITIAL_CONTACT."""
    fresh = pair_of_two_tunnels(tmp_path)
    pair.tokyo = fresh.tokyo
    if silent:
        pair.tokyo.engine.first_contact = lambda session: False


@pytest.mark.parametrize("delay", [0, 3600])
@pytest.mark.parametrize("silent", [True, False])
def test_a_peer_that_authenticates_anew_leaves_no_duplicates(tmp_path, delay, silent):
    """Without INITIAL_CONTACT too: the IKE SA from before is put to the test, and its children come back."""
    pair = pair_of_two_tunnels(tmp_path, dpd_delay=delay)
    for name in ("net", "second"):
        pair.tokyo.engine.up(name, pair.now, lambda success, reason: None)
    pair.run(30)
    before = {sa.spi for sa in pair.osaka.installed()}
    assert len(before) == 4
    reborn(tmp_path, pair, silent)
    bring_up(pair)
    pair.run(40)
    assert len(pair.osaka.engine.sessions) == 1
    assert not before & {sa.spi for sa in pair.osaka.installed()}
    assert [state.up for state in pair.tokyo.engine.tunnels] == [True, True]
    assert len(pair.osaka.installed()) == 4


def test_a_peer_with_two_ike_sas_that_answers_on_both_keeps_them(tmp_path):
    """Reauthentication is make before break: nothing is taken down because there is a second IKE SA."""
    pair = world(tmp_path, osaka=QUICK)
    bring_up(pair)
    pair.run(60)
    gaps = worlds.watch_gaps(pair)
    pair.tokyo.engine.reauthenticate("net", pair.now, lambda success, reason: None)
    pair.run(180)
    assert not gaps
    assert agree(pair)
    assert len(pair.osaka.engine.sessions) == 1
    assert not pair.osaka.said("no answer")


def forgotten(tmp_path, delay=0, **changes):
    """A pair of which osaka has lost its IKE SA, without a word."""
    pair = world(tmp_path, tokyo={**QUICK, "dpd_delay": delay, **changes})
    bring_up(pair)
    pair.run(60)
    (session,) = pair.osaka.engine.sessions
    pair.osaka.state.wanted = False
    session.abandon("lost")
    pair.run(40)  # the lost IKE SA answers duplicates for a while
    return pair


@pytest.mark.parametrize("delay", [0, 3600])
def test_invalid_ike_spi_is_sent_and_makes_the_peer_look(tmp_path, delay):
    """The next request finds out within seconds, not after minutes of retransmission; the tunnel comes back."""
    pair = forgotten(tmp_path, delay)
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.run(12)
    assert pair.osaka.engine.host.counters["invalid_ike_spi_sent"] >= 1
    assert pair.tokyo.said("INVALID_IKE_SPI (unauthenticated)")
    assert agree(pair)


def stray(flags=Flag.INITIATOR, exchange=Exchange.INFORMATIONAL) -> bytes:
    return encode_clear(b"12345678", b"87654321", exchange, flags, 7, [Notification(Notify.INVALID_SYNTAX)])


def replies(gateway) -> list[bytes]:
    found = [datagram for _path, datagram in gateway.engine.outbox]
    gateway.engine.outbox.clear()
    return found


def test_what_invalid_ike_spi_looks_like(tmp_path):
    pair = world(tmp_path)
    path = worlds.Path(OSAKA, TOKYO, 500, 500)
    pair.osaka.engine.receive(stray(), path, pair.now)
    (datagram,) = replies(pair.osaka)
    header = decode_header(datagram)
    assert (header.spi_i, header.spi_r, header.message_id) == (b"12345678", b"87654321", 7)
    assert (header.exchange, header.flags) == (Exchange.INFORMATIONAL, Flag.RESPONSE)
    assert [one.kind for one in Message.clear(header, datagram).notifications] == [Notify.INVALID_IKE_SPI]
    assert len(datagram) <= len(stray())


def test_invalid_ike_spi_is_sent_now_and_then_to_known_peers_for_requests_only(tmp_path):
    pair = world(tmp_path)
    path = worlds.Path(OSAKA, TOKYO, 500, 500)
    stranger = replace(path, peer=worlds.ipaddress.ip_address("192.0.2.77"))
    for datagram, way in (
        (stray(Flag.RESPONSE), path),
        (stray(exchange=Exchange.IKE_SA_INIT), path),
        (stray(), stranger),
    ):
        pair.osaka.engine.receive(datagram, way, pair.now)
    assert not replies(pair.osaka)
    for _ in range(1000):
        pair.osaka.engine.receive(stray(), path, pair.now)
    assert len(replies(pair.osaka)) == 1
    pair.osaka.engine.receive(stray(), path, pair.now + 6)
    assert len(replies(pair.osaka)) == 1


def test_a_forged_invalid_ike_spi_changes_nothing(tmp_path):
    """It makes us ask, no more, and not again and again."""
    pair = world(tmp_path, tokyo=QUICK)
    bring_up(pair)
    pair.run(60)
    (session,) = pair.tokyo.engine.sessions
    before = {sa.spi for sa in pair.tokyo.installed()}
    path = session.path
    for _ in range(50):
        pair.tokyo.engine.host.now = pair.now
        session.probe()
        forged = encode_clear(
            session.spi_i,
            session.spi_r,
            Exchange.INFORMATIONAL,
            Flag.RESPONSE,
            session.runner._request_id,
            [Notification(Notify.INVALID_IKE_SPI)],
        )
        pair.tokyo.engine.receive(forged, path, pair.now)
        pair.run(0.1)
    pair.run(60)
    assert before == {sa.spi for sa in pair.tokyo.installed()}
    assert pair.tokyo.engine.sessions == [session] and session.state == "established"
    assert pair.tokyo.engine.host.counters["sent"] < 70


def test_invalid_ike_spi_means_nothing_before_there_are_keys(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    (session,) = pair.tokyo.engine.sessions
    forged = encode_clear(
        session.spi_i, b"87654321", Exchange.IKE_SA_INIT, Flag.RESPONSE, 0, [Notification(Notify.INVALID_IKE_SPI)]
    )
    pair.tokyo.engine.receive(forged, session.path, pair.now)
    pair.exchange()
    assert agree(pair)
