"""Quick mode while another child carries the traffic: we send on the next one once the peer surely receives on it.

strongSwan receives only after quick mode's last message, which takes a while and may get lost.
"""

from __future__ import annotations

import errno

import pytest

from ike.exchange.outbound import PROOF
from ike.wire.header import decode_header
from ike.wire.v1_numbers import Exchange
from tests.unit.exchange.test_v1_lifetimes import connected, with_commit_bit
from tests.unit.exchange.world import bring_up, world

_SHORT = 80  # bytes: a quick mode message that holds a hash alone is shorter


@pytest.fixture
def pair(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(60)
    return pair


def rekey(pair):
    """The old child and the young one."""
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.exchange()
    return pair.tokyo.state.children


def sends_on(gateway, child) -> bool:
    return child.outbound in gateway.kernel.installed


def test_the_first_child_of_a_tunnel_sends_at_once(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    assert sends_on(pair.tokyo, pair.tokyo.state.youngest)


def test_the_initiator_sends_on_the_old_child_until_the_peer_must_have_the_proof(pair):
    old, young = rekey(pair)
    assert sends_on(pair.tokyo, old) and not sends_on(pair.tokyo, young)
    assert young.inbound in pair.tokyo.kernel.installed
    assert sends_on(pair.osaka, pair.osaka.state.youngest)  # who has the proof needs nothing else
    pair.run(PROOF)
    assert sends_on(pair.tokyo, young) and young.sends


def test_a_peer_that_deletes_the_old_child_has_the_new_one(pair):
    old, young = rekey(pair)
    (theirs,) = [child for child in pair.osaka.state.children if child.spi_out == old.spi_in]
    pair.osaka.engine.sessions[0].delete(theirs.inbound)
    pair.exchange()
    assert sends_on(pair.tokyo, young)


def test_where_the_old_child_expires_nothing_is_left_to_wait_for(pair):
    old, young = rekey(pair)
    pair.tokyo.engine.expire(old.outbound, True, pair.now)
    assert sends_on(pair.tokyo, young) and not sends_on(pair.tokyo, old)


def test_a_peer_that_repeats_its_answer_lacks_the_proof(pair):
    restored = pair.now + PROOF + 1

    def lose_proofs(datagram):
        ours = pair.wire[-1][0] == "tokyo" and decode_header(datagram).exchange == Exchange.QUICK_MODE
        return [] if ours and len(datagram) < _SHORT and pair.now < restored else [datagram]

    pair.mangle = lose_proofs
    _, young = rekey(pair)
    pair.run(PROOF + 1)
    assert len(pair.osaka.state.children) == 1
    assert not sends_on(pair.tokyo, young)
    pair.run(6 * PROOF)
    assert pair.osaka.state.youngest.spi_in == young.spi_out  # the old child may have gone by now
    assert sends_on(pair.tokyo, young)


def test_a_look_at_the_kernel_finds_nothing_amiss_meanwhile(pair):
    old, young = rekey(pair)
    pair.tokyo.engine.compare(pair.tokyo.kernel.installed, pair.now)
    assert pair.tokyo.state.children == [old, young]


def test_where_the_kernel_has_lost_the_old_child_nothing_is_left_to_wait_for(pair):
    old, young = rekey(pair)
    pair.tokyo.engine.compare({*pair.tokyo.kernel.installed} - {old.outbound}, pair.now)
    assert pair.tokyo.state.children == [young]
    assert sends_on(pair.tokyo, young)


def test_what_the_kernel_has_lost_the_peer_is_told(pair):
    _, young = rekey(pair)
    pair.tokyo.engine.compare({*pair.tokyo.kernel.installed} - {young.inbound}, pair.now)
    pair.exchange()
    assert young.spi_in not in {child.spi_out for child in pair.osaka.state.children}


def test_a_packet_that_finds_no_outbound_sa_ends_the_wait(pair):
    _, young = rekey(pair)
    before = len(pair.wire)
    pair.tokyo.engine.acquire(young.tunnel.reqid, pair.now)
    pair.exchange()
    assert sends_on(pair.tokyo, young)
    assert len(pair.wire) == before


def test_connected_says_that_the_peer_receives(pair):
    with_commit_bit(pair)
    (old,) = rekey(pair)
    pair.osaka.engine.sessions[0].inform([connected(b"\0\0\1\1")])
    pair.exchange()
    assert pair.tokyo.state.youngest is not old
    assert sends_on(pair.tokyo, pair.tokyo.state.youngest)


def test_an_isakmp_sa_that_ends_leaves_no_child_that_doesnt_send(pair):
    _, young = rekey(pair)
    pair.tokyo.engine.sessions[0].close("its lifetime is over")
    assert sends_on(pair.tokyo, young)


def test_what_the_kernel_refuses_then_leaves_the_peer_too(pair):
    _, young = rekey(pair)
    pair.tokyo.kernel.fail("add_sa", errno.ENOMEM)
    pair.run(PROOF)
    assert young not in pair.tokyo.state.children
    assert young.spi_in not in [child.spi_out for child in pair.osaka.state.children]
