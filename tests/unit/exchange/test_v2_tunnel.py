"""IKEv2 between two engines: the first tunnel, its failures in the operator's words, its whole life."""

from __future__ import annotations

import errno
import functools
import ipaddress
from dataclasses import replace

import pytest

from ike.config.settings import Endpoint, Identity, Remote, SaProposal, Traffic
from ike.exchange.effects import NamedAddress
from ike.wire.header import decode_header
from ike.wire.v2_numbers import Exchange, Flag
from tests.unit.exchange import world as worlds
from tests.unit.exchange.world import bring_up

world = functools.partial(worlds.world, version=2)


def exchanges(pair) -> list[int]:
    """The exchange types of what was sent, without the marker that says which side sent it."""
    return [decode_header(datagram).exchange for _, datagram in pair.wire if len(datagram) > 1]


def agree(pair) -> bool:
    """Whether both kernels hold the same two SAs and nothing else."""
    ours, theirs = pair.tokyo.installed(), pair.osaka.installed()
    shapes = [
        [(sa.spi, sa.encryption_key, sa.integrity_key, sa.source, sa.esn) for sa in installed]
        for installed in (ours, theirs)
    ]
    return shapes[0] == shapes[1] and len(ours) == 2


def test_the_tunnel_is_up_after_four_messages(tmp_path):
    pair = world(tmp_path)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert pair.established()
    assert exchanges(pair) == [34, 34, 35, 35]
    assert agree(pair)
    assert {(sa.encryption, len(sa.encryption_key), sa.reqid) for sa in pair.tokyo.installed()} == {("aes_gcm", 36, 7)}


def test_each_end_receives_before_it_sends(tmp_path):
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


SUITES = [
    {"encryption": (("aes_cbc", 128),), "hashes": ("hmac_sha1",), "prfs": ("hmac_sha1",), "groups": ("modp1024",)},
    {"encryption": (("3des_cbc", 192),), "hashes": ("hmac_md5",), "prfs": ("hmac_md5",), "groups": ("modp1024",)},
    {"encryption": (("aes_cbc", 256),), "hashes": ("aes_xcbc",), "prfs": ("aes_xcbc",), "groups": ("ecp256",)},
    {"encryption": (("aes_ctr", 256),), "hashes": ("aes_cmac",), "prfs": ("aes_cmac",), "groups": ("ecp384",)},
    {"encryption": (("chacha20_poly1305", 256),), "prfs": ("hmac_sha2_512",), "groups": ("curve448",)},
    {"encryption": (("aes_gcm_8", 128),), "prfs": ("hmac_sha2_384",), "groups": ("ecp521",)},
]


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite["encryption"][0][0])
def test_every_kind_of_suite(tmp_path, suite):
    pair = world(tmp_path, tokyo=suite, osaka=suite)
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    assert agree(pair)


ESPS = [
    SaProposal("esp", (("3des_cbc", 192),), ("hmac_sha1",)),
    SaProposal("esp", (("aes_cbc", 256),), ("hmac_sha2_256",)),
    SaProposal("esp", (("chacha20_poly1305", 256),)),
    SaProposal("esp", (("aes_gcm", 128), ("aes_cbc", 128)), ("hmac_sha2_256",)),
    SaProposal("ah", (), ("hmac_sha2_512",)),
]


@pytest.mark.parametrize("sa", ESPS, ids=str)
def test_every_kind_of_child(tmp_path, sa):
    pair = world(tmp_path, tokyo_tunnel={"proposals": (sa,)}, osaka_tunnel={"proposals": (sa,)})
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    assert agree(pair)


def test_transport_mode_carries_its_selector(tmp_path):
    hosts = {
        "mode": "transport",
        "selector": Traffic(ipaddress.ip_network(worlds.TOKYO), ipaddress.ip_network(worlds.OSAKA), 6, 0, 80),
    }
    mirror = {**hosts, "selector": hosts["selector"].reversed()}
    pair = world(tmp_path, tokyo_tunnel=hosts, osaka_tunnel=mirror)
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    assert {sa.mode for sa in pair.tokyo.installed()} == {"transport"}
    assert {sa.selector.protocol for sa in pair.osaka.installed()} == {6}


