"""Scenarios of strongSwan's own suite that are site to site with pre-shared keys, between two engines.

Each test is named after the scenario's path there, and has its intent, not its configuration. Some stand in files of
their own: rw-psk-ppk in test_v2_ppk.py, rw-mlkem and rw-cert-multi-ke in test_v2_hybrid.py, reauth-mbb in
test_reauthentication.py, frags-ipv4 in test_v2_fragments.py; nat-rw-psk, net2net-esn and net2net-rekey in
test_v2_tunnel.py; dpd-clear, dpd-trap and start-action-start in test_actions.py, force-udp-encap in
test_encapsulation.py; shunt-policies is the SPD's order, in tests/unit/policy/test_spd.py.

What isn't here, and why. trap-any and protoport-trap want an SA with whatever host a packet goes to: a site's peers
are known. dynamic-responder looks a moved peer's name up anew: names are the daemon's business (tests/unit/daemon).
net2net-psk-dscp, net2net-same-nets, net2net-xfrmi and net2net-vti tell SAs apart by marks or interfaces, which the
language has no word for; inactivity-timeout ends idle children, and a site's tunnel stays up. protoport-range: a
selector's port is a single one; a peer's range is narrowed, see test_v2_selectors.py. reauth-early and reauth-late are
about AUTH_LIFETIME (RFC 4478), which we don't send.
"""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import replace

import pytest

from ike.config.settings import Endpoint, Identity, SaProposal, Traffic
from ike.exchange.v2 import initial as v2_initial
from ike.wire.header import decode_header
from ike.wire.v2_numbers import Notify
from tests.unit.exchange import world as worlds
from tests.unit.exchange.test_v2_tunnel import agree
from tests.unit.exchange.world import OSAKA, OSAKA_NET, TOKYO, TOKYO_NET, bring_up

world = functools.partial(worlds.world, version=2)

MOON, SUN = Identity("fqdn", "moon.strongswan.org"), Identity("fqdn", "sun.strongswan.org")
CAROL = Identity("email", "carol@strongswan.org")


def ends(tokyo, osaka, **changes):
    return {
        "tokyo": {"my_ids": (tokyo,), "peers_ids": (osaka,), **changes},
        "osaka": {"my_ids": (osaka,), "peers_ids": (tokyo,), **changes},
    }


def traffic(*parts, mode="tunnel"):
    """The same traffic as either end's tunnel has it."""
    one = Traffic(*parts)
    return {
        "tokyo_tunnel": {"selector": one, "mode": mode},
        "osaka_tunnel": {"selector": one.reversed(), "mode": mode},
    }


def host(address):
    return ipaddress.ip_network(str(address))


def up(pair) -> bool:
    outcome = bring_up(pair)
    pair.exchange()
    return outcome == [(True, "")] and agree(pair)


def add(pair, name, selector) -> None:
    """A second tunnel between the same two ends; ``selector`` is tokyo's."""
    for gateway, one in ((pair.tokyo, selector), (pair.osaka, selector.reversed())):
        configuration = gateway.engine.configuration
        other = replace(configuration.tunnels[0], name=name, inbound=name + "_in", selector=one, reqid=8)
        gateway.engine.reconfigure(replace(configuration, tunnels=(*configuration.tunnels, other)), pair.now)


def test_ikev2_net2net_psk(tmp_path):
    pair = world(tmp_path, **ends(MOON, SUN))
    assert up(pair)
    assert pair.tokyo.engine.sessions[0].peer_id == "fqdn sun.strongswan.org"


def test_ikev2_net2net_psk_fail(tmp_path):
    """The last bytes of the secret differ: nothing is installed, and either end knows why."""
    pair = world(tmp_path, psk=b"tesu", **ends(MOON, SUN))
    outcome = bring_up(pair)
    pair.exchange()
    assert "AUTHENTICATION_FAILED" in outcome[0][1]
    assert pair.osaka.said("probably the pre-shared keys differ")
    assert not pair.tokyo.installed() and not pair.osaka.installed()


@pytest.mark.parametrize("named", [True, False])
def test_ikev2_rw_psk_fqdn_and_rw_psk_no_idr(tmp_path, named):
    """Whether or not the initiator says whom it wants to talk to."""
    assert up(world(tmp_path, **ends(CAROL, SUN, send_peers_id=named)))


def test_ikev2_net2net_route(tmp_path):
    """A trap: the packet that meets it brings the tunnel up."""
    pair = world(tmp_path)
    pair.tokyo.engine.acquire(7, pair.now)
    pair.exchange()
    assert agree(pair)


@pytest.mark.parametrize("wide", ["tokyo", "osaka"])
def test_ikev2_net2net_route_narrow(tmp_path, wide):
    """One end's network is wider than the other's: the SAs are there for what they have in common."""
    whole = ipaddress.ip_network("192.168.0.0/16")
    changes = {"tokyo": {"selector": Traffic(TOKYO_NET, whole)}, "osaka": {"selector": Traffic(OSAKA_NET, whole)}}
    assert up(world(tmp_path, **{wide + "_tunnel": changes[wide]}))


