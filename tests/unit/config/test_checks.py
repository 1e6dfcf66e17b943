"""The checks beyond the loader: each mistake in an otherwise clean configuration has its own message, in its place."""
# ruff: noqa: E501 (a table reads best with one case a line)

import ipaddress
import os
import re

import pytest

from ike.config.checks.run import check
from ike.config.checks.subject import Options
from ike.config.loader import load_text

from .samples import NAMES, sample

KEY = b"k3Jf9-QpX2vT7zLm8Wc4Rb6Nh1Ys5Dg0"

V1 = "ikev1_3des"
V2 = "ikev2_aes"


@pytest.fixture
def keys(tmp_path):
    """A directory of good keys, where the samples look for them."""
    for name in ("site_b.psk", "210.22.22.22"):
        path = tmp_path / name
        path.write_bytes(KEY)
        path.chmod(0o600)
    return tmp_path


def options(**changes):
    return Options(owner=os.geteuid(), **changes)


def text_of(name, keys):
    return sample(name).decode().replace("/usr/local/etc/racoon2/psk", str(keys))


def problems_of(text, dialect, **changes):
    return check(load_text(text.encode(), "site.conf", dialect), options(**changes))


def said(problems, severity=None):
    return [str(problem) for problem in problems if severity in (None, problem.severity)]


@pytest.mark.parametrize("dialect", ["racoon2", "tanuki"])
@pytest.mark.parametrize("name", NAMES)
def test_samples_are_clean(name, dialect, keys):
    assert said(problems_of(text_of(name, keys), dialect), "error") == []


@pytest.mark.parametrize("dialect", ["racoon2", "tanuki"])
def test_modern_sample_has_no_warning_either(dialect, keys):
    assert problems_of(text_of(V2, keys), dialect) == []


