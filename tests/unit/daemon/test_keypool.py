"""The pool of key pairs: filled while idle, and no pair is handed out twice."""

from __future__ import annotations

from ike.crypto.algorithms import GROUPS
from ike.daemon.keypool import KeyPool

X25519, ECP256 = GROUPS["curve25519"], GROUPS["ecp256"]


def test_no_pair_is_handed_out_twice():
    pool = KeyPool()
    publics = []
    for _ in range(10):
        publics.append(pool.take(X25519).public)
        pool.refill()
    assert len(set(publics)) == 10


def test_a_pool_fills_only_for_groups_that_were_asked_for_and_stops():
    pool = KeyPool()
    assert pool.refill() is False
    pool.take(X25519)
    pool.take(ECP256)
    made = 0
    while pool.refill():
        made += 1
        assert made < 100
    assert made == 8


def test_waiting_pairs_serve_without_making_one():
    made = []

    def make(group):
        made.append(group)
        return len(made)

    pool = KeyPool(make)
    assert pool.take(X25519) == 1
    pool.refill()
    assert pool.take(X25519) == 2
    assert len(made) == 2