def test_a_wider_selector_is_narrowed_to_what_the_responder_has(tmp_path):
    wide = Traffic(worlds.TOKYO_NET, ipaddress.ip_network("192.168.0.0/16"))
    pair = world(tmp_path, tokyo_tunnel={"selector": wide})
    bring_up(pair)
    pair.exchange()
    assert pair.established()


# IKE_SA_INIT begun again


def test_a_group_that_the_responder_did_not_choose_is_answered_with_the_one_it_did(tmp_path):
    pair = world(tmp_path, osaka={"groups": ("ecp256",)})
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert exchanges(pair) == [34, 34, 34, 34, 35, 35]


def test_a_cookie_is_asked_for_and_given(tmp_path):
    pair = world(tmp_path, osaka={"cookie_required": True, "groups": ("ecp256",)})
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert exchanges(pair) == [34] * 6 + [35, 35]
    assert pair.osaka.engine.host.counters["cookies"] == 1


# Failures, in the operator's words


def test_a_wrong_key_is_named_at_both_ends(tmp_path):
    pair = world(tmp_path, psk=b"test\n")
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(False, "the peer refused: AUTHENTICATION_FAILED: probably the pre-shared keys differ")]
    assert pair.osaka.said("authentication failed: probably the pre-shared keys differ")
    assert not pair.tokyo.kernel.list_sas()
    assert not pair.osaka.kernel.list_sas()
    assert not pair.osaka.engine.sessions


@pytest.mark.parametrize("key, words", [(b"", "the file is empty"), (None, "No such file")])
def test_a_bad_key_file_is_named_and_nothing_is_sent(tmp_path, key, words):
    pair = world(tmp_path)
    path = tmp_path / "tokyo.psk"
    path.unlink() if key is None else path.write_bytes(key)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome[0][0] is False
    assert words in outcome[0][1]
    assert pair.wire == []


def test_a_responder_without_a_key_says_so_to_its_operator_only(tmp_path):
    pair = world(tmp_path)
    (tmp_path / "osaka.psk").unlink()
    outcome = bring_up(pair)
    pair.exchange()
    assert pair.osaka.said("No such file")
    assert "AUTHENTICATION_FAILED" in outcome[0][1]


def test_no_common_ike_proposal_names_the_nearest_and_the_initiator_does_not_give_up_at_once(tmp_path):
    pair = world(tmp_path, osaka={"encryption": (("aes_gcm", 128),)})
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == []
    assert pair.osaka.said("nearest offer: encryption: theirs aes256_gcm, ours aes128_gcm")
    pair.run(120)
    assert outcome == [(False, "210.22.22.22 says NO_PROPOSAL_CHOSEN (unauthenticated)")]
    assert not pair.osaka.engine.sessions


def test_no_common_child_proposal_leaves_the_ike_sa(tmp_path):
    pair = world(tmp_path, osaka_tunnel={"proposals": (SaProposal("esp", (("aes_cbc", 128),), ("hmac_sha1",)),)})
    outcome = bring_up(pair)
    pair.exchange()
    assert pair.osaka.said("encryption: theirs aes256_gcm, ours aes128_cbc")
    assert outcome == [(False, "the peer refused the child: NO_PROPOSAL_CHOSEN")]
    assert not pair.tokyo.kernel.list_sas()
    assert not pair.osaka.kernel.list_sas()
    assert [one.state for one in pair.tokyo.engine.sessions] == ["established"]


def test_selectors_that_differ_are_shown_side_by_side(tmp_path):
    other = Traffic(ipaddress.ip_network("192.168.21.0/24"), ipaddress.ip_network("192.168.10.0/24"))
    pair = world(tmp_path, osaka_tunnel={"selector": other})
    outcome = bring_up(pair)
    pair.exchange()
    assert pair.osaka.said(
        "the peer wants 192.168.20.0/24 - 192.168.10.0/24; we have 192.168.21.0/24 - 192.168.10.0/24"
    )
    assert outcome == [(False, "the peer refused the child: TS_UNACCEPTABLE")]


def test_modes_that_differ_make_no_child(tmp_path):
    pair = world(tmp_path, osaka_tunnel={"mode": "transport"})
    outcome = bring_up(pair)
    pair.exchange()
    assert pair.osaka.said("mode: theirs tunnel, ours transport")
    assert outcome == [(False, "the peer refused the child: NO_PROPOSAL_CHOSEN")]
    pair = world(tmp_path, tokyo_tunnel={"mode": "transport"})
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(False, "the peer declined transport mode")]
    assert not pair.osaka.kernel.installed