# (name, sample, dialect, pattern of what is changed, into what, severity, what the message has to say)
MISTAKES = [
    ("no block", V2, "both", "ikev2 {", "ikev1 {", "error", "accepts ikev2 but has no ikev2 block"),
    ("peers_ipaddr", V1, "both", r"peers_ipaddr .*? port 500;", "", "error", "ikev1 has no peers_ipaddr"),
    ("enc", V1, "both", r"kmp_enc_alg .*;", "", "error", "ikev1 has no kmp_enc_alg"),
    ("hash", V1, "both", r"kmp_hash_alg .*;", "", "error", "ikev1 has no kmp_hash_alg"),
    ("group", V1, "both", r"kmp_dh_group .*;", "", "error", "ikev1 has no kmp_dh_group"),
    ("auth crash", V1, "racoon2", r"kmp_auth_method .*;", "", "error", "no kmp_auth_method (iked crashes on it)"),
    ("my_id", V2, "both", r"my_id .*;", "", "error", "ikev2 has no my_id"),
    ("prf", V2, "both", r"kmp_prf_alg .*;", "", "error", "ikev2 has no kmp_prf_alg"),
    ("psk", V2, "both", r"pre_shared_key .*;", "", "error", "has no pre_shared_key"),
    ("aggressive", V1, "racoon2", "exchange_mode main", "exchange_mode aggressive", "error", "aggressive is not supported"),
    ("aggressive", V1, "tanuki", "exchange_mode main", "exchange_mode aggressive", "warning", "guess the pre-shared key"),
    ("base", V1, "both", "exchange_mode main", "exchange_mode base", "error", "base is not supported"),
    ("nonce", V2, "both", "nonce_size 32", "nonce_size 300", "error", "a nonce of 300 bytes (16 to 256)"),
    ("family v1", V1, "both", r"kmp_hash_alg \{ sha1;", "kmp_hash_alg { hmac_sha1;", "error", "IKEv1 names the hash, sha1"),
    ("family v2", V2, "both", r"kmp_hash_alg \{ hmac_sha2", "kmp_hash_alg { sha2", "error", "IKEv2 names the HMAC"),
    ("des", V2, "both", r"kmp_enc_alg \{ aes256_cbc", "kmp_enc_alg { des_cbc", "error", "des_cbc cannot be kmp_enc_alg"),
    ("no length", V2, "both", r"kmp_enc_alg \{ aes256_cbc", "kmp_enc_alg { aes_ctr", "error", "aes_ctr needs its key length"),
    ("bytes", V2, "both", r"kmp_enc_alg \{ aes256_cbc", "kmp_enc_alg { aes_ctr,32", "error", "bits, not bytes"),
    ("needless", V2, "both", r"kmp_enc_alg \{ aes256_cbc", "kmp_enc_alg { aes256_cbc,256", "error", "takes no key length"),
    ("weak group", V2, "both", "modp2048", "modp1024", "warning", "modp1024 is weak"),
    ("weak esp", V2, "both", r"esp_enc_alg \{ aes256_cbc", "esp_enc_alg { null_enc", "warning", "null_enc is weak"),
    ("3des", V1, "racoon2", "$^", "", "warning", "cannot encrypt IKE by 3des_cbc with OpenSSL 3"),
    ("foreign id", V1, "both", r'my_id ipaddr "\$\{A_GW\}"', "my_id ipaddr 210.11.22.33", "warning", "no address of this host"),
    ("peer id", V1, "both", r'peers_id ipaddr "\$\{B_GW\}"', "peers_id ipaddr 1.2.3.4", "warning", "is not the peer's address"),
    ("fqdn psk", V1, "racoon2", r"peers_id ipaddr .*;", 'peers_id fqdn "b";', "error", "knows a peer by its address only"),
    ("no peers_id", V2, "both", r"peers_id .*;", "", "error", "as responder it refuses everybody"),
    ("email", V2, "both", r"my_id fqdn", "my_id email", "warning", "an e-mail identity is user@name"),
    ("no action", V2, "both", "action auto_ipsec;", "", "error", "has no action"),
    ("static", V2, "both", "auto_ipsec", "static_ipsec", "error", "static_ipsec is not supported"),
    ("no mode", V2, "both", "ipsec_mode tunnel;", "", "error", "has no ipsec_mode"),
    ("no level", V2, "both", "ipsec_level require;", "", "error", "has no ipsec_level"),
    ("no end", V2, "both", r"my_sa_ipaddr .*;", "", "error", "has no my_sa_ipaddr"),
    ("name as end", V2, "both", r"my_sa_ipaddr .*;", "my_sa_ipaddr a.example;", "error", "a.example is no address"),
    ("transport", V1, "racoon2", r"tunnel;([\s\S]*?)my_sa_ipaddr .*;", r"transport;\1", "error", "crashes after quick mode"),
    ("unique", V1, "racoon2", "require", "unique", "error", "unique never works with IKEv1"),
    ("use", V2, "both", "require", "use", "warning", "lets traffic pass in clear"),
    ("no lifetime", V2, "both", r"ipsec_sa_lifetime_time .*;", "", "warning", "never rekeys"),
    ("two ipsecs", V2, "both", "ipsec_index site_b_ips", "ipsec_index { site_b_ips; site_b_ips; }", "warning", "use exactly one"),
    ("no auth", V2, "both", r"esp_auth_alg .*;", "", "error", "has no esp_auth_alg"),
    ("ipcomp", V2, "both", "sa_protocol esp;", "sa_protocol ipcomp; ipcomp_alg deflate;", "error", "ipcomp is not supported"),
    ("mirror", V2, "both", r'src "\$\{B_NET\}"', "src 192.168.99.0/24", "error", "has no inbound mirror (site_b_in has src"),
    ("versions", V2, "both", r'dst "\$\{B_NET\}"', "dst fd00::/8", "error", "IPv4 on one side, IPv6 on the other"),
    ("macros", V2, "both", r'src "\$\{A_NET\}";\s*dst "\$\{B_NET\}"', "src IP_ANY; dst IP_ANY", "error", "a macro on both sides"),
    ("v1 macro", V1, "racoon2", r'dst "\$\{B_NET\}"', "dst IP_ANY", "error", "IKEv1 needs literal addresses"),
    ("all", V2, "both", r'src "\$\{A_NET\}";\s*dst "\$\{B_NET\}"', "src 0.0.0.0/0; dst 0.0.0.0/0", "warning", "all traffic of this host"),
    ("no interface", V2, "both", r"interface \{[\s\S]*?\n\};", "", "error", "there is no interface section"),
    ("no password", V2, "racoon2", r"spmd_password .*;", "", "error", "interface has no spmd_password"),
    ("no socket", V2, "racoon2", r'unix ".*"', "127.0.0.1", "error", "spmd has no unix socket"),
    ("no 4500", V2, "both", r'"\$\{A_GW\}" port 4500;.*', "", "warning", "no port 4500"),
    ("no ikev2 block", V1, "racoon2", r"        ikev2 \{[\s\S]*?\n        \};", "", "error", "no ikev2 block: spmd crashes"),
    ("no remote", V2, "racoon2", r"auto_ipsec;\s*remote_index site_b;", "none;", "error", "no remote_index: spmd crashes"),
    ("unknown remote", V2, "racoon2", "remote_index site_b", "remote_index site_c", "error", "no remote site_c: did you mean site_b?"),
    ("no direction", V2, "racoon2", "direction outbound;", "", "error", "has no direction"),
    ("blank", V2, "racoon2", "selector site_b_out", 'selector "site b out"', "error", "has a blank"),
    ("empty variable", V2, "racoon2", "setval {", 'setval { NONE "";', "error", "using it makes racoon2 abort"),
    ("default", V1, "racoon2", "$", "default { remote { ikev1 { dpd on; }; }; };", "error", "iked refuses to start"),
    ("not inherited", V1, "both", "$", 'default { remote { ikev1 { pre_shared_key "/x"; }; }; };', "warning", "pre_shared_key is not inherited"),
    ("default policy", V2, "racoon2", r"ipsec_level require;([\s\S]*)$", r"\1 default { policy { ipsec_level require; }; };", "error", "has no ipsec_level"),
    ("additional in racoon2", V2, "racoon2", "verify_id on;", "verify_id on; additional_ke1 { mlkem768; };", "error", "only dialect tanuki knows additional_ke1: racoon2 does not"),
    ("mlkem alone", V2, "tanuki", "modp2048", "mlkem768", "error", "mlkem768 cannot be kmp_dh_group of ikev2 (it comes in addition to another one: additional_ke1 mlkem768)"),
    ("weak in addition", V2, "tanuki", "verify_id on;", "verify_id on; additional_ke2 { modp1024; none; };", "warning", "modp1024 is weak"),
    ("twice", V2, "tanuki", r"kmp_dh_group .*;", "kmp_dh_group curve25519; additional_ke1 { curve25519; };", "warning", "curve25519 is kmp_dh_group's already"),
    ("unknown ke", V2, "tanuki", "verify_id on;", "verify_id on; additional_ke1 { mlkem786; none; };", "error", "did you mean mlkem768?"),
    ("ppk in racoon2", V2, "racoon2", "verify_id on;", 'verify_id on; ppk "/x";', "error", "only dialect tanuki knows ppk: racoon2 does not"),
    ("ppk without id", V2, "tanuki", "verify_id on;", 'verify_id on; ppk "/x";', "error", "ppk without ppk_id"),
    ("ppk without file", V2, "tanuki", "verify_id on;", 'verify_id on; ppk_id "a";', "error", "ppk_id without ppk"),
    ("no ppk to require", V2, "tanuki", "verify_id on;", "verify_id on; ppk_required on;", "error", "ppk_required without ppk (nobody could connect)"),
    ("no such ppk", V2, "tanuki", "verify_id on;", 'verify_id on; ppk_id "a"; ppk "/x";', "error", "PPK /x: No such file or directory"),
    ("force off", V2, "tanuki", "verify_id on;", "verify_id on; nat_traversal off; force_encapsulation on;", "error", "force_encapsulation with nat_traversal off"),
    ("force in racoon2", V2, "racoon2", "verify_id on;", "verify_id on; force_encapsulation on;", "error", "only dialect tanuki knows force_encapsulation"),
    ("reauth in racoon2", V2, "racoon2", "verify_id on;", "verify_id on; kmp_sa_reauth_time 1 hour;", "error", "only dialect tanuki knows kmp_sa_reauth_time"),
    ("window in racoon2", V2, "racoon2", "ipsec_sa_lifetime_time", "replay_window 64; ipsec_sa_lifetime_time", "error", "only dialect tanuki knows replay_window"),
    ("packets in racoon2", V2, "racoon2", "ipsec_sa_lifetime_time", "ipsec_sa_lifetime_packet 64; ipsec_sa_lifetime_time", "error", "only dialect tanuki knows ipsec_sa_lifetime_packet"),
    ("start in racoon2", V2, "racoon2", "action auto_ipsec;", "action auto_ipsec; start_action start;", "error", "only dialect tanuki knows start_action"),
    ("large window", V2, "tanuki", "ipsec_sa_lifetime_time", "replay_window 5000; ipsec_sa_lifetime_time", "error", "a replay window of 5000 packets (0 to 4096)"),
    ("no window", V2, "tanuki", "ipsec_sa_lifetime_time", "replay_window 0; ipsec_sa_lifetime_time", "warning", "without a replay window packets can be replayed"),
    ("passive start", V2, "tanuki", r"verify_id on;([\s\S]*?)action auto_ipsec;", r"verify_id on; passive on;\1action auto_ipsec; start_action start;", "error", "the remote is passive (only the peer may begin)"),
    ("unknown action", V2, "tanuki", "action auto_ipsec;", "action auto_ipsec; close_action reset;", "error", "close_action: expected clear, restart or trap"),
    ("child_per in racoon2", V2, "racoon2", "action auto_ipsec;", "action auto_ipsec; child_per policy;", "error", "only dialect tanuki knows child_per"),
    ("childless in racoon2", V2, "racoon2", "verify_id on;", "verify_id on; childless force;", "error", "only dialect tanuki knows childless"),
    ("shared in v1", V1, "tanuki", "action auto_ipsec;", "action auto_ipsec; child_per policy;", "error", "needs a remote that accepts ikev2 alone"),
    ("shared transport", V2, "tanuki", r"action auto_ipsec;([\s\S]*?)ipsec_mode tunnel", r"action auto_ipsec; child_per policy;\1ipsec_mode transport", "error", "child_per policy is for tunnel mode"),
    ("default sa", V2, "racoon2", "$", "default { sa { esp_enc_alg aes128_cbc; }; };", "warning", "default sa"),
]  # fmt: skip


