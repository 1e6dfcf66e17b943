"""IKEv1 between two engines: the first tunnel, its failures in the operator's words, its whole life."""

from __future__ import annotations

import errno
import ipaddress

import pytest

from ike.config.settings import Identity, SaProposal, Traffic
from ike.wire.header import decode_header
from ike.wire.v1_numbers import Exchange
from tests.unit.exchange.world import bring_up, world


def test_main_and_quick_mode_bring_the_tunnel_up_in_nine_messages(tmp_path):
    pair = world(tmp_path)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert pair.established()
    assert len(pair.wire) == 9
    assert [len(datagram) for _, datagram in pair.wire][:2] == [180, 140]


def test_both_kernels_hold_the_same_two_sas(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    ours, theirs = pair.tokyo.installed(), pair.osaka.installed()
    assert [(sa.spi, sa.encryption_key, sa.integrity_key, sa.source) for sa in ours] == [
        (sa.spi, sa.encryption_key, sa.integrity_key, sa.source) for sa in theirs
    ]
    assert {sa.encryption for sa in ours} == {"3des_cbc"}
    assert {len(sa.encryption_key) for sa in ours} == {24}
    assert {sa.reqid for sa in ours} == {7}


def test_each_end_receives_before_the_other_may_send(tmp_path):
    """Installing the inbound SA comes before the message that lets the peer use it."""
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    for gateway in pair.gateways():
        installs = [name for name, argument in gateway.kernel.log if name in ("update_sa", "add_sa")]
        assert installs == ["update_sa", "add_sa"]


@pytest.mark.parametrize("starter", ["tokyo", "osaka"])
def test_a_packet_that_meets_the_policy_brings_it_up_from_either_end(tmp_path, starter):
    pair = world(tmp_path)
    getattr(pair, starter).engine.acquire(7, pair.now)
    pair.exchange()
    assert pair.established()


def test_pfs_and_several_algorithms(tmp_path):
    changes = {
        "need_pfs": True,
        "groups": ("modp1536", "modp1024"),
        "encryption": (("aes_cbc", 256), ("3des_cbc", 192)),
    }
    pair = world(tmp_path, tokyo=changes, osaka={**changes, "groups": ("modp1024",)})
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    assert {child.pfs for child in pair.osaka.state.children} == {"modp1024"}


# Failures, in the operator's words


def test_a_wrong_key_is_named_at_both_ends(tmp_path):
    pair = world(tmp_path, psk=b"test\n")
    outcome = bring_up(pair)
    pair.run(60)
    assert pair.osaka.said("peer 210.11.11.11: message can't be decrypted: probably the pre-shared keys differ")
    assert outcome[0][0] is False
    assert "probably the pre-shared keys differ" in outcome[0][1]
    assert not pair.tokyo.kernel.installed
    assert not pair.osaka.kernel.installed


@pytest.mark.parametrize("key, words", [(b"", "the file is empty"), (None, "No such file")])
def test_a_bad_key_file_is_named_and_nothing_is_sent(tmp_path, key, words):
    pair = world(tmp_path)
    path = tmp_path / "tokyo.psk"
    path.unlink() if key is None else path.write_bytes(key)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome[0][0] is False
    assert words in outcome[0][1]
    assert str(path) in outcome[0][1]
    assert pair.wire == []


def test_a_key_file_that_others_may_read_is_refused(tmp_path):
    pair = world(tmp_path)
    (tmp_path / "osaka.psk").chmod(0o644)
    bring_up(pair)
    pair.run(60)
    assert pair.osaka.said("mode 0644: group or others may use it, set 0600")


def test_no_common_phase_1_proposal_names_the_nearest(tmp_path):
    pair = world(tmp_path, osaka={"groups": ("modp1536",)})
    outcome = bring_up(pair)
    pair.run(60)
    expected = "nearest offer 3des_cbc/sha1/modp1024: group: theirs modp1024, ours modp1536"
    assert pair.osaka.said(expected)
    assert "NO-PROPOSAL-CHOSEN" in outcome[0][1]


def test_no_common_phase_2_proposal_names_the_nearest_and_tells_the_peer(tmp_path):
    pair = world(tmp_path, osaka_tunnel={"proposals": (SaProposal("esp", (("aes_cbc", 128),), ("hmac_sha1",)),)})
    outcome = bring_up(pair)
    pair.exchange()
    assert pair.osaka.said("encryption: theirs 3des_cbc, ours aes128_cbc")
    assert outcome == [(False, "the peer refused: NO-PROPOSAL-CHOSEN")]
    assert not pair.tokyo.kernel.installed


def test_selectors_that_differ_are_shown_side_by_side(tmp_path):
    other = Traffic(ipaddress.ip_network("192.168.21.0/24"), ipaddress.ip_network("192.168.10.0/24"))
    pair = world(tmp_path, osaka_tunnel={"selector": other})
    outcome = bring_up(pair)
    pair.exchange()
    assert pair.osaka.said(
        "the peer wants 192.168.20.0/24 - 192.168.10.0/24; we have 192.168.21.0/24 - 192.168.10.0/24"
    )
    assert outcome == [(False, "the peer refused: INVALID-ID-INFORMATION")]


def test_an_identity_that_differs_is_shown_with_the_wanted_one(tmp_path):
    pair = world(tmp_path, tokyo={"my_ids": (Identity("ipaddr", ipaddress.ip_address("210.11.22.33")),)})
    bring_up(pair)
    pair.run(60)
    assert pair.osaka.said("the peer calls itself ipaddr 210.11.22.33; peers_id is ipaddr 210.11.11.11")


def test_a_silent_peer_is_named(tmp_path):
    pair = world(tmp_path)
    pair.mangle = lambda datagram: []
    outcome = bring_up(pair)
    pair.run(60)
    assert outcome == [(False, "no answer from 210.22.22.22: unreachable, filtered, or not configured for us")]
    assert len(pair.wire) > 5


@pytest.mark.parametrize("operation", ["allocate_spi", "update_sa", "add_sa"])
@pytest.mark.parametrize("end", ["tokyo", "osaka"])
def test_a_kernel_that_refuses_leaves_nothing_half_installed(tmp_path, operation, end):
    pair = world(tmp_path)
    getattr(pair, end).kernel.fail(operation, errno.ENOSYS)
    bring_up(pair)
    pair.exchange()
    gateway = getattr(pair, end)
    assert not gateway.kernel.installed
    assert not gateway.kernel.list_sas()
    assert gateway.said("the kernel refused")


def test_an_isakmp_sa_under_which_nothing_succeeds_is_replaced(tmp_path):
    pair = world(tmp_path, osaka_tunnel={"proposals": (SaProposal("esp", (("aes_cbc", 128),), ("hmac_sha1",)),)})
    bring_up(pair)
    pair.exchange()
    (first,) = pair.tokyo.engine.sessions
    pair.run(30)
    assert pair.tokyo.said("ISAKMP SA closed: 3 negotiations under it failed")
    assert first not in pair.tokyo.engine.sessions


def test_an_initiator_whose_last_message_never_arrives_learns_that_there_is_no_child(tmp_path):
    pair = world(tmp_path)
    lost = []

    def lose_the_end_of_quick_mode(datagram):
        is_end = decode_header(datagram).exchange == Exchange.QUICK_MODE and len(datagram) == 52
        lost.extend([datagram] if is_end else [])
        return [] if is_end else [datagram]

    pair.mangle = lose_the_end_of_quick_mode
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    pair.run(60)
    assert len(lost) > 5
    assert not pair.tokyo.kernel.installed
    assert not pair.osaka.kernel.installed


def test_a_peer_that_nobody_knows_yet_may_not_fill_the_log(tmp_path):
    pair = world(tmp_path, tokyo={"groups": ("modp1536",)})
    for _ in range(20):
        bring_up(pair)
        pair.exchange()
        pair.tokyo.engine.close(pair.now)
    assert len([line for line in pair.osaka.lines if "no common phase 1 proposal" in line]) == 1
    pair.now += 61
    bring_up(pair)
    pair.exchange()
    assert len([line for line in pair.osaka.lines if "no common phase 1 proposal" in line]) == 2


# Life


def test_a_lost_datagram_of_any_place_is_made_good(tmp_path):
    for lost in range(9):
        pair = world(tmp_path, seed=lost)
        count = iter(range(1000))
        pair.mangle = lambda datagram, count=count, lost=lost: [] if next(count) == lost else [datagram]
        outcome = bring_up(pair)
        pair.run(30)
        assert outcome == [(True, "")], lost
        assert pair.established(), lost


def test_a_duplicate_of_every_datagram_changes_nothing(tmp_path):
    pair = world(tmp_path)
    pair.mangle = lambda datagram: [datagram, datagram]
    bring_up(pair)
    pair.run(5)
    assert pair.established()
    assert len(pair.tokyo.installed()) == len(pair.osaka.installed()) == 2
    assert len(pair.wire) < 40


def expire(pair, hard: bool) -> None:
    for gateway in pair.gateways():
        for child in list(gateway.state.children):
            gateway.engine.expire(child.inbound, hard, pair.now)


def test_a_soft_expiry_makes_the_next_child_before_the_old_one_goes(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(3600)
    first = pair.tokyo.state.children[0]
    pair.tokyo.engine.expire(first.inbound, False, pair.now)
    pair.exchange()
    assert len(pair.tokyo.state.children) == len(pair.osaka.state.children) == 2
    assert pair.tokyo.state.up
    pair.run(60)
    assert len(pair.tokyo.installed()) == len(pair.osaka.installed()) == 2
    assert first not in pair.tokyo.state.children


def test_both_ends_that_rekey_at_once_end_with_one_child(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(3600)
    expire(pair, hard=False)
    pair.run(60)
    assert pair.established()
    assert len([child for child in pair.tokyo.state.children if child.state == "up"]) == 1
    up = [next(child for child in one.state.children if child.state == "up") for one in pair.gateways()]
    assert (up[0].spi_in, up[0].spi_out) == (up[1].spi_out, up[1].spi_in)


@pytest.mark.parametrize("again", ["tokyo", "osaka"])
def test_a_rekey_right_after_the_start_is_no_collision(tmp_path, again):
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(1)
    first = pair.tokyo.state.children[0]
    getattr(pair, again).engine.rekey("net", pair.now, lambda success, reason: None)
    pair.exchange()
    assert (first.state, pair.tokyo.state.children[1].state) == ("rekeyed", "up")
    assert [child.state for child in pair.osaka.state.children] == ["rekeyed", "up"]


def test_a_child_that_the_peer_kept_after_a_collision_carries_on(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(1)
    pair.tokyo.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.exchange()
    old, young = pair.tokyo.state.children
    pair.tokyo.engine.child_deleted(pair.tokyo.engine.sessions[0], young.spi_out)
    assert (old.state, pair.tokyo.state.up) == ("up", True)


def test_a_peer_that_leaves_and_names_its_youngest_child_only_has_left_altogether(tmp_path):
    """Libreswan 5 deletes the youngest child, then the ISAKMP SA, and says nothing of the children before."""
    pair = world(tmp_path)
    bring_up(pair)
    for starter in (pair.tokyo, pair.osaka):
        pair.run(1)
        starter.engine.rekey("net", pair.now, lambda success, reason: None)
    pair.exchange()
    (session,) = pair.osaka.engine.sessions
    assert len(pair.tokyo.state.children) == 3
    session.delete(pair.osaka.state.children[-1].inbound)
    session.close("down")
    pair.run(5)
    assert not pair.tokyo.kernel.installed
    assert not pair.tokyo.state.wanted


def test_down_removes_both_ends_children_and_stays_down(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    assert pair.tokyo.engine.down("net", pair.now) == 1
    pair.run(600)
    assert not pair.tokyo.kernel.installed
    assert not pair.osaka.kernel.installed


def test_the_next_packet_brings_back_what_the_peer_took_down(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    pair.tokyo.engine.down("net", pair.now)
    pair.run(600)
    assert not pair.established()
    pair.osaka.engine.acquire(7, pair.now)
    pair.exchange()
    assert pair.established()


def test_a_peer_that_lost_everything_is_believed_and_leaves_no_orphans(tmp_path):
    """INITIAL-CONTACT of a restarted peer removes what it has forgotten."""
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    reborn = world(tmp_path)
    pair.tokyo = reborn.tokyo
    pair.now += 100
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert [sa.spi for sa in pair.tokyo.installed()] == [sa.spi for sa in pair.osaka.installed()]


def test_a_tunnel_whose_peer_went_away_comes_back_by_itself(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    pair.mangle = lambda datagram: []
    expire(pair, hard=True)
    pair.run(3600)
    assert not pair.established()
    assert "no answer" in pair.tokyo.state.reason
    pair.mangle = lambda datagram: [datagram]
    pair.run(600)
    assert pair.established()


def test_dead_peer_detection_notices_and_recovers(tmp_path):
    dpd = {"dpd_delay": 10, "dpd_retry": 2, "dpd_maxfail": 3}
    pair = world(tmp_path, tokyo=dpd)
    bring_up(pair)
    pair.run(120)
    assert pair.established()
    pair.mangle = lambda datagram: []
    pair.run(60)
    assert not pair.tokyo.state.up
    assert not pair.tokyo.kernel.installed
    pair.mangle = lambda datagram: [datagram]
    pair.run(600)
    assert pair.established()


def test_the_isakmp_sa_is_renewed_before_it_ends(tmp_path):
    pair = world(tmp_path, tokyo={"lifetime_seconds": 1000}, osaka={"lifetime_seconds": 1000})
    bring_up(pair)
    pair.run(5000)
    assert pair.established()
    assert 1 <= len([one for one in pair.tokyo.engine.sessions if one.state == "established"]) <= 2


def test_an_isakmp_sa_that_the_peer_has_forgotten_goes_once_a_younger_one_is_there(tmp_path):
    """A restarted peer comes back without INITIAL-CONTACT: what it doesn't know any more would only mislead us."""
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(100)
    found = pair.tokyo.kernel.list_sas()
    reborn = world(tmp_path)
    reborn.tokyo.kernel._states.update({state.id: state for state in found})
    reborn.tokyo.engine.adopt(found, pair.now)
    pair.tokyo = reborn.tokyo
    pair.run(5)
    assert len(pair.osaka.engine.sessions) == 2
    pair.run(20)
    assert len(pair.osaka.engine.sessions) == len(pair.tokyo.engine.sessions) == 1
    assert pair.established()


def test_leftovers_of_an_earlier_run_are_replaced(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    found = pair.tokyo.kernel.list_sas()
    reborn = world(tmp_path)
    reborn.tokyo.kernel._states.update({state.id: state for state in found})
    reborn.tokyo.engine.adopt(found, reborn.now)
    pair.tokyo = reborn.tokyo
    pair.run(10)
    assert pair.established()
    assert len(pair.tokyo.kernel.list_sas()) == 2
    assert not {state.spi for state in found} & {state.spi for state in pair.tokyo.kernel.list_sas()}


def test_a_restart_leaves_no_moment_without_sas_and_no_orphans_at_the_peer(tmp_path):
    """The old SAs carry traffic until the new ones do; then both ends drop them."""
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    found = pair.tokyo.kernel.list_sas()
    reborn = world(tmp_path)
    reborn.tokyo.kernel._states.update({state.id: state for state in found})
    reborn.tokyo.engine.adopt(found, reborn.now)
    pair.tokyo = reborn.tokyo
    before = len(pair.osaka.kernel.log)
    pair.run(10)
    changes = [name for name, _ in pair.osaka.kernel.log[before:] if name in ("update_sa", "add_sa", "delete_sa")]
    assert changes == ["update_sa", "add_sa", "delete_sa", "delete_sa"]
    assert len(pair.osaka.kernel.list_sas()) == 2


def test_closing_tells_the_peer_and_leaves_no_sa(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    pair.tokyo.engine.close(pair.now)
    pair.exchange()
    assert not pair.tokyo.kernel.list_sas()
    assert not pair.osaka.kernel.list_sas()
    assert not pair.osaka.engine.sessions


def test_status_tells_what_is_up_and_why_not(tmp_path):
    pair = world(tmp_path)
    status = pair.tokyo.engine.status(pair.now)
    assert status["tunnels"][0]["state"] == "down"
    assert status["tunnels"][0]["reason"]
    bring_up(pair)
    pair.exchange()
    status = pair.tokyo.engine.status(pair.now)
    (tunnel,) = status["tunnels"]
    assert (tunnel["state"], tunnel["reason"]) == ("up", "")
    assert tunnel["child_sas"][0]["encryption"] == "3des_cbc"
    (ike,) = status["ike_sas"]
    assert (ike["version"], ike["state"], ike["peer"]["id"]) == (1, "established", "ipaddr 210.22.22.22")