@pytest.mark.parametrize("protocol", ["esp", "ah"])
def test_ikev2_host2host_transport_and_host2host_ah(tmp_path, protocol):
    proposals = {"esp": worlds.ESP_GCM, "ah": SaProposal("ah", (), ("hmac_sha2_256",))}
    tunnels = traffic(host(TOKYO), host(OSAKA), mode="transport")
    for one in tunnels.values():
        one["proposals"] = (proposals[protocol],)
    pair = world(tmp_path, **tunnels)
    assert up(pair)
    assert {sa.mode for sa in pair.osaka.installed()} == {"transport"}


def test_ikev2_net2net_ah(tmp_path):
    one = {"proposals": (SaProposal("ah", (), ("hmac_sha2_256",)),)}
    pair = world(tmp_path, tokyo_tunnel=one, osaka_tunnel=one)
    assert up(pair)
    assert not {sa.encryption for sa in pair.tokyo.installed()} - {""}


ICMP, TCP, SSH = 1, 6, 22


def test_ikev2_protoport_dual(tmp_path):
    """ICMP in one child, TCP to a port in another, both of one IKE SA."""
    pair = world(tmp_path, **traffic(TOKYO_NET, OSAKA_NET, ICMP))
    add(pair, "ssh", Traffic(TOKYO_NET, OSAKA_NET, TCP, 0, SSH))
    bring_up(pair)
    pair.exchange()
    assert [sorted(sa.reqid for sa in one.installed()) for one in pair.gateways()] == [[7, 7, 8, 8]] * 2
    assert len(pair.tokyo.engine.sessions) == 1


@pytest.mark.parametrize("first", ["tokyo", "osaka"])
def test_ikev2_double_nat(tmp_path, first):
    """Either end sits behind a NAT of its own, and is reached by a forwarded port."""
    outside = {"tokyo": ipaddress.ip_address("203.0.113.7"), "osaka": ipaddress.ip_address("203.0.113.99")}
    pair = world(
        tmp_path,
        **ends(MOON, SUN),
        tokyo_tunnel={"peers_address": outside["osaka"]},
        osaka_tunnel={"peers_address": outside["tokyo"]},
    )
    for gateway, other in zip(pair.gateways(), ("osaka", "tokyo")):
        configuration = gateway.engine.configuration
        remote = configuration.remotes[0]
        settings = replace(remote.ikev2, peers=(Endpoint(outside[other], port=500),))
        remotes = (replace(remote, ikev2=settings),)
        gateway.engine.reconfigure(replace(configuration, remotes=remotes), pair.now)
    pair.nat.update(outside)
    bring_up(pair, getattr(pair, first))
    pair.run(60)
    assert pair.established()
    for gateway, other in zip(pair.gateways(), ("osaka", "tokyo")):
        (session,) = gateway.engine.sessions
        assert session.local_nat and session.peer_nat
        assert {sa.source for sa in gateway.installed()} == {gateway.address, outside[other]}
        assert all(sa.encapsulation for sa in gateway.installed())
    assert {name for name, datagram in pair.wire if datagram == b"\xff"} == {"tokyo", "osaka"}


def test_ikev2_dynamic_initiator(tmp_path):
    """A peer of any address comes back from another one, without a word of the first: that one's SAs go."""
    anywhere = {"peers": (Endpoint(name="IP_ANY"),), "dpd_retry": 2, "dpd_maxfail": 2}
    identities = ends(MOON, SUN)
    changes = {"tokyo": identities["tokyo"], "osaka": {**identities["osaka"], **anywhere}}
    pair = world(tmp_path, **changes)
    places = [ipaddress.ip_address("203.0.113.{}".format(number)) for number in (7, 8)]
    pair.nat["tokyo"] = places[0]
    bring_up(pair)
    pair.run(30)
    pair.tokyo = world(tmp_path, **changes).tokyo
    pair.tokyo.engine.first_contact = lambda session: False
    pair.nat["tokyo"] = places[1]
    bring_up(pair)
    pair.run(100)
    assert pair.established()
    assert [session.path.peer for session in pair.osaka.engine.sessions] == places[1:]
    assert {sa.source for sa in pair.osaka.installed()} == {pair.osaka.address, places[1]}


@pytest.mark.parametrize("wanted", ["prefer", "force"])
def test_ikev2_net2net_childless(tmp_path, wanted):
    """IKE_AUTH makes no child; the first one follows with a key exchange of its own, as every other."""
    pfs = {"need_pfs": True, "childless": wanted}
    pair = world(tmp_path, tokyo=pfs, osaka={"need_pfs": True})
    assert up(pair)
    exchanges = [decode_header(datagram).exchange for _, datagram in pair.wire]
    assert exchanges == [34, 34, 35, 35, 36, 36]
    assert pair.osaka.state.children[0].pfs == "curve25519"