SHARED = """
selector two_out {{ direction outbound; src {0}; dst {1}; policy_index site_b_pol; {2} }};
selector two_in {{ direction inbound; src {1}; dst {0}; policy_index site_b_pol; {2} }};
"""


@pytest.mark.parametrize(
    "source, destination, more, expected",
    [
        ("192.168.10.0/24", "10.9.0.0/16", "", ""),
        (
            "10.8.0.0/16",
            "10.9.0.0/16",
            "",
            "is for 192.168.10.0/24 with 10.9.0.0/16 too, which no selector lets through",
        ),
        ("fd00:8::/32", "fd00:9::/32", "", ""),
        ("192.168.10.0/24", "10.9.0.0/16", "upper_layer_protocol tcp;", ""),
        ("10.8.0.0/16", "10.9.0.0/16", "upper_layer_protocol tcp;", "is for 192.168.10.0/24 with 10.9.0.0/16 too"),
        ("192.168.10.0/24", "10.9.0.0/16", "reqid 9;", ""),
    ],
)
def test_what_shares_a_child_sa_goes_together(keys, source, destination, more, expected):
    text = text_of(V2, keys).replace("action auto_ipsec;", "action auto_ipsec; child_per policy;")
    found = "\n".join(said(problems_of(text + SHARED.format(source, destination, more), "tanuki")))
    assert ("site_b_pol: its child SA" in found) == bool(expected), found
    assert expected in found


