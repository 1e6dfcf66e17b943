"""Two ends side by side: what agrees, and exactly what does not."""

import re

import pytest

from ike.config.checks.pair import AGREE, DIFFER, WARN, compare
from ike.config.effective import effective
from ike.config.loader import load_text

from .samples import sample

V1 = "ikev1_3des"
V2 = "ikev2_aes"


def end(text):
    loaded = load_text(text.encode(), "site.conf", "tanuki")
    assert loaded.configuration is not None, [str(problem) for problem in loaded.problems]
    return effective(loaded.configuration)


def mirrored(text):
    """The other site's configuration: addresses, networks and names exchanged."""
    for one, other in (("210.11.11.11", "210.22.22.22"), ("192.168.10.0", "192.168.20.0"), ("gw-a", "gw-b")):
        text = text.replace(one, "@").replace(other, one).replace("@", other)
    return text


def rows(name, *changes):
    ours = sample(name).decode()
    theirs = mirrored(ours)
    for pattern, replacement in changes:
        theirs, count = re.subn(pattern, replacement, theirs, count=1)
        assert count
    return compare(end(ours), end(theirs))


@pytest.mark.parametrize("name", ["howto", V1, V2])
def test_mirror_images_agree(name):
    found = rows(name)
    assert [row for row in found if row.verdict != AGREE] == []
    assert len(found) > 15


CASES = [
    (V1, "kmp_enc_alg { 3des_cbc", "kmp_enc_alg { aes128_cbc", DIFFER, "ikev1 kmp_enc_alg", "nothing in common"),
    (V1, "kmp_hash_alg { sha1", "kmp_hash_alg { md5", DIFFER, "ikev1 kmp_hash_alg", "nothing in common"),
    (V1, "modp2048", "modp1536", DIFFER, "ikev1 kmp_dh_group", "nothing in common"),
    (V2, "kmp_prf_alg { hmac_sha2_256", "kmp_prf_alg { hmac_sha1", DIFFER, "ikev2 kmp_prf_alg", "nothing in common"),
    (V1, r"my_id ipaddr .*;", "my_id ipaddr 210.11.22.33;", DIFFER, "ikev1 B: my_id", "they do not match"),
    (V2, r"my_id fqdn .*;", "my_id fqdn b;", DIFFER, "ikev2 B: my_id", "they do not match"),
    ("howto", r"my_id ipaddr .*;", "my_id ipaddr 210.11.22.33;", WARN, "ikev1 B: my_id", "unnoticed"),
    (V1, r"proposal_check obey;", "proposal_check exact; need_pfs on;", AGREE, "ikev1 kmp_sa_lifetime_time", ""),
    (V1, r"obey;\s+need_pfs off", "exact; need_pfs on", DIFFER, "ikev1 need_pfs", "B refuses the other's quick mode"),
    (V2, "need_pfs on", "need_pfs off", WARN, "ikev2 need_pfs", "its rekeying may fail"),
    (V2, "nat_traversal on", "nat_traversal off", WARN, "ikev2 nat_traversal", "NAT"),
    (V2, "esp_enc_alg { aes256_cbc; aes128_cbc", "esp_enc_alg { 3des_cbc", DIFFER, "esp_enc_alg", "nothing in common"),
    (
        V2,
        "verify_id on;",
        "verify_id on; additional_ke1 { mlkem768; none; };",
        WARN,
        "ikev2 additional_ke1",
        "it is left out",
    ),
    (
        V2,
        "verify_id on;",
        "verify_id on; additional_ke1 mlkem768;",
        DIFFER,
        "ikev2 additional_ke1",
        "nothing in common",
    ),
    (
        V2,
        "verify_id on;",
        'verify_id on; ppk_id "a"; ppk "/x";',
        WARN,
        "ikev2 ppk_id",
        "the IKE SA comes up without it",
    ),
    (
        V2,
        "verify_id on;",
        'verify_id on; ppk_id "a"; ppk "/x"; ppk_required on;',
        DIFFER,
        "ikev2 ppk_id",
        "no IKE SA without it",
    ),
    (V2, "ipsec_mode tunnel", "ipsec_mode transport", DIFFER, "ipsec_mode", "they differ"),
    (V2, r'A_NET     "192.168.20.0/24"', 'A_NET "192.168.21.0/24"', DIFFER, "selector site_b_out", "B would need src"),
    (V2, r"my_sa_ipaddr .*;", "my_sa_ipaddr 10.9.9.9;", WARN, "peers_sa_ipaddr", "they differ"),
]


