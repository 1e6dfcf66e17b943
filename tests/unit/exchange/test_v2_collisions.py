"""Races of IKEv2 (RFC 7296 2.8, 2.25): both ends at once, in every order of arrival. Named as strongSwan's own suite.

Each test holds datagrams back and lets them go in an order of its own; nonces are drawn so that either end wins.
"""

from __future__ import annotations

import functools
import random

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
def test_child_rekey_collision_lost_response(tmp_path, seed):
    """The answer that makes the winner is lost for a while: the loser, which works, mustn't go before it arrives."""
    pair = up(tmp_path, seed)
    for gateway in pair.gateways():
        expire(gateway, pair)
    late = send(pair, pair.osaka)
    deliver(pair, send(pair, pair.tokyo))
    deliver(pair, send(pair, pair.osaka))
    deliver(pair, late)
    send(pair, pair.tokyo)
    pair.mangle = lambda datagram: [] if decode_header(datagram).exchange == Exchange.CREATE_CHILD_SA else [datagram]
    for _ in range(25):
        pair.run(0.1)
        assert not worlds.unreceivable(pair)
    pair.mangle = lambda datagram: [datagram]
    for _ in range(200):
        pair.run(0.1)
        assert not worlds.unreceivable(pair)
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


@pytest.mark.parametrize("when", ["requested", "answered"])
def test_child_responder_ignore_soft_expire(tmp_path, when):
    """The responder's own soft limit, of a child that the initiator is replacing already, begins no second rekey."""
    pair = up(tmp_path, 1)
    gaps = worlds.watch_gaps(pair)
    (old,) = pair.osaka.state.children
    expire(pair.tokyo, pair)
    deliver(pair, send(pair, pair.tokyo))
    if when == "answered":
        deliver(pair, send(pair, pair.osaka))
    pair.osaka.engine.expire(old.inbound, False, pair.now)
    assert not pair.osaka.engine.sessions[0].making_child
    pair.run(5)
    assert len(pair.osaka.state.children) == 1
    assert not gaps
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("latency", [0.02, 0.4])
def test_child_responder_incorrect_delete(tmp_path, seed, latency):
    """The responder deletes the replaced child, which is the initiator's task: the two deletes may cross."""
    pair = up(tmp_path, seed)
    (old,) = pair.osaka.state.children
    expire(pair.tokyo, pair)
    lost = run_far_apart(pair, 1.5 * latency + seed * 0.3, latency)
    pair.osaka.engine.host.now = pair.now
    pair.osaka.engine.delete_children([old])
    pair.osaka.engine.tunnels.child_gone(old, "replaced, and not by us")
    lost += run_far_apart(pair, 10, latency)
    assert not lost
    settled(pair)


def test_child_delete_timeout(tmp_path, monkeypatch):
    """An initiator that never deletes what it has replaced: the responder does, a minute later."""
    pair = up(tmp_path, 1)
    gaps = worlds.watch_gaps(pair)
    monkeypatch.setattr(pair.tokyo.engine.tunnels, "_remove_later", lambda *details: None)
    expire(pair.tokyo, pair)
    pair.run(50)
    assert len(pair.tokyo.state.children) == len(pair.osaka.state.children) == 2
    pair.run(20)
    assert len(pair.tokyo.state.children) == len(pair.osaka.state.children) == 1
    assert not gaps
    monkeypatch.undo()
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("latency", [0, 0.05])
def test_child_rekey_collision_mixed(tmp_path, seed, latency):
    """One end's rekey takes several key exchanges, the other's none: they are over at different times."""
    additional = {"additional": (("ecp384", "none"), ("ecp256", "none"))}
    pair = up(tmp_path, seed, tokyo={**additional, "need_pfs": True}, osaka=additional)
    for gateway in pair.gateways():
        expire(gateway, pair)
    if latency:
        assert not run_far_apart(pair, 15, latency)
    else:
        shuffled(pair, seed)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_child_both_ends_begin_at_once(tmp_path, seed):
    """No tunnel yet, and a packet at both ends: one IKE SA and one child is left."""
    pair = world(tmp_path, seed=seed)
    for gateway in pair.gateways():
        gateway.engine.acquire(7, pair.now)
    pair.exchange()
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_child_deleted_while_its_successor_is_negotiated(tmp_path, seed):
    """The peer settled a collision whose winner we don't know yet, and its IKE SA ended: the tunnel is wanted."""
    pair = up(tmp_path, seed)
    pair.osaka.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.osaka.engine.outbox.clear()
    (child,) = pair.tokyo.state.children
    pair.tokyo.state.wanted = False
    pair.tokyo.engine.delete_children([child])
    pair.tokyo.engine.tunnels.child_gone(child, "lost a collision")
    pair.exchange()
    assert not pair.osaka.state.children
    for session in pair.tokyo.engine.sessions:
        session.close("its lifetime is over")
    settled(pair)