def test_selectors_that_share_a_child_sa_share_its_reqid(keys):
    text = text_of(V2, keys).replace("action auto_ipsec;", "action auto_ipsec; child_per policy;")
    text = text.replace("direction outbound;", "direction outbound; reqid 8;")
    found = said(problems_of(text + SHARED.format("192.168.10.0/24", "10.9.0.0/16", "reqid 9;"), "tanuki"))
    assert any("its selectors share a child SA but not a reqid" in one for one in found), found


@pytest.mark.parametrize(
    ("dialect", "change", "refused"),
    [
        ("tanuki", "", True),
        ("tanuki", "child_per policy;", False),
        ("racoon2", "", False),
    ],
)
def test_a_reqid_belongs_to_one_tunnel(keys, dialect, change, refused):
    """Upstream leaves it to the kernel what two selectors with one reqid share."""
    text = text_of(V2, keys).replace("action auto_ipsec;", "action auto_ipsec; " + change)
    text = text.replace("direction outbound;", "direction outbound; reqid 8;")
    found = said(problems_of(text + SHARED.format("192.168.10.0/24", "10.9.0.0/16", "reqid 8;"), dialect))
    assert any("two_out has the reqid 8 of selector" in one for one in found) == refused, found


def cases():
    return [
        pytest.param(base, one, pattern, replacement, severity, expected, id="{} {}".format(name, one))
        for name, base, dialect, pattern, replacement, severity, expected in MISTAKES
        for one in (("racoon2", "tanuki") if dialect == "both" else (dialect,))
    ]