def test_an_identity_that_differs_is_shown_with_the_wanted_one_at_the_responder(tmp_path):
    pair = world(tmp_path, tokyo={"my_ids": (Identity("ipaddr", ipaddress.ip_address("210.11.22.33")),)})
    bring_up(pair)
    pair.exchange()
    assert pair.osaka.said("the peer calls itself ipaddr 210.11.22.33; peers_id is ipaddr 210.11.11.11")
    assert not pair.osaka.kernel.list_sas()


def test_an_identity_that_differs_is_refused_by_the_initiator_too_and_the_responder_is_told(tmp_path):
    pair = world(tmp_path, osaka={"my_ids": (Identity("fqdn", "osaka.example"),)})
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(False, "the peer calls itself fqdn osaka.example; peers_id is ipaddr 210.22.22.22")]
    assert not pair.tokyo.kernel.list_sas()
    assert not pair.osaka.kernel.list_sas()
    assert not pair.osaka.engine.sessions


def test_a_silent_peer_is_named(tmp_path):
    pair = world(tmp_path)
    pair.mangle = lambda datagram: []
    outcome = bring_up(pair)
    pair.run(120)
    assert outcome == [(False, "no answer from 210.22.22.22: unreachable, filtered, or not configured for us")]


def test_a_peer_whose_name_leads_elsewhere_by_now_is_begun_with_there(tmp_path):
    old, peers = ipaddress.ip_address("198.51.100.7"), (Endpoint(name="IP_RW"), Endpoint(name="gw.osaka.example"))
    pair = world(tmp_path, tokyo={"peers": peers}, tokyo_tunnel={"peers_address": "IP_RW"})
    engine, answers = pair.tokyo.engine, [old]
    perform = engine.host.perform
    engine.host.perform = lambda effect: answers[-1] if isinstance(effect, NamedAddress) else perform(effect)
    pair.mangle = lambda datagram: [] if any(one.path.peer == old for one in engine.sessions) else [datagram]
    engine.acquire(pair.tokyo.state.tunnel.reqid, pair.now)  # no operator wants it: nothing else would try again
    pair.run(20)
    assert pair.tokyo.state.connecting
    answers.append(pair.osaka.address)
    pair.run(40)
    assert pair.tokyo.said("no answer from 198.51.100.7")
    assert pair.established() and agree(pair)


def named(pair, address_of) -> list:
    """Let tokyo's resolver answer by the time; only osaka answers. When and where to tokyo then sends."""
    engine, sent = pair.tokyo.engine, []
    perform, send = engine.host.perform, engine.host.send
    engine.host.perform = lambda effect: (
        address_of(effect, pair.now) if isinstance(effect, NamedAddress) else perform(effect)
    )
    engine.host.send = lambda path, datagram: (sent.append((pair.now, path.peer)), send(path, datagram))
    pair.mangle = lambda datagram: [datagram] if sent[-1][1] == pair.osaka.address else []
    return sent


def test_who_asked_for_a_tunnel_hears_of_the_address_that_answered(tmp_path):
    peers = (Endpoint(name="IP_RW"), Endpoint(name="gw.osaka.example"))
    pair = world(tmp_path, tokyo={"peers": peers}, tokyo_tunnel={"peers_address": "IP_RW"})
    old, moved = ipaddress.ip_address("198.51.100.7"), pair.now + 20
    named(pair, lambda effect, now: old if now < moved else pair.osaka.address)
    outcome = bring_up(pair)
    pair.run(60)
    assert outcome == [(True, "")]
    assert pair.established()


def test_a_name_with_several_addresses_doesnt_end_the_back_off(tmp_path):
    """A resolver that answers in turn, and a peer that doesn't."""
    peers = (Endpoint(name="IP_RW"), Endpoint(name="gw.osaka.example"))
    pair = world(tmp_path, tokyo={"peers": peers}, tokyo_tunnel={"peers_address": "IP_RW"})
    places = [ipaddress.ip_address("198.51.100.{}".format(number)) for number in (7, 8)]
    sent = named(pair, lambda effect, now: places[int(now / 10) % 2])
    bring_up(pair)
    pair.run(3600)
    assert len([when for when, _ in sent if when > pair.now - 1800]) < 60


