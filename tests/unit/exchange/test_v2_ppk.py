"""Post-quantum pre-shared keys between two engines: both ends, one end, required or not, by any name (RFC 8784)."""

from __future__ import annotations

import functools

import pytest

from ike.exchange.status import document
from ike.wire.header import decode_header
from tests.unit.exchange import world as worlds
from tests.unit.exchange.world import bring_up, key_file

world = functools.partial(worlds.world, version=2)

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


class Case:
    """What either end has: (name, key, required), or None."""

    def __init__(self, tokyo, osaka, used=False, reason="", said=""):
        self.ends = (tokyo, osaka)
        self.used = used
        self.reason = reason
        self.said = said


A, A_REQUIRED = ("a", KEY, False), ("a", KEY, True)
B, B_REQUIRED = ("b", KEY, False), ("b", KEY, True)
WRONG, WRONG_REQUIRED = ("a", OTHER, False), ("a", OTHER, True)
REFUSED = "the peer refused: AUTHENTICATION_FAILED: probably the pre-shared keys"

CASES = {
    "both": Case(A, A, used=True),
    "both, the initiator requires it": Case(A_REQUIRED, A, used=True),
    "both, the responder requires it": Case(A, A_REQUIRED, used=True),
    "both require it": Case(A_REQUIRED, A_REQUIRED, used=True),
    "only the initiator": Case(A, None),
    "only the responder": Case(None, A),
    "only the initiator, required": Case(A_REQUIRED, None, reason="the peer has no PPK, and ppk_required is on"),
    "only the responder, required": Case(
        None, A_REQUIRED, reason=REFUSED, said="the peer has no PPK, and ppk_required is on"
    ),
    "other names": Case(A, B, said="the peer's PPK is a, ours b: without it"),
    "other names, the initiator requires its own": Case(
        A_REQUIRED, B, reason=REFUSED, said="the peer's PPK is a, ours b, and the peer requires it"
    ),
    "other names, the responder requires its own": Case(
        A, B_REQUIRED, reason=REFUSED, said="the peer's PPK is a, ours b, and ppk_required is on"
    ),
    "one name, two keys": Case(A, WRONG, reason=REFUSED, said="the PPKs called a differ"),
    "one name, two keys, required": Case(
        A_REQUIRED, WRONG_REQUIRED, reason=REFUSED, said="probably the pre-shared keys differ"
    ),
}


def settings(directory, name, ppk):
    if ppk is None:
        return {}
    identity, key, required = ppk
    return {"ppk": key_file(directory, name + ".ppk", key), "ppk_id": identity, "ppk_required": required}


def pair_of(tmp_path, tokyo, osaka, **changes):
    return world(
        tmp_path,
        tokyo={**settings(tmp_path, "tokyo", tokyo), **changes},
        osaka={**settings(tmp_path, "osaka", osaka), **changes},
    )


def agree(pair) -> bool:
    ours, theirs = pair.tokyo.installed(), pair.osaka.installed()
    return len(ours) == 2 and [sa.encryption_key for sa in ours] == [sa.encryption_key for sa in theirs]


def names(pair):
    return [document(one.engine, pair.now)["ike_sas"][0]["ppk"] for one in pair.gateways()]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_combination(tmp_path, case):
    pair = pair_of(tmp_path, *case.ends)
    outcome = bring_up(pair)
    pair.exchange()
    assert not case.said or pair.osaka.said(case.said)
    if case.reason:
        assert not pair.established()
        assert case.reason in outcome[0][1]
        assert not pair.tokyo.installed() and not pair.osaka.installed()
        return
    assert outcome == [(True, "")]
    assert agree(pair)
    assert names(pair) == (["a", "a"] if case.used else ["", ""])


def test_the_initiator_says_that_it_goes_on_without(tmp_path):
    pair = pair_of(tmp_path, A, B)
    bring_up(pair)
    pair.exchange()
    assert pair.tokyo.said("the peer doesn't know our PPK a: without it")


def test_successors_and_children_keep_it(tmp_path):
    pair = pair_of(tmp_path, A_REQUIRED, A_REQUIRED, lifetime_seconds=600)
    bring_up(pair)
    pair.run(700)
    assert pair.established()
    assert pair.tokyo.said("IKE SA replaced") and pair.tokyo.said(", PPK a")
    assert names(pair) == ["a", "a"]
    assert agree(pair)


def test_the_file_is_read_at_each_authentication(tmp_path):
    pair = pair_of(tmp_path, A_REQUIRED, A_REQUIRED)
    bring_up(pair)
    pair.exchange()
    for name in ("tokyo.ppk", "osaka.ppk"):
        (tmp_path / name).write_bytes(OTHER)
    for gateway in pair.gateways():
        for session in list(gateway.engine.sessions):
            session.abandon("test")
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    (tmp_path / "osaka.ppk").chmod(0o640)
    for gateway in pair.gateways():
        for session in list(gateway.engine.sessions):
            session.abandon("test")
    bring_up(pair)
    pair.exchange()
    assert pair.osaka.said("osaka.ppk: mode 0640: group or others may use it, set 0600")
    assert not pair.established()


def test_it_never_reaches_the_log(tmp_path):
    secret = b"correct-horse-battery-staple-0123456789"
    for end in (("a", secret, True), ("a", secret[::-1], False)):
        pair = pair_of(tmp_path, ("a", secret, False), end)
        bring_up(pair)
        pair.exchange()
        for gateway in pair.gateways():
            assert not gateway.said("horse") and not gateway.said(secret.hex())


def test_a_forged_use_ppk_is_found_out(tmp_path):
    """A middle that takes USE_PPK out of the answer changes what AUTH covers."""
    pair = pair_of(tmp_path, A, A)

    def strip(datagram: bytes) -> list[bytes]:
        if decode_header(datagram).exchange == 34:
            return [datagram.replace(b"\x00\x00\x40\x33", b"\x00\x00\x9f\x33")]
        return [datagram]

    pair.mangle = strip
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome and not outcome[0][0]
    assert not pair.established()