def run_far_apart(pair, seconds: float, latency: float) -> list[str]:
    """Let time pass where each datagram takes ``latency`` seconds to arrive, and packets of traffic too.

    Who couldn't send one (each end would, all the time), or had sent one that the other couldn't take any more.
    """
    end, under_way, traffic, lost = pair.now + seconds, pair.under_way, pair.traffic, []
    while pair.now < end:
        for gateway in pair.gateways():
            gateway.engine.run_timers(pair.now)
            while gateway.engine.outbox:
                under_way.append((pair.now + latency, send(pair, gateway)))
        while under_way and under_way[0][0] <= pair.now:
            deliver(pair, under_way.pop(0)[1])
        for sender, receiver in (pair.gateways(), pair.gateways()[::-1]):
            sending = [sa.spi for sa in sender.kernel.installed.values() if sa.source == sender.address]
            traffic.append((pair.now + latency, sender, receiver, sending[-1] if sending else 0))
        while traffic and traffic[0][0] <= pair.now:
            _when, sender, receiver, spi = traffic.pop(0)
            if spi not in {sa.spi for sa in receiver.kernel.installed.values()}:
                lost.append(sender.name)
        pair.now += latency / 4
    return lost


RACES = {
    "child rekey": expire,
    "ike rekey": rekey_ike,
    "reauthentication": lambda gateway, pair: gateway.engine.reauthenticate("net", pair.now, lambda *_outcome: None),
    "nothing": lambda gateway, pair: None,
}


@pytest.mark.parametrize("one", RACES)
@pytest.mark.parametrize("other", RACES)
@pytest.mark.parametrize("later", [0, 0.3, 0.9, 1.1, 2.5])
@pytest.mark.parametrize("latency", [0.05, 0.4])
def test_no_race_over_a_slow_line_loses_a_packet(tmp_path, one, other, later, latency):
    """``later``, in latencies, is how far apart the two begin. PFS, with another group than the other end wants."""
    wants = ({"need_pfs": True, "groups": groups} for groups in (("curve25519", "ecp256"), ("ecp256", "curve25519")))
    pair = up(tmp_path, 2, **dict(zip(("tokyo", "osaka"), wants)))
    RACES[one](pair.tokyo, pair)
    lost = run_far_apart(pair, later * latency, latency)
    RACES[other](pair.osaka, pair)
    lost += run_far_apart(pair, 15, latency)
    assert not lost
    pair.run(120)  # until an IKE SA without children has been found to be one too many
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("later", [0, 0.02, 0.05, 0.09])
def test_child_both_ends_begin_at_once_far_apart(tmp_path, seed, later):
    """The same where a datagram takes its time: both ends' deletes cross, and mustn't take both children."""
    pair = world(tmp_path, seed=seed)
    pair.tokyo.engine.acquire(7, pair.now)
    if later:
        run_far_apart(pair, later, latency=0.05)
    pair.osaka.engine.acquire(7, pair.now)
    run_far_apart(pair, 5, latency=0.05)
    assert pair.established()
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