def test_two_addresses_of_one_silent_peer_keep_the_back_off(tmp_path):
    pair = world(tmp_path)
    configuration = pair.tokyo.engine.configuration
    far = Traffic(*map(ipaddress.ip_network, ("10.1.0.0/16", "10.2.0.0/16")))
    other = {"selector": far, "reqid": 8, "peers_address": ipaddress.ip_address("198.51.100.7")}
    second = replace(configuration.tunnels[0], name="second_out", inbound="second_in", **other)
    tunnels = (*configuration.tunnels, second)
    pair.tokyo.engine.reconfigure(replace(configuration, tunnels=tunnels), pair.now)
    pair.mangle = lambda datagram: []
    bring_up(pair)
    pair.run(1800)
    assert len(pair.wire) < 120


@pytest.mark.parametrize("operation", ["allocate_spi", "update_sa", "add_sa"])
@pytest.mark.parametrize("end", ["tokyo", "osaka"])
def test_a_kernel_that_refuses_leaves_nothing_half_installed_at_either_end(tmp_path, operation, end):
    pair = world(tmp_path)
    getattr(pair, end).kernel.fail(operation, errno.ENOSYS)
    bring_up(pair)
    pair.exchange()
    for gateway in pair.gateways():
        assert not gateway.kernel.list_sas()
    assert getattr(pair, end).said("the kernel refused")
    pair.run(60)
    for gateway in pair.gateways():
        if not gateway.state.up:
            gateway.engine.acquire(7, pair.now)
    pair.run(60)
    assert agree(pair)


# Life


def test_a_lost_datagram_of_any_place_is_made_good(tmp_path):
    for lost in range(4):
        pair = world(tmp_path, seed=lost)
        count = iter(range(1000))
        pair.mangle = lambda datagram, count=count, lost=lost: [] if next(count) == lost else [datagram]
        outcome = bring_up(pair)
        pair.run(30)
        assert outcome == [(True, "")], lost
        assert agree(pair), lost


def test_a_duplicate_of_every_datagram_changes_nothing(tmp_path):
    pair = world(tmp_path)
    pair.mangle = lambda datagram: [datagram, datagram]
    bring_up(pair)
    pair.run(5)
    assert agree(pair)
    assert len(pair.wire) < 12


def expire(gateway, pair, hard: bool = False) -> None:
    for child in list(gateway.state.children):
        gateway.engine.expire(child.inbound, hard, pair.now)


@pytest.mark.parametrize("pfs", [False, True])
@pytest.mark.parametrize("starter", ["tokyo", "osaka"])
def test_a_soft_expiry_makes_the_next_child_before_the_old_one_goes(tmp_path, pfs, starter):
    pair = world(tmp_path, tokyo={"need_pfs": pfs}, osaka={"need_pfs": pfs})
    bring_up(pair)
    pair.run(3600)
    first = pair.tokyo.state.children[0]
    expire(getattr(pair, starter), pair)
    pair.exchange()
    assert exchanges(pair)[-2:] == [Exchange.CREATE_CHILD_SA] * 2
    assert len(pair.tokyo.state.children) == len(pair.osaka.state.children) == 2
    young = [child for child in pair.tokyo.state.children if child is not first]
    assert (young[0].replaces, young[0].pfs) == (first.spi_in, "curve25519" if pfs else "")
    pair.run(60)
    assert agree(pair)
    assert first not in pair.tokyo.state.children


def rekeyed_by_tokyo(pair):
    """The SPIs that osaka had before; it has the successor's inbound SA since."""
    bring_up(pair)
    pair.run(3600)
    before = {sa.spi for sa in pair.osaka.installed()}
    expire(pair.tokyo, pair)
    pair.exchange()
    fresh = [sa for sa in pair.osaka.installed() if sa.spi not in before]
    assert [sa.destination for sa in fresh] == [worlds.OSAKA]
    return before


def test_the_responder_of_a_rekey_goes_on_sending_until_the_initiator_deletes_the_old_child(tmp_path):
    """It does so soon: a peer may begin to send then only, and take no other rekey before."""
    pair = world(tmp_path)
    before = rekeyed_by_tokyo(pair)
    pair.run(0.5)
    assert len(pair.osaka.installed()) == 3
    pair.run(4)
    assert before.isdisjoint({sa.spi for sa in pair.osaka.installed()})
    assert agree(pair)


