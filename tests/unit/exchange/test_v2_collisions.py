"""Races of IKEv2 (RFC 7296 2.8, 2.25): both ends at once, in every order of arrival. Named as strongSwan's own suite.

Each test holds datagrams back and lets them go in an order of its own; nonces are drawn so that either end wins.
"""

from __future__ import annotations

import functools

import pytest

from ike.exchange.path import Path
from ike.wire.header import decode_header
from ike.wire.v2_numbers import Exchange, Flag
from tests.unit.exchange import world as worlds
from tests.unit.exchange.test_v2_tunnel import agree, expire
from tests.unit.exchange.world import bring_up

SEEDS = range(8)  # who has the lowest nonce differs between them

world = functools.partial(worlds.world, version=2)


def up(tmp_path, seed, **changes):
    """A tunnel that has been up for an hour."""
    pair = world(tmp_path, seed=seed, **changes)
    bring_up(pair)
    pair.run(3600)
    assert agree(pair)
    return pair


def send(pair, sender):
    """Take one datagram out of an end's outbox, without delivering it."""
    path, datagram = sender.engine.outbox.popleft()
    return sender, path, datagram


def deliver(pair, held) -> None:
    sender, path, datagram = held
    receiver = pair.osaka if sender is pair.tokyo else pair.tokyo
    back = Path(receiver.address, sender.address, path.peer_port, path.local_port)
    receiver.engine.receive(datagram, back, pair.now)


def is_answer(held) -> bool:
    return bool(decode_header(held[2]).flags & Flag.RESPONSE)


def settled(pair) -> None:
    """One child, in the same place at both ends, one IKE SA, and all of it still works."""
    pair.run(90)
    assert pair.established()
    assert agree(pair)
    assert len(pair.tokyo.engine.sessions) == len(pair.osaka.engine.sessions) == 1
    expire(pair.tokyo, pair)
    pair.run(60)
    assert agree(pair)
    expire(pair.osaka, pair)
    pair.run(60)
    assert agree(pair)


def rekey_ike(gateway, pair) -> None:
    gateway.engine.host.now = pair.now
    for session in gateway.engine.sessions:
        session._soft_expired(pair.now)


# Children


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pfs", [False, True])
def test_child_rekey_collision(tmp_path, seed, pfs):
    pair = up(tmp_path, seed, tokyo={"need_pfs": pfs}, osaka={"need_pfs": pfs})
    for gateway in pair.gateways():
        expire(gateway, pair)
    pair.exchange()
    pair.run(5)
    winners = [[child for child in one.state.children if child.state == "up"] for one in pair.gateways()]
    assert [len(one) for one in winners] == [1, 1]
    assert (winners[0][0].spi_in, winners[0][0].spi_out) == (winners[1][0].spi_out, winners[1][0].spi_in)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("order", range(4))
def test_child_rekey_collision_delayed_response(tmp_path, seed, order):
    """Either request, and either answer, arrives first."""
    pair = up(tmp_path, seed)
    for gateway in pair.gateways():
        expire(gateway, pair)
    requests = [send(pair, gateway) for gateway in pair.gateways()]
    for held in requests[:: -1 if order & 1 else 1]:
        deliver(pair, held)
    answers = [send(pair, gateway) for gateway in pair.gateways()]
    assert all(map(is_answer, answers))
    for held in answers[:: -1 if order & 2 else 1]:
        deliver(pair, held)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_child_rekey_collision_delayed_request(tmp_path, seed):
    """One end's request arrives after the other end's whole exchange."""
    pair = up(tmp_path, seed)
    for gateway in pair.gateways():
        expire(gateway, pair)
    late = send(pair, pair.osaka)
    deliver(pair, send(pair, pair.tokyo))
    deliver(pair, send(pair, pair.osaka))
    deliver(pair, late)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_child_rekey_collision_delayed_request_and_delete(tmp_path, seed):
    """The request arrives when the child that it is about has been deleted already: CHILD_SA_NOT_FOUND."""
    pair = up(tmp_path, seed)
    for gateway in pair.gateways():
        expire(gateway, pair)
    late = send(pair, pair.osaka)
    deliver(pair, send(pair, pair.tokyo))
    deliver(pair, send(pair, pair.osaka))
    old = next(child for child in pair.tokyo.state.children if child.state == "rekeyed")
    pair.tokyo.engine.tunnels.child_gone(old, "the overlap is over")
    deliver(pair, late)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_child_rekey_collision_dropped_request(tmp_path, seed):
    pair = up(tmp_path, seed)
    for gateway in pair.gateways():
        expire(gateway, pair)
    send(pair, pair.osaka)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_child_rekey_collision_ke_invalid(tmp_path, seed):
    """Both guess another group than the other end wants."""
    pair = up(
        tmp_path,
        seed,
        tokyo={"need_pfs": True, "groups": ("curve25519", "ecp256")},
        osaka={"need_pfs": True, "groups": ("ecp256", "curve25519")},
    )
    for gateway in pair.gateways():
        expire(gateway, pair)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("deletes", ["tokyo", "osaka"])