@pytest.mark.parametrize("name, pattern, replacement, verdict, subject, reason", CASES)
def test_difference(name, pattern, replacement, verdict, subject, reason):
    pattern = pattern.replace("{ ", r"\{ ")
    found = [row for row in rows(name, (pattern, replacement)) if subject in row.subject and reason in row.reason]
    assert [row.verdict for row in found[:1]] == [verdict]


@pytest.mark.parametrize(
    "mode, theirs, refused",
    [
        ("obey", "4 hours", False),
        ("claim", "4 hours", False),
        ("strict", "4 hours", True),
        ("strict", "9 hours", False),
        ("exact", "9 hours", True),
    ],
)
def test_lifetime_under_proposal_check(mode, theirs, refused):
    """The sample offers 8 hours and obeys; the other end judges."""
    found = rows(
        V1,
        ("proposal_check obey", "proposal_check " + mode),
        ("kmp_sa_lifetime_time 8 hours", "kmp_sa_lifetime_time " + theirs),
    )
    (row,) = [row for row in found if row.subject == "ikev1 kmp_sa_lifetime_time"]
    assert row.verdict == (DIFFER if refused else AGREE)
    assert ("B refuses 28800 s when the other initiates" in row.reason) == refused


@pytest.mark.parametrize("both, verdict", [(True, AGREE), (False, DIFFER)])
def test_child_per_matters_where_a_policy_has_several_selectors(both, verdict):
    shared = ("action auto_ipsec;", "action auto_ipsec; child_per policy;")
    text = sample(V2).decode()
    assert not [row for row in rows(V2, shared) if "child_per" in row.subject]
    second = """
selector two_out {{ direction outbound; src {0}; dst {1}; policy_index site_b_pol; }};
selector two_in {{ direction inbound; src {1}; dst {0}; policy_index site_b_pol; }};
"""
    ours = end(text.replace(*shared) + second.format("192.168.10.0/24", "10.9.0.0/16"))
    theirs = mirrored(text.replace(*shared) if both else text) + second.format("10.9.0.0/16", "192.168.10.0/24")
    found = [row.verdict for row in compare(ours, end(theirs)) if "child_per" in row.subject]
    assert found == [verdict, verdict]


def test_ikev2_negotiates_no_lifetime():
    found = rows(V2, ("kmp_sa_lifetime_time 8 hours", "kmp_sa_lifetime_time 1 hour"))
    assert all(row.verdict == AGREE for row in found)


def test_aead_needs_no_common_integrity():
    changes = ("esp_enc_alg { aes256_cbc; aes128_cbc; }", "esp_enc_alg { aes256_gcm; }")
    ours = sample(V2).decode().replace(*changes)
    theirs = mirrored(ours).replace("esp_auth_alg { hmac_sha2_256", "esp_auth_alg { hmac_sha2_512")
    assert all(row.verdict == AGREE for row in compare(end(ours), end(theirs)))


def test_strangers():
    (row,) = compare(end(sample(V2).decode()), end(sample(V2).decode().replace("210.22.22.22", "198.51.100.1")))
    assert row.verdict == DIFFER
    assert "no" in row.reason or "neither" in row.reason
    assert "210.22.22.22" in row.ours


def test_other_protocol():
    ours, theirs = sample(V1).decode(), mirrored(sample(V2).decode())
    found = compare(end(ours), end(theirs))
    assert (found[0].subject, found[0].verdict) == ("protocol", DIFFER)
    assert "initiates ikev2, which the other refuses" in found[0].reason
