"""Quick mode's lifetimes in seconds and kilobytes, RESPONDER-LIFETIME, proposal_check, and the commit bit."""

from __future__ import annotations

import pytest

from ike.exchange.v1 import informational
from ike.wire.header import decode_header
from ike.wire.numbers import Protocol
from ike.wire.v1 import Notification
from ike.wire.v1_numbers import Exchange, Flag, Notify
from tests.unit.exchange.world import bring_up, world


def lifetimes(pair):
    return [[(child.lifetime_seconds, child.lifetime_bytes) for child in one.state.children] for one in pair.gateways()]


def test_kilobytes_are_negotiated_and_limit_the_sas(tmp_path):
    limits = {"lifetime_bytes": 100 << 20}
    pair = world(tmp_path, tokyo_tunnel=limits, osaka_tunnel=limits)
    bring_up(pair)
    pair.exchange()
    assert lifetimes(pair) == [[(28800, 100 << 20)], [(28800, 100 << 20)]]
    for association in pair.tokyo.installed():
        assert association.lifetime.hard_bytes == 100 << 20
        assert 0 < association.lifetime.soft_bytes < 100 << 20


def test_a_responder_obeys_as_racoon2_does(tmp_path):
    pair = world(tmp_path, tokyo_tunnel={"lifetime_seconds": 600, "lifetime_bytes": 1 << 20})
    bring_up(pair)
    pair.exchange()
    assert lifetimes(pair) == [[(600, 1 << 20)], [(600, 1 << 20)]]


def test_a_responder_that_claims_its_own_says_so_and_both_ends_agree(tmp_path):
    pair = world(
        tmp_path,
        osaka={"proposal_check": "claim"},
        osaka_tunnel={"lifetime_seconds": 600, "lifetime_bytes": 1 << 20},
        tokyo_tunnel={"lifetime_seconds": 3600},
    )
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert lifetimes(pair) == [[(600, 1 << 20)], [(600, 1 << 20)]]


@pytest.mark.parametrize(
    "check, theirs, up", [("strict", 600, True), ("strict", 90000, False), ("exact", 600, False), ("exact", 3600, True)]
)
def test_strict_and_exact_refuse_other_lifetimes(tmp_path, check, theirs, up):
    pair = world(
        tmp_path,
        osaka={"proposal_check": check},
        tokyo_tunnel={"lifetime_seconds": theirs},
        osaka_tunnel={"lifetime_seconds": 3600},
    )
    bring_up(pair)
    pair.exchange()
    assert pair.established() is up
    assert up or pair.osaka.said("lifetime: theirs {} s".format(theirs))


# The commit bit


def with_commit_bit(pair):
    """Let the second message of quick mode, osaka's, carry the commit bit."""
    quick = []

    def mangle(datagram):
        if decode_header(datagram).exchange != Exchange.QUICK_MODE:
            return [datagram]
        quick.append(datagram)
        if len(quick) == 2:
            return [datagram[:19] + bytes([datagram[19] | Flag.COMMIT]) + datagram[20:]]
        return [datagram]

    pair.mangle = mangle


def outbound(gateway):
    return [name for name, _ in gateway.kernel.log if name == "add_sa"]


def connected(spi):
    return Notification(Protocol.V1_ESP, Notify.CONNECTED, spi)


def test_with_the_commit_bit_set_nothing_is_sent_before_connected(tmp_path):
    pair = world(tmp_path)
    with_commit_bit(pair)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == []
    assert outbound(pair.tokyo) == []


def test_connected_in_an_informational_exchange_ends_the_wait(tmp_path):
    pair = world(tmp_path)
    with_commit_bit(pair)
    outcome = bring_up(pair)
    pair.exchange()
    pair.osaka.engine.sessions[0].inform([connected(b"\0\0\1\1")])
    pair.exchange()
    assert outcome == [(True, "")]
    assert outbound(pair.tokyo) == ["add_sa"]


@pytest.mark.parametrize("spoil, up", [(False, True), (True, False)])
def test_connected_as_quick_modes_fourth_message_counts_with_its_hash(tmp_path, spoil, up):
    pair = world(tmp_path)
    with_commit_bit(pair)
    outcome = bring_up(pair)
    pair.exchange()
    session = pair.osaka.engine.sessions[0]
    (exchange,) = [one for one in session._exchanges.values() if one.kind == Exchange.QUICK_MODE]
    hashed_for = exchange.message_id ^ (1 if spoil else 0)
    payloads = informational.authenticated(session, hashed_for, [connected(b"\0\0\1\1")])
    session.transmit(session.path, exchange.seal(payloads))
    pair.exchange()
    assert [success for success, _ in outcome] == [up]
    assert bool(outbound(pair.tokyo)) is up


def test_connected_that_never_comes_leaves_no_sa(tmp_path):
    pair = world(tmp_path)
    with_commit_bit(pair)
    outcome = bring_up(pair)
    pair.tokyo.state.wanted = False  # once is enough here
    pair.run(60)
    assert outcome[0][0] is False
    assert not pair.tokyo.kernel.installed
