"""What the builder makes is clean in its dialect, says what was asked for, and can't be talked into anything else."""

import ipaddress
from dataclasses import replace

import pytest

from ike.config.build import LocalEnd, PeerEnd, Profile, Tuning, psk_path, selector_names, site_configuration
from ike.config.checks.run import check
from ike.config.checks.subject import Options
from ike.config.effective import effective
from ike.config.loader import load_text
from ike.config.render import render

LEGACY = Profile(
    version=1,
    ike_encryption=("3des_cbc",),
    ike_hash=("sha1",),
    groups=("modp2048",),
    esp_encryption=("3des_cbc",),
    esp_integrity=("hmac_sha1",),
)
MODERN = Profile(
    version=2,
    ike_encryption=("aes256_gcm", "aes_ctr,256"),
    ike_hash=("hmac_sha2_256",),
    ike_prf=("hmac_sha2_256",),
    groups=("curve25519", "ecp256"),
    esp_encryption=("aes256_gcm",),
    pfs=True,
    ike_lifetime=14400,
    child_lifetime=3600,
)
AES = replace(
    MODERN,
    ike_encryption=("aes256_cbc",),
    groups=("modp2048",),
    esp_encryption=("aes256_cbc",),
    esp_integrity=("hmac_sha2_256",),
)

LOCAL = LocalEnd(ipaddress.ip_address("192.0.2.1"), "/etc/racoon2/psk")


def networks(*texts):
    return tuple(ipaddress.ip_network(text) for text in texts)


def peer(name="gw_b", profile=LEGACY, **changes):
    end = PeerEnd(
        name=name,
        address=ipaddress.ip_address("192.0.2.2"),
        my_id=("ipaddr", "192.0.2.1"),
        peers_id=("ipaddr", "192.0.2.2"),
        local_networks=networks("10.1.0.0/16", "fd00:1::/64"),
        peer_networks=networks("10.2.0.0/16"),
        profile=profile,
    )
    return replace(end, **changes)


def loaded_of(peers, dialect):
    configuration = site_configuration(LOCAL, peers, dialect)
    loaded = load_text(render(configuration).encode(), "site.conf", dialect)
    assert loaded.configuration == configuration
    return loaded


@pytest.mark.parametrize(
    "profile, dialect", [(LEGACY, "racoon2"), (AES, "racoon2"), (LEGACY, "tanuki"), (AES, "tanuki"), (MODERN, "tanuki")]
)
def test_clean(profile, dialect):
    one = peer(profile=profile, local_networks=networks("10.1.0.0/16", "10.3.0.0/16"))
    problems = check(loaded_of([one], dialect), Options(files=False))
    assert [str(problem) for problem in problems if problem.is_error] == []


def test_meaning():
    configuration = loaded_of([peer(profile=MODERN, local_networks=networks("10.1.0.0/16"))], "tanuki").configuration
    meaning = effective(configuration)
    (remote,) = meaning.remotes
    settings = remote.ikev2
    assert remote.acceptable == ("ikev2",)
    assert settings.encryption == (("aes_gcm", 256), ("aes_ctr", 256))
    assert settings.groups == ("curve25519", "ecp256")
    assert (settings.lifetime_seconds, settings.need_pfs, settings.verify_id) == (14400, True, True)
    assert settings.pre_shared_key == psk_path(LOCAL, peer()) == "/etc/racoon2/psk/gw_b.psk"
    (tunnel,) = meaning.tunnels
    assert (tunnel.name, tunnel.inbound) == selector_names(peer(), 1) == ("gw_b_1_out", "gw_b_1_in")
    assert (tunnel.lifetime_seconds, tunnel.level, tunnel.mode) == (3600, "require", "tunnel")
    assert tunnel.proposals[0].encryption == (("aes_gcm", 256),)


def test_every_network_with_every_other_the_more_specific_first():
    ends = {
        "local_networks": networks("10.1.0.0/16", "10.0.9.0/24"),
        "peer_networks": networks("10.2.0.0/16", "10.3.0.0/30"),
    }
    meaning = effective(loaded_of([peer(**ends)], "racoon2").configuration)
    pairs = [(str(tunnel.selector.source), str(tunnel.selector.destination)) for tunnel in meaning.tunnels]
    assert pairs == [
        ("10.0.9.0/24", "10.3.0.0/30"),
        ("10.1.0.0/16", "10.3.0.0/30"),
        ("10.0.9.0/24", "10.2.0.0/16"),
        ("10.1.0.0/16", "10.2.0.0/16"),
    ]
    assert all(tunnel.inbound for tunnel in meaning.tunnels)


def test_an_ikev1_remote_for_upstream_gets_a_block_that_is_never_used():
    upstream = effective(loaded_of([peer()], "racoon2").configuration).remotes[0]
    assert (upstream.acceptable, upstream.ikev2 is not None) == (("ikev1",), True)
    assert effective(loaded_of([peer()], "tanuki").configuration).remotes[0].ikev2 is None


def test_what_an_end_decides_for_itself_is_said_in_our_dialect_alone():
    loaded = loaded_of([peer(profile=MODERN, tuning=Tuning(True, 1024, "start", "restart", "clear", 3600))], "tanuki")
    assert [str(one) for one in check(loaded, Options(files=False)) if one.is_error] == []
    meaning = effective(loaded.configuration)
    assert meaning.remotes[0].ikev2.force_encapsulation
    assert (meaning.tunnels[0].replay_window, meaning.tunnels[0].start_action) == (1024, "start")
    assert (meaning.tunnels[0].close_action, meaning.tunnels[0].dpd_action) == ("restart", "clear")
    assert meaning.remotes[0].ikev2.reauth_seconds == 3600
    with pytest.raises(ValueError, match="only our daemon does"):
        site_configuration(LOCAL, [peer(tuning=Tuning(True))], "racoon2")


@pytest.mark.parametrize("name", ["", "esp", "a b", 'a"b', "${A}", "a\nb", "../x"])
def test_names_that_mean_something_else(name):
    with pytest.raises(ValueError, match="name"):
        site_configuration(LOCAL, [peer(name)], "racoon2")


def test_two_peers_of_one_name():
    with pytest.raises(ValueError, match="two peers"):
        site_configuration(LOCAL, [peer(), peer()], "racoon2")


@pytest.mark.parametrize(
    "changes",
    [
        {"my_id": ("fqdn", 'a"; passive on; my_id fqdn "b')},
        {"my_id": ("fqdn", "$[SECRET]")},
        {"profile": replace(LEGACY, ike_encryption=("3des_cbc; passive on",))},
        {"profile": replace(LEGACY, ike_encryption=("aes_ctr,x",))},
        {"profile": replace(LEGACY, ike_lifetime=0)},
        {"profile": replace(LEGACY, proposal_check="obey; passive on")},
        {"profile": replace(LEGACY, groups=("modp2049",))},
        {"my_id": ("fqdn x; my_id fqdn", "a")},
        {"profile": replace(LEGACY, child_lifetime=2**31)},
    ],
)
def test_values_that_mean_something_else(changes):
    with pytest.raises(ValueError, match=r"\S"):
        site_configuration(LOCAL, [peer(**changes)], "racoon2")


def test_dialect_racoon2_gets_nothing_that_upstream_does_not_know():
    with pytest.raises(ValueError, match="aes256_gcm is no algorithm"):
        site_configuration(LOCAL, [peer(profile=MODERN)], "racoon2")