def test_child_rekey_collision_delete(tmp_path, seed, deletes):
    """One end takes the child down while the other replaces it."""
    pair = up(tmp_path, seed)
    other = pair.osaka if deletes == "tokyo" else pair.tokyo
    getattr(pair, deletes).engine.down("net", pair.now)
    expire(other, pair)
    pair.run(120)
    assert pair.tokyo.state.up == pair.osaka.state.up
    assert len(pair.tokyo.installed()) == len(pair.osaka.installed())
    for gateway in pair.gateways():
        gateway.engine.acquire(7, pair.now)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_child_both_ends_delete_at_once(tmp_path, seed):
    pair = up(tmp_path, seed)
    for gateway in pair.gateways():
        gateway.engine.down("net", pair.now)
    pair.run(60)
    assert not pair.tokyo.kernel.list_sas()
    assert not pair.osaka.kernel.list_sas()
    assert len(pair.tokyo.engine.sessions) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_child_responder_lost_sa(tmp_path, seed):
    """The responder of a rekey no longer has the child: a new one is made at once."""
    pair = up(tmp_path, seed)
    (child,) = pair.osaka.state.children
    pair.osaka.state.wanted = False
    pair.osaka.engine.tunnels.child_gone(child, "lost")
    expire(pair.tokyo, pair)
    pair.exchange()
    assert pair.established()
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_child_both_ends_begin_at_once(tmp_path, seed):
    """No tunnel yet, and a packet at both ends: one IKE SA and one child is left."""
    pair = world(tmp_path, seed=seed)
    for gateway in pair.gateways():
        gateway.engine.acquire(7, pair.now)
    pair.exchange()
    settled(pair)


# The IKE SA


@pytest.mark.parametrize("seed", SEEDS)
def test_ike_rekey_regular(tmp_path, seed):
    pair = up(tmp_path, seed)
    rekey_ike(pair.tokyo if seed % 2 else pair.osaka, pair)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("order", range(4))
def test_ike_rekey_collision(tmp_path, seed, order):
    pair = up(tmp_path, seed)
    before = {sa.spi for sa in pair.tokyo.installed()}
    for gateway in pair.gateways():
        rekey_ike(gateway, pair)
    requests = [send(pair, gateway) for gateway in pair.gateways()]
    for held in requests[:: -1 if order & 1 else 1]:
        deliver(pair, held)
    answers = [send(pair, gateway) for gateway in pair.gateways()]
    for held in answers[:: -1 if order & 2 else 1]:
        deliver(pair, held)
    pair.run(5)
    assert before == {sa.spi for sa in pair.tokyo.installed()}
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_ike_rekey_collision_delayed_request(tmp_path, seed):
    pair = up(tmp_path, seed)
    for gateway in pair.gateways():
        rekey_ike(gateway, pair)
    late = send(pair, pair.osaka)
    deliver(pair, send(pair, pair.tokyo))
    deliver(pair, send(pair, pair.osaka))
    deliver(pair, late)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_ike_rekey_collision_dropped_request(tmp_path, seed):
    pair = up(tmp_path, seed)
    for gateway in pair.gateways():
        rekey_ike(gateway, pair)
    send(pair, pair.osaka)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ike", ["tokyo", "osaka"])
def test_child_rekey_collision_ike_rekey(tmp_path, seed, ike):
    """One end replaces the child, the other the IKE SA: each is put off for a while, and neither is lost."""
    pair = up(tmp_path, seed)
    child = "osaka" if ike == "tokyo" else "tokyo"
    expire(getattr(pair, child), pair)
    rekey_ike(getattr(pair, ike), pair)
    requests = [send(pair, gateway) for gateway in pair.gateways()]
    for held in requests:
        deliver(pair, held)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_child_rekey_collision_ike_delete(tmp_path, seed):
    pair = up(tmp_path, seed)
    expire(pair.tokyo, pair)
    for session in pair.osaka.engine.sessions:
        session.close("taken down")
    pair.run(60)
    for gateway in pair.gateways():
        if not gateway.state.up:
            gateway.engine.acquire(7, pair.now)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_ike_both_ends_delete_at_once(tmp_path, seed):
    pair = up(tmp_path, seed)
    for gateway in pair.gateways():
        gateway.state.wanted = False
        for session in gateway.engine.sessions:
            session.close("taken down")
    pair.exchange()
    pair.run(5)
    assert not pair.tokyo.engine.sessions
    assert not pair.osaka.engine.sessions
    assert not pair.tokyo.kernel.list_sas()
    assert not pair.osaka.kernel.list_sas()


# Before authentication (CVE-2014-2338, CVE-2019-12312)


@pytest.mark.parametrize("exchange", [Exchange.CREATE_CHILD_SA, Exchange.INFORMATIONAL])
def test_nothing_but_ike_auth_is_answered_before_authentication(tmp_path, exchange):
    pair = world(tmp_path, psk=b"another")
    bring_up(pair)
    deliver(pair, send(pair, pair.tokyo))
    deliver(pair, send(pair, pair.osaka))
    (session,) = pair.tokyo.engine.sessions
    pair.tokyo.engine.outbox.clear()
    (datagram,) = session.runner._sealed(exchange, 0, 1, [])
    deliver(pair, (pair.tokyo, session.path, datagram))
    (theirs,) = pair.osaka.engine.sessions
    assert theirs.state == "connecting"
    assert not pair.osaka.engine.outbox
    assert not pair.osaka.kernel.list_sas()
