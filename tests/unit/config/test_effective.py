"""Inheritance and meaning: what counts where a directive is missing, empty, or stands in several places."""

import pytest

from ike.config.effective import effective
from ike.config.loader import load_text

DEFAULT = """
default {
    remote {
        acceptable_kmp ikev1;
        ikev1 {
            kmp_sa_lifetime_time 2 hours; kmp_enc_alg { aes256_cbc; aes128_cbc; }; passive on; nonce_size 24 B;
            pre_shared_key "/default.psk"; peers_ipaddr 10.0.0.9; initial_contact on; my_id fqdn "default";
        };
    };
    policy { ipsec_level use; };
    ipsec { ipsec_sa_lifetime_time 20 min; };
    sa { esp_auth_alg hmac_sha1; };
};
"""


def meaning(text):
    loaded = load_text(text.encode(), "site.conf", "tanuki")
    assert loaded.configuration is not None, [str(problem) for problem in loaded.problems]
    return effective(loaded.configuration)


def ikev1(directives):
    return meaning(DEFAULT + "remote r { ikev1 { " + directives + " }; };").remotes[0].ikev1


def test_what_is_missing_is_inherited():
    settings = ikev1("verify_id on;")
    assert (settings.lifetime_seconds, settings.passive, settings.nonce_size) == (7200, True, 24)
    assert settings.encryption == (("aes_cbc", 256), ("aes_cbc", 128))
    assert settings.my_ids[0].value == "default"
    assert meaning(DEFAULT + "remote r { ikev1 { verify_id on; }; };").remotes[0].acceptable == ("ikev1",)


def test_what_is_there_counts():
    settings = ikev1("kmp_sa_lifetime_time 1 hour; passive off; kmp_enc_alg 3des_cbc; my_id ipaddr 10.0.0.1;")
    assert (settings.lifetime_seconds, settings.passive, settings.encryption) == (3600, False, (("3des_cbc", 192),))
    assert [identity.kind for identity in settings.my_ids] == ["ipaddr"]


@pytest.mark.parametrize("value", ["0", "infinite", "0 hours"])
def test_zero_is_the_same_as_not_set(value):
    assert ikev1("kmp_sa_lifetime_time {};".format(value)).lifetime_seconds == 7200
    bare = meaning("remote r {{ ikev2 {{ kmp_sa_lifetime_time {}; }}; }};".format(value))
    assert bare.remotes[0].ikev2.lifetime_seconds == 86400


def test_what_is_never_inherited():
    settings = ikev1("verify_id on;")
    assert (settings.pre_shared_key, settings.peers, settings.initial_contact) == ("", (), False)


def test_the_default_remote_itself_has_it():
    default = meaning(DEFAULT).default
    assert default.ikev1.pre_shared_key == "/default.psk"
    assert str(default.ikev1.peers[0].address) == "10.0.0.9"
    assert default.ikev2 is None


def test_built_in_defaults_of_either_protocol():
    remote = meaning("remote r { ikev1 { passive off; }; ikev2 { passive off; }; };").remotes[0]
    one, two = remote.ikev1, remote.ikev2
    assert (one.lifetime_seconds, two.lifetime_seconds) == (28800, 86400)
    assert (one.nonce_size, two.nonce_size) == (16, 32)
    assert (one.verify_id, two.verify_id) == (False, True)
    assert (one.proposal_check, one.exchange_mode, two.selector_check) == ("strict", "main", "exact")
    assert (one.retries, two.retries, one.interval, two.interval) == (5, 10, 1, 1)
    assert (one.dpd_delay, two.dpd_delay, one.dpd_retry, one.dpd_maxfail) == (0, 3600, 5, 5)
    assert (one.nat_traversal, two.nat_traversal) == (True, True)
    assert (one.negotiation_limit, two.negotiation_limit) == (30, 600)


def test_events_of_scripts_have_one_name():
    settings = ikev1('script { phase1_up "/a"; ike_sa_down "/b"; phase2_up "/c"; };')
    assert settings.scripts == (("ike_sa_up", "/a"), ("ike_sa_down", "/b"), ("child_up", "/c"))


TUNNEL = """
remote r { acceptable_kmp %s; ikev1 { passive off; }; ikev2 { passive off; }; };
selector out { direction outbound; src 10.1.0.0/16; dst 10.2.0.0/16; policy_index p; upper_layer_protocol %s; };
selector in { direction inbound; src 10.2.0.0/16; dst 10.1.0.0/16; policy_index p; upper_layer_protocol %s; };
policy p { action auto_ipsec; remote_index r; ipsec_mode tunnel; ipsec_index i; my_sa_ipaddr MY_IP; };
ipsec i { sa_index a; %s };
sa a { sa_protocol esp; esp_enc_alg { aes128_cbc; aes_ctr,256; des_cbc; }; };
"""


def tunnel(kmp="ikev1", protocol="any", ipsec="", default=""):
    return meaning(default + TUNNEL % (kmp, protocol, protocol, ipsec)).tunnels[0]


def test_a_tunnel_inherits_from_default_too():
    found = tunnel(default=DEFAULT)
    assert (found.level, found.lifetime_seconds) == ("use", 1200)
    assert found.proposals[0].integrity == ("hmac_sha1",)
    assert found.proposals[0].encryption == (("aes_cbc", 128), ("aes_ctr", 256))


@pytest.mark.parametrize("kmp, seconds", [("ikev1", 28800), ("ikev2", 0)])
def test_built_in_lifetime_of_a_child_sa(kmp, seconds):
    assert tunnel(kmp).lifetime_seconds == seconds
    assert tunnel(kmp, ipsec="ipsec_sa_lifetime_time 1 day;").lifetime_seconds == 86400


@pytest.mark.parametrize("protocol", ["any", "tcp", "icmp 8 0", "ipv6-icmp 128 0"])
def test_the_mirror_is_found(protocol):
    assert tunnel(protocol=protocol).inbound == "in"


def test_macros_stay_names():
    assert tunnel().my_address == "MY_IP"
    assert meaning("interface { ike { MY_IP%em0 port 4500; 10.0.0.1; }; };").listen[0].address == "MY_IP%em0"


def test_environment_stands_in_for_the_process(monkeypatch):
    loaded = load_text(b'remote r { ikev1 { my_id fqdn "$[HOME]"; }; };', "x", "tanuki")
    assert effective(loaded.configuration, {"HOME": "there"}).remotes[0].ikev1.my_ids[0].value == "there"