@pytest.mark.parametrize("base, dialect, pattern, replacement, severity, expected", cases())
def test_mistake(base, dialect, pattern, replacement, severity, expected, keys):
    text = text_of(base, keys)
    changed = re.sub(pattern, replacement, text, count=1)
    found = [problem for problem in problems_of(changed, dialect) if expected in str(problem)]
    assert [problem.severity for problem in found[:1]] == [severity], said(problems_of(changed, dialect))
    assert found[0].line > 0
    if changed != text:
        assert not [problem for problem in problems_of(text, dialect) if expected in str(problem)]


def test_all_problems_at_once_in_the_order_of_the_file(keys):
    text = text_of(V2, keys).replace("aes256_cbc", "aes256_cbx").replace("modp2048", "modp1024")
    text = text.replace("auto_ipsec", "auto_IPsec").replace("sa_index site_b_esp", "sa_index site_b_esq")
    problems = problems_of(text, "racoon2")
    assert problems == sorted(problems)
    expected = ["did you mean aes256_cbc?", "modp1024 is weak", "did you mean auto_ipsec? keywords are lower case"]
    expected += ["no sa site_b_esq: did you mean site_b_esp?", "did you mean aes256_cbc?"]
    assert len(problems) == len(expected)
    for problem, text in zip(problems, expected):
        assert text in str(problem)


def test_a_policy_of_ours_may_inherit(keys):
    text = text_of(V2, keys).replace("ipsec_level require;", "") + "default { policy { ipsec_level require; }; };"
    assert problems_of(text, "tanuki") == []


# ---- Key files ------------------------------------------------------------------------------------------------------


def key_problems(keys):
    return said(problems_of(text_of(V2, keys), "tanuki"))


def test_missing_key(keys):
    (keys / "site_b.psk").unlink()
    assert "No such file" in key_problems(keys)[0]
    assert problems_of(text_of(V2, keys), "tanuki", files=False) == []


LACKING = {"mlkem768": "mlkem768 needs a newer library", "mlkem1024": "mlkem1024 needs a newer library"}