def test_a_responder_whose_answer_is_lost_sends_on_the_old_child_until_it_arrives(tmp_path):
    """Each time that the request comes again the answer hasn't arrived, however long that takes."""
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(3600)
    gaps = worlds.watch_gaps(pair)
    look = pair.mangle
    pair.mangle = lambda datagram: [] if decode_header(datagram).flags & Flag.RESPONSE else look(datagram)
    expire(pair.tokyo, pair)
    pair.run(12)
    pair.mangle = look
    pair.run(20)
    assert not gaps
    assert agree(pair)


def test_a_replaced_child_is_received_on_until_the_peer_knows_of_its_end(tmp_path):
    """Our delete is lost, again and again: the peer sends on the old child meanwhile."""
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(3600)
    gaps = worlds.watch_gaps(pair)
    look = pair.mangle
    rekeyed_by_tokyo(pair)
    pair.mangle = lambda datagram: []
    pair.run(8)  # osaka begins to send on the new one after ten
    assert not worlds.unreceivable(pair)
    pair.mangle = look
    pair.run(20)
    assert not gaps
    assert agree(pair)


@pytest.mark.parametrize("how", ["as before", "on port 4500", "in UDP"])
def test_a_peer_that_authenticates_anew_has_our_answer_before_we_send_on_its_new_child(tmp_path, how):
    """Nothing of IKE_AUTH arrives for a while but its request; the old IKE SA answers, so the old child is good.

    strongSwan begins on port 4500 then, with MOBIKE; its ESP has no ports. With UDP encapsulation the next child's has.
    """
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(3600)
    engine, (session,) = pair.tokyo.engine, pair.tokyo.engine.sessions
    if how == "on port 4500":
        session.path = session.path.floated()
    if how == "in UDP":
        remote = replace(session.remote, ikev2=replace(session.settings, force_encapsulation=True))
        engine.reconfigure(replace(engine.configuration, remotes=(remote,)), pair.now)
    else:
        engine.reauthenticate("net", pair.now, lambda success, reason: None)
    pair.deliver_once()
    arrived = []

    def mangle(datagram):
        if decode_header(datagram).exchange != Exchange.IKE_AUTH:
            return [datagram]
        arrived.append(datagram)
        return [datagram] if len(arrived) == 1 else []

    pair.mangle = mangle
    for _ in range(45):
        pair.run(0.1)
        assert not worlds.unreceivable(pair)
    assert len(pair.osaka.engine.sessions) == 2
    pair.mangle = lambda datagram: [datagram]
    for _ in range(200):
        pair.run(0.1)
        assert not worlds.unreceivable(pair)
    pair.run(120)
    assert agree(pair)


def test_a_responder_sends_on_the_successor_with_the_peers_next_request(tmp_path):
    """It has our answer then, for it asks one thing at a time: no need to wait for its delete."""
    pair = world(tmp_path)
    rekeyed_by_tokyo(pair)
    assert len(pair.osaka.installed()) == 3
    pair.tokyo.engine.host.now = pair.now
    pair.tokyo.engine.sessions[0].probe()
    pair.exchange()
    assert len(pair.osaka.installed()) == 4
    assert not worlds.unreceivable(pair)


def test_a_responder_whose_peer_deletes_nothing_sends_on_the_successor_after_a_while(tmp_path):
    pair = world(tmp_path)
    rekeyed_by_tokyo(pair)
    pair.mangle = lambda datagram: []
    pair.run(11)
    assert len(pair.osaka.installed()) == 4


def test_pfs_with_another_group_is_begun_again(tmp_path):
    pair = world(
        tmp_path,
        tokyo={"need_pfs": True, "groups": ("curve25519", "ecp256")},
        osaka={"need_pfs": True, "groups": ("ecp256", "curve25519")},
    )
    bring_up(pair)
    pair.run(3600)
    expire(pair.tokyo, pair)
    pair.run(60)
    assert agree(pair)
    assert {child.pfs for child in pair.osaka.state.children} == {"ecp256"}