@pytest.mark.parametrize("wanted, comes_up", [("allow", True), ("prefer", True), ("force", False)])
def test_ikev2_net2net_childless_with_a_peer_that_cant(tmp_path, monkeypatch, wanted, comes_up):
    pair = world(tmp_path, tokyo={"childless": wanted})
    original = v2_initial._answer

    def without(*details):
        opening, payloads = original(*details)
        return opening, [one for one in payloads if getattr(one, "kind", 0) != Notify.CHILDLESS_IKEV2_SUPPORTED]

    monkeypatch.setattr(v2_initial, "_answer", without)
    outcome = bring_up(pair)
    pair.exchange()
    assert outcome[0][0] is comes_up
    assert pair.established() is comes_up
    if not comes_up:
        assert "childless is force" in outcome[0][1]
        pair.run(120)
        assert not pair.tokyo.kernel.list_sas() and not pair.osaka.kernel.list_sas()


@pytest.mark.parametrize("outer", [4, 6])
def test_ipv6_net2net_ip6_in_ip4_and_ip4_in_ip6(tmp_path, monkeypatch, outer):
    """Addresses of one family outside, networks of the other inside."""
    inner = {4: ("fec0::/64", "fec1::/64"), 6: ("10.1.0.0/16", "10.2.0.0/16")}[outer]
    if outer == 6:
        monkeypatch.setattr(worlds, "TOKYO", ipaddress.ip_address("2001:db8::1"))
        monkeypatch.setattr(worlds, "OSAKA", ipaddress.ip_address("2001:db8::2"))
    pair = world(tmp_path, **traffic(*map(ipaddress.ip_network, inner)))
    assert up(pair)
    assert {sa.source.version for sa in pair.tokyo.installed()} == {outer}


@pytest.mark.parametrize("starter", ["tokyo", "osaka"])
def test_ikev2_net2net_start_both_ends_at_once(tmp_path, starter):
    """Whoever is first: one child is left, the same at both ends."""
    pair = world(tmp_path)
    first = getattr(pair, starter)
    for gateway in (first, *[one for one in pair.gateways() if one is not first]):
        bring_up(pair, gateway)
    pair.run(120)
    assert agree(pair)


def test_ikev2_dpd_restart(tmp_path):
    """The path breaks and heals: the tunnel comes back by itself."""
    quick = {"dpd_delay": 10, "dpd_retry": 2, "dpd_maxfail": 2}
    pair = world(tmp_path, tokyo=quick, osaka=quick)
    assert up(pair)
    pair.mangle = lambda datagram: []
    pair.run(60)
    assert not pair.tokyo.state.up
    pair.mangle = lambda datagram: [datagram]
    pair.run(700)
    assert agree(pair)


ALGORITHMS = {
    "alg-aes-gcm": ("aes_gcm", 256, (), "hmac_sha2_256", "curve25519"),
    "alg-chacha20poly1305": ("chacha20_poly1305", 256, (), "hmac_sha2_256", "curve25519"),
    "alg-sha256": ("aes_cbc", 128, ("hmac_sha2_256",), "hmac_sha2_256", "modp2048"),
    "alg-sha384": ("aes_cbc", 192, ("hmac_sha2_384",), "hmac_sha2_384", "modp3072"),
    "alg-sha512": ("aes_cbc", 256, ("hmac_sha2_512",), "hmac_sha2_512", "modp4096"),
    "alg-ecp-low": ("aes_cbc", 128, ("hmac_sha2_256",), "hmac_sha2_256", "ecp256"),
    "alg-ecp-high": ("aes_cbc", 256, ("hmac_sha2_512",), "hmac_sha2_512", "ecp521"),
    "alg-aes-ctr": ("aes_ctr", 128, ("hmac_sha2_256",), "hmac_sha2_256", "curve25519"),
    "alg-aes-xcbc": ("aes_cbc", 128, ("aes_xcbc",), "aes_xcbc", "ecp256"),
    "alg-3des": ("3des_cbc", 192, ("hmac_sha1",), "hmac_sha1", "modp2048"),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_ikev2_algs(tmp_path, name):
    cipher, bits, hashes, prf, group = ALGORITHMS[name]
    suite = {"encryption": ((cipher, bits),), "hashes": hashes, "prfs": (prf,), "groups": (group,)}
    proposal = {"proposals": (SaProposal("esp", ((cipher, bits),), hashes),)}
    pair = world(tmp_path, tokyo=suite, osaka=suite, tokyo_tunnel=proposal, osaka_tunnel=proposal)
    assert up(pair)
    assert {(sa.encryption, sa.integrity) for sa in pair.osaka.installed()} == {(cipher, (hashes or ("",))[0])}