@pytest.mark.parametrize(
    "methods, here, severity",
    [
        ("mlkem768;", True, "error"),
        ("mlkem768; none;", True, "warning"),
        ("mlkem1024; ecp256;", True, "warning"),
        ("ecp256; none;", True, None),
        ("mlkem768;", False, "warning"),
        ("mlkem768; none;", False, None),
    ],
)
def test_a_key_exchange_that_cannot_be_run_is_named(methods, here, severity, keys):
    text = text_of(V2, keys).replace("verify_id on;", "verify_id on; additional_ke1 {{ {} }};".format(methods))
    problems = problems_of(text, "tanuki", files=here, lacking=LACKING)
    assert [problem.severity for problem in problems] == ([severity] if severity else [])
    assert all(
        "additional_ke1: mlkem" in str(problem) and "needs a newer library" in str(problem) for problem in problems
    )
    assert problems_of(text, "tanuki") == []


def test_ppk_is_looked_at_like_the_key(keys):
    ppk = keys / "site_b.ppk"
    text = text_of(V2, keys).replace("verify_id on;", 'verify_id on; ppk_id "a"; ppk "{}";'.format(ppk))

    def problems():
        return said(problems_of(text, "tanuki"))

    ppk.write_bytes(bytes(range(100, 164)))
    ppk.chmod(0o644)
    assert "PPK {}: mode 0644".format(ppk) in problems()[0]
    ppk.chmod(0o600)
    assert problems() == []
    ppk.write_bytes(KEY[::-1] + b"\n")
    assert "at most 160 bits of entropy (use 32 random bytes" in problems()[0]
    assert "the file ends in a newline" in problems()[1]
    ppk.write_bytes(KEY)
    assert any("the same key as in" in one for one in problems())


def test_key_that_others_may_read(keys):
    (keys / "site_b.psk").chmod(0o640)
    assert "mode 0640" in key_problems(keys)[0]


def test_key_of_another_owner(keys):
    problems = check(load_text(text_of(V2, keys).encode(), "x", "tanuki"), Options(owner=4711))
    assert "owned by uid" in str(problems[0])


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_key_with_a_newline(keys, ending):
    (keys / "site_b.psk").write_bytes(KEY + ending)
    (message,) = key_problems(keys)
    assert "warning" in message
    assert "ends in a newline" in message
    assert KEY.decode() not in message


@pytest.mark.parametrize("key", [b"test", b"a" * 64, b"0123456789", b"abababababababababababababab", b"\0" * 32])
def test_key_that_is_easy_to_guess(keys, key):
    (keys / "site_b.psk").write_bytes(key)
    (message,) = key_problems(keys)
    assert "easy to guess" in message


@pytest.mark.parametrize(
    "key", [KEY, bytes(range(7, 250, 8)), b"correct horse battery staple", b"f3a9c04b7d1e8265" * 2]
)
def test_key_that_is_not(keys, key):
    (keys / "site_b.psk").write_bytes(key)
    assert key_problems(keys) == []


def test_empty_key(keys):
    (keys / "site_b.psk").write_bytes(b"")
    assert "empty" in key_problems(keys)[0]


def test_one_key_for_two_peers(keys):
    (keys / "site_c.psk").write_bytes(KEY)
    (keys / "site_c.psk").chmod(0o600)
    text = text_of(V2, keys)
    second = re.search(r"remote site_b \{[\s\S]*?\n\};", text).group().replace("site_b", "site_c")
    assert "each pair of peers has its own key" in said(problems_of(text + second, "tanuki"))[-1]


# ---- The operator's own connection ----------------------------------------------------------------------------------


def address(text):
    return ipaddress.ip_address(text)


@pytest.mark.parametrize("management, captured", [("192.168.20.5", True), ("203.0.113.9", False)])
def test_management_address(keys, management, captured):
    text = text_of(V2, keys).replace('A_NET     "192.168.10.0/24"', 'A_NET     "0.0.0.0/0"')
    problems = said(problems_of(text, "tanuki", management=(address(management),)), "error")
    assert bool(problems) == captured


def test_session_through_the_tunnel(keys):
    ours, theirs = address("192.168.10.1"), address("192.168.20.9")
    (message,) = said(problems_of(text_of(V2, keys), "tanuki", session=(ours, theirs)))
    assert "captures your own connection from 192.168.20.9" in message
    assert problems_of(text_of(V2, keys), "tanuki", session=(address("210.11.11.11"), theirs)) == []