OTHER_WAY_ROUND = {"tokyo": {"groups": ("curve25519", "ecp256")}, "osaka": {"groups": ("ecp256", "curve25519")}}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("later", [0, 0.5, 1.5, 2.5])
def test_ike_rekey_collision_ke_invalid(tmp_path, seed, later):
    """Both guess another group than the other end wants, and both begin again."""
    pair = up(tmp_path, seed, **OTHER_WAY_ROUND)
    before = pair.tokyo.engine.sessions
    rekey_ike(pair.tokyo, pair)
    lost = run_far_apart(pair, later * 0.1, latency=0.1)
    rekey_ike(pair.osaka, pair)
    lost += run_far_apart(pair, 10, latency=0.1)
    assert not lost
    assert not set(before) & set(pair.tokyo.engine.sessions)
    settled(pair)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("late", ["tokyo", "osaka"])
def test_ike_rekey_collision_ke_invalid_delayed_retry(tmp_path, seed, late):
    """One end's second request arrives when the other's whole exchange is over."""
    pair = up(tmp_path, seed, **OTHER_WAY_ROUND)
    for gateway in pair.gateways():
        rekey_ike(gateway, pair)
    requests = [send(pair, gateway) for gateway in pair.gateways()]
    for held in requests:
        deliver(pair, held)
    for held in [send(pair, gateway) for gateway in pair.gateways()]:
        deliver(pair, held)
    slow = getattr(pair, late)
    held = send(pair, slow) if slow.engine.outbox else None
    pair.exchange()
    if held is not None:
        deliver(pair, held)
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


# With additional key exchanges, each rekey takes several exchanges, and either end's may come between

MULTI_KE = {"additional": (("ecp384", "none"), ("mlkem768", "none")), "need_pfs": True}


def multi_ke(tmp_path, seed):
    return up(tmp_path, seed, tokyo=MULTI_KE, osaka=MULTI_KE)


def shuffled(pair, seed) -> None:
    """Deliver what both ends send in an order of its own, until nobody has anything left."""
    dice = random.Random(seed)
    while True:
        waiting = [gateway for gateway in pair.gateways() if gateway.engine.outbox]
        if not waiting:
            return
        deliver(pair, send(pair, dice.choice(waiting)))


@pytest.mark.parametrize("seed", range(12))
def test_child_rekey_collision_multi_ke(tmp_path, seed):
    pair = multi_ke(tmp_path, seed)
    for gateway in pair.gateways():
        expire(gateway, pair)
    shuffled(pair, seed)
    settled(pair)


@pytest.mark.parametrize("seed", range(12))
def test_ike_rekey_collision_multi_ke(tmp_path, seed):
    pair = multi_ke(tmp_path, seed)
    for gateway in pair.gateways():
        rekey_ike(gateway, pair)
    shuffled(pair, seed)
    settled(pair)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("ike", [0, 1])
def test_child_rekey_collision_ike_rekey_multi_ke(tmp_path, seed, ike):
    pair = multi_ke(tmp_path, seed)
    rekey_ike(pair.gateways()[ike], pair)
    expire(pair.gateways()[1 - ike], pair)
    shuffled(pair, seed)
    settled(pair)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_child_rekey_collision_delete_multi_ke(tmp_path, seed, after):
    """The other end deletes the child while its rekey is half made."""
    pair = multi_ke(tmp_path, seed)
    expire(pair.tokyo, pair)
    for _ in range(after):
        waiting = [gateway for gateway in pair.gateways() if gateway.engine.outbox]
        deliver(pair, send(pair, waiting[0]))
    for child in pair.osaka.state.children:
        pair.osaka.engine.expire(child.inbound, True, pair.now)
    shuffled(pair, seed)
    for gateway in pair.gateways():
        if not gateway.state.up:
            gateway.engine.acquire(7, pair.now)
    settled(pair)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 6, 7])
def test_ike_rekey_collision_delete_multi_ke(tmp_path, seed, after):
    """The other end closes the IKE SA while its successor is half made."""
    pair = multi_ke(tmp_path, seed)
    rekey_ike(pair.tokyo, pair)
    for _ in range(after):
        waiting = [gateway for gateway in pair.gateways() if gateway.engine.outbox]
        if waiting:
            deliver(pair, send(pair, waiting[0]))
    for session in pair.osaka.engine.sessions:
        session.close("test")
    shuffled(pair, seed)
    pair.run(90)
    for gateway in pair.gateways():
        if not gateway.state.up:
            gateway.engine.acquire(7, pair.now)
    settled(pair)