def test_a_hard_expiry_is_told_and_the_tunnel_comes_back(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(3600)
    before = {sa.spi for sa in pair.osaka.installed()}
    expire(pair.tokyo, pair, hard=True)
    pair.run(60)
    assert agree(pair)
    assert not before & {sa.spi for sa in pair.osaka.installed()}


def test_the_ike_sa_is_replaced_before_it_ends_and_its_child_lives_on(tmp_path):
    pair = world(tmp_path, tokyo={"lifetime_seconds": 1000}, osaka={"lifetime_seconds": 1000})
    bring_up(pair)
    pair.exchange()
    before = {sa.spi for sa in pair.osaka.installed()}
    ids = {one.id for one in pair.tokyo.engine.sessions}
    for _ in range(20):
        pair.run(500)
        assert agree(pair)
        assert len(pair.tokyo.engine.sessions) == len(pair.osaka.engine.sessions) == 1
    assert before == {sa.spi for sa in pair.osaka.installed()}
    assert not ids & {one.id for one in pair.tokyo.engine.sessions}
    assert pair.tokyo.engine.sessions[0].spi_i == pair.osaka.engine.sessions[0].spi_i
    expire(pair.osaka, pair)
    pair.run(60)
    assert agree(pair)


def test_what_was_being_asked_when_an_ike_sa_ends_is_asked_again_on_the_next(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.run(60)
    expire(pair.tokyo, pair)
    pair.tokyo.engine.outbox.clear()
    assert pair.tokyo.state.connecting
    for session in pair.tokyo.engine.sessions:
        session.close("its lifetime is over")
    pair.run(120)
    assert agree(pair)


def test_down_removes_both_ends_children_and_stays_down(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    assert pair.tokyo.engine.down("net", pair.now) == 1
    pair.run(600)
    assert not pair.tokyo.kernel.installed
    assert not pair.osaka.kernel.installed


def test_a_peer_that_lost_everything_is_believed_and_leaves_no_orphans(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    reborn = world(tmp_path)
    pair.tokyo = reborn.tokyo
    pair.now += 100
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert agree(pair)
    assert len(pair.osaka.engine.sessions) == 1


def test_liveness_notices_a_dead_peer_and_the_tunnel_comes_back(tmp_path):
    pair = world(tmp_path, tokyo={"dpd_delay": 10, "dpd_retry": 2, "dpd_maxfail": 3})
    bring_up(pair)
    pair.run(120)
    assert pair.established()
    assert Exchange.INFORMATIONAL in exchanges(pair)
    pair.mangle = lambda datagram: []
    pair.run(60)
    assert not pair.tokyo.state.up
    assert not pair.tokyo.kernel.installed
    assert "no answer from 210.22.22.22" in pair.tokyo.state.reason
    pair.mangle = lambda datagram: [datagram]
    pair.run(600)
    assert agree(pair)


def test_a_dead_peer_is_noticed_in_time_whatever_is_being_asked(tmp_path):
    pair = world(tmp_path, tokyo={"dpd_delay": 10, "dpd_retry": 2, "dpd_maxfail": 3, "retries": 10})
    bring_up(pair)
    pair.run(60)
    pair.mangle = lambda datagram: []
    expire(pair.tokyo, pair)
    pair.run(40)
    assert not pair.tokyo.kernel.list_sas()
    assert "no answer from 210.22.22.22" in pair.tokyo.state.reason


def test_closing_tells_the_peer_and_leaves_no_sa(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    pair.osaka.state.wanted = False
    pair.tokyo.engine.close(pair.now)
    pair.exchange()
    assert not pair.tokyo.kernel.list_sas()
    assert not pair.osaka.kernel.list_sas()
    assert not pair.osaka.engine.sessions


def test_status_tells_what_is_up(tmp_path):
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    status = pair.tokyo.engine.status(pair.now)
    (tunnel,) = status["tunnels"]
    assert (tunnel["state"], tunnel["reason"]) == ("up", "")
    assert tunnel["child_sas"][0]["encryption"] == "aes_gcm"
    (ike,) = status["ike_sas"]
    assert (ike["version"], ike["state"], ike["peer"]["id"]) == (2, "established", "ipaddr 210.22.22.22")
    assert (ike["encryption"], ike["prf"], ike["group"]) == ("aes256_gcm", "hmac_sha2_256", "curve25519")


# NAT


def test_behind_nat_both_ends_float_and_encapsulate(tmp_path):
    pair = world(tmp_path)
    pair.nat["tokyo"] = ipaddress.ip_address("203.0.113.7")

    changed = world(tmp_path, osaka={"peers": (Endpoint(ipaddress.ip_address("203.0.113.7")),)})
    pair.osaka = changed.osaka
    bring_up(pair)
    pair.run(30)
    assert pair.established()
    assert {sa.encapsulation.source_port for sa in pair.tokyo.installed()} == {4500}
    assert {sa.encapsulation.destination_port for sa in pair.osaka.installed()} == {4500}
    assert pair.wire[-1] == ("tokyo", b"\xff")


# Several remotes, several tunnels


def test_of_remotes_at_one_address_the_one_that_knows_the_identity_gives_the_key(tmp_path):
    """strongSwan's ikev2/nat-rw-psk: two peers behind one public address, each with its own secret."""
    pair = world(tmp_path, tokyo={"my_ids": (Identity("fqdn", "tokyo.example"),)})
    wrong_key = worlds.key_file(tmp_path, "kyoto.psk", b"another secret")
    right = pair.osaka.engine.configuration.remotes[0]
    named = replace(right.ikev2, peers_ids=(Identity("fqdn", "tokyo.example"),))
    other = replace(right.ikev2, peers_ids=(Identity("fqdn", "kyoto.example"),), pre_shared_key=wrong_key)
    pair.osaka = worlds.gateway(
        "osaka",
        worlds.OSAKA,
        Remote("kyoto", ("ikev2",), ikev2=other),
        pair.osaka.engine.configuration.tunnels,
    )
    configuration = pair.osaka.engine.configuration
    remotes = (*configuration.remotes, Remote("peer", ("ikev2",), ikev2=named))
    pair.osaka.engine.reconfigure(replace(configuration, remotes=remotes), pair.now)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, "")]
    assert [one.remote.name for one in pair.osaka.engine.sessions] == ["peer"]


def test_several_tunnels_share_one_ike_sa(tmp_path):
    pair = world(tmp_path)
    for gateway, nets in ((pair.tokyo, ("10.1.0.0/16", "10.2.0.0/16")), (pair.osaka, ("10.2.0.0/16", "10.1.0.0/16"))):
        configuration = gateway.engine.configuration
        traffic = Traffic(*map(ipaddress.ip_network, nets))
        second = replace(configuration.tunnels[0], name="second_out", inbound="second_in", selector=traffic, reqid=8)
        tunnels = (*configuration.tunnels, second)
        gateway.engine.reconfigure(replace(configuration, tunnels=tunnels), pair.now)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome == [(True, ""), (True, "")]
    assert exchanges(pair) == [34, 34, 35, 35, 36, 36]
    assert [sorted(sa.reqid for sa in one.installed()) for one in pair.gateways()] == [[7, 7, 8, 8]] * 2
    assert len(pair.tokyo.engine.sessions) == 1


# Extensions


def test_an_ike_sa_without_child(tmp_path):
    """RFC 6023: the tunnel was taken away while IKE_SA_INIT was on its way."""
    pair = world(tmp_path)
    bring_up(pair)
    (session,) = pair.tokyo.engine.sessions
    session._waiting.clear()
    pair.exchange()
    assert [one.state for gateway in pair.gateways() for one in gateway.engine.sessions] == ["established"] * 2
    assert not pair.osaka.kernel.list_sas()


@pytest.mark.parametrize("tokyo, osaka, window, used", [
    (True, False, 64, False), (False, True, 64, False), (True, True, 64, True), (True, True, 0, False),
])  # fmt: skip
def test_extended_sequence_numbers_where_both_ends_want_them(tmp_path, tokyo, osaka, window, used):
    """strongSwan's ikev2/net2net-esn; without a replay window nobody can follow them."""
    ends = [{"esn": wanted, "replay_window": window} for wanted in (tokyo, osaka)]
    pair = world(tmp_path, tokyo_tunnel=ends[0], osaka_tunnel=ends[1])
    bring_up(pair)
    pair.exchange()
    assert agree(pair)
    assert {sa.esn for sa in pair.osaka.installed()} == {used}


def test_ipv6(tmp_path, monkeypatch):
    monkeypatch.setattr(worlds, "TOKYO", ipaddress.ip_address("2001:db8:11::11"))
    monkeypatch.setattr(worlds, "OSAKA", ipaddress.ip_address("2001:db8:22::22"))
    pair = world(tmp_path)
    bring_up(pair)
    pair.exchange()
    assert agree(pair)
    assert pair.tokyo.engine.sessions[0].peer_id == "ipaddr 2001:db8:22::22"
