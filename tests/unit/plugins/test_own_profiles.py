"""Profiles that an inventory defines: built-in ones with changes, looked through before any host is touched."""

from __future__ import annotations

import pytest
from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_tunnels import ipsec_tunnels
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import expectation
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.config.checks.algorithms import supported
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.config.grammar import IKEV1, IKEV2, TANUKI
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.handover.sheet import handover
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.implementations import demands
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.lint import lint
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.overhead import maximum_segment
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.own_profiles import all_profiles
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import LINUX_PATHS
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan, warnings
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.profiles import PROFILES

PARTNER = {
    "base": "modern",
    "ike_encryption": ["aes256_cbc"],
    "ike_hash": ["hmac_sha2_256"],
    "ike_prf": ["hmac_sha2_256"],
    "groups": ["modp2048"],
    "additional": [],
    "esp_encryption": ["aes256_cbc"],
    "esp_integrity": ["hmac_sha2_256"],
    "child_lifetime": 1800,
}
OLD = {"base": "ikev1-aes", "ike_encryption": ["aes128_cbc"], "ike_hash": ["sha1"], "groups": ["modp2048"]}


def plan(profiles, **shared):
    sites = {
        "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"]},
        "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"], "ipsec_managed": False},
    }
    return make_plan({name: {**site, "ipsec_profiles": profiles, **shared} for name, site in sites.items()})


def problems(profiles) -> list[str]:
    with pytest.raises(InventoryError) as caught:
        all_profiles(profiles)
    return [str(problem).replace("all sites: ipsec_profiles: ", "", 1) for problem in caught.value.problems]


def test_it_is_the_built_in_one_but_for_what_is_said():
    chosen = all_profiles({"partner": {"base": "2007", "child_lifetime": 1800, "pfs": "yes"}})["partner"].cryptography
    built_in = PROFILES["2007"].cryptography
    assert (chosen.child_lifetime, chosen.pfs, built_in.pfs) == (1800, True, False)
    assert (chosen.ike_encryption, chosen.groups) == (built_in.ike_encryption, built_in.groups)


def test_without_a_base_it_is_the_default_one():
    assert all_profiles({"slow": {"dpd_delay": 120}})["slow"].cryptography.version == 2


def test_the_built_in_ones_stay():
    assert all_profiles({}) == PROFILES
    assert {**all_profiles({"partner": PARTNER}), "partner": None} == {**PROFILES, "partner": None}


@pytest.mark.parametrize(
    "shared", [{"ipsec_profile": "partner"}, {"ipsec_tunnel_profiles": {"tokyo--osaka": "partner"}}]
)
def test_sites_and_tunnels_take_it_by_its_name(shared):
    (end,) = plan({"partner": PARTNER}, **shared).ends["tokyo"]
    assert end.profile.name == "partner"
    text = configuration_text(end.local, [end], LINUX_PATHS)
    for line in ("kmp_hash_alg { hmac_sha2_256; };", "kmp_dh_group { modp2048; };", "ipsec_sa_lifetime_time 1800 sec;"):
        assert line in text
    assert "additional_ke" not in text
    assert maximum_segment(end, 4) == 1382  # 1492 - 20 - (8 + 16 + 16): whole blocks of 16, of which 2, then 40


def test_the_other_end_is_told_so_in_other_daemons_words():
    planned = plan({"partner": PARTNER}, ipsec_profile="partner")
    (end,) = planned.ends["osaka"]
    found = {file.name: file.content.decode() for file in handover(end.local, [end], {end.name: b"a" * 32})}
    assert "proposals = aes256-sha256-prfsha256-modp2048\n" in found["swanctl.conf"]
    assert "ike=aes256-sha2_256;modp2048\n" in found["ipsec.conf"]
    assert "aes256_cbc" in found["sheet.txt"]


def test_who_cant_be_told_an_additional_key_exchange_gets_no_file():
    planned = plan({"hybrid": {"additional": [["mlkem768"]]}}, ipsec_profile="hybrid")
    (end,) = planned.ends["osaka"]
    found = {file.name: file.content.decode() for file in handover(end.local, [end], {end.name: b"a" * 32})}
    assert not {"swanctl.conf", "ipsec.conf"} & found.keys()
    assert "strongSwan isn't told mlkem768 here, which the profile insists on" in found["sheet.txt"]


def test_libreswan_has_no_word_for_a_prf_beside_another_integrity():
    planned = plan({"own": {**PARTNER, "ike_prf": ["hmac_sha2_512"]}}, ipsec_profile="own")
    (end,) = planned.ends["osaka"]
    found = {file.name: file.content.decode() for file in handover(end.local, [end], {end.name: b"a" * 32})}
    assert "prfsha512" in found["swanctl.conf"] and "ipsec.conf" not in found
    assert "Libreswan takes hmac_sha2_256 for the PRF too" in found["sheet.txt"]


def test_nat_needs_a_profile_with_nat_traversal():
    with pytest.raises(InventoryError, match="osaka: ipsec_profile: own has no nat_traversal, which osaka needs"):
        make_plan(
            {
                name: {"ipsec_profiles": {"own": {"nat_traversal": False}}, "ipsec_profile": "own", **site}
                for name, site in {
                    "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"]},
                    "osaka": {
                        "ipsec_address": "210.22.22.22",
                        "ipsec_own_address": "10.0.0.2",
                        "ipsec_networks": ["192.168.20.0/24"],
                    },
                }.items()
            }
        )


def test_weak_algorithms_are_warned_about():
    (end,) = plan({"old": OLD}, ipsec_profile="old").ends["tokyo"]
    assert [text for text in warnings([end]) if text.startswith("profile old: sha1: ")]


def test_every_site_has_to_see_the_same():
    with pytest.raises(InventoryError, match="tokyo: ipsec_profiles: differs from osaka's"):
        make_plan({"osaka": {}, "tokyo": {"ipsec_profiles": {"old": OLD}}})


def test_an_unknown_name_is_answered_with_all_that_there_are():
    with pytest.raises(InventoryError, match="no profile 'parner'; there are: modern, 2007, ikev1-aes, partner"):
        plan({"partner": PARTNER}, ipsec_profile="parner")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "a dictionary is needed: {NAME: {base: PROFILE, …}}"),
        ({"p": None}, "p: a dictionary is needed: {base: PROFILE, …}"),
        ({"p": {1: 2}}, "p: a dictionary is needed: {base: PROFILE, …}"),
        ({2007: {}}, "2007: that's a built-in profile; take another name"),
        ({"p": {"base": "x"}}, "p: base: no built-in profile 'x'; there are: modern, 2007, ikev1-aes"),
        ({"p": {"pfs": "perhaps"}}, "p: pfs: 'perhaps' is neither true nor false"),
        ({"p": {"ike_lifetime": 0}}, "p: ike_lifetime: 0 is no number of seconds from 1 to 2147483647"),
        ({"p": {"ike_lifetime": True}}, "p: ike_lifetime: True is no number of seconds from 1 to 2147483647"),
        (
            {"p": {"ike_lifetime": "9" * 11}},
            "p: ike_lifetime: '99999999999' is no number of seconds from 1 to 2147483647",
        ),
        ({"p": {"dpd_delay": 0}}, "p: dpd_delay: 0 is no number of seconds from 1 to 2147483647"),
        ({"p": {"groups": "ecp256"}}, "p: groups: a list is needed"),
        ({"p": {"groups": []}}, "p: groups: the list is empty"),
        ({"p": {"additional": ["mlkem768"]}}, "p: additional: a list is needed"),
        (
            {"p": {"additional": [["mlkem768"]] * 8}},
            "p: additional: 8 additional key exchanges, but IKEv2 has 7",
        ),
        (
            {"p": {"ike_hash": ["sha1"]}},
            "p: ike_hash: sha1 cannot be kmp_hash_alg of ikev2 (IKEv2 names the HMAC, hmac_sha1; sha1 is IKEv1's name)",
        ),
        (
            {"p": {"groups": ["mlkem768"]}},
            "p: groups: mlkem768 cannot be kmp_dh_group of ikev2 "
            "(it comes in addition to another one: additional_ke1 mlkem768)",
        ),
        ({"p": {"ike_encryption": ["aes256_cbc"]}}, "p: remote peer ikev2 has no kmp_hash_alg (ike_hash)"),
        ({"p": {"esp_encryption": ["aes256_cbc"]}}, "p: sa peer has no esp_auth_alg (esp_integrity)"),
        (
            {"p": {"base": "2007", "proposal_check": "maybe"}},
            "p: proposal_check: 'maybe' is none of obey, strict, claim, exact",
        ),
    ],
)
def test_what_is_wrong_is_named(value, message):
    assert problems(value) == [message]


@pytest.mark.parametrize("word", ["aes256", "aes_ctr", "aes_ctr,128", "${PATH}", '"'])
def test_ciphers_that_cant_be_said_are_answered_with_those_that_can(word):
    (problem,) = problems({"p": {"esp_encryption": [word]}})
    assert problem.startswith("p: esp_encryption: {} ".format(word)) and "(there are: 3des_cbc, aes128_cbc" in problem
    assert "aes_ctr" not in problem.partition("there are: ")[2]


@pytest.mark.parametrize(
    ("base", "field", "missing"), [("ikev1-aes", "ike_prf", "ike_prf"), ("modern", "proposal_check", "proposal_check")]
)
def test_what_the_other_version_has_is_no_part_of_it(base, field, missing):
    (problem,) = problems({"p": {"base": base, field: ["hmac_sha2_256"]}})
    assert problem.startswith("p: {}: no such thing with IKEv".format(field))
    assert missing not in problem.partition("there are: ")[2]


def test_every_problem_is_told_at_once():
    assert len(problems({"a": {"pfs": 7}, "b": {"groups": [], "x": 1}})) == 3


_BASES = {IKEV1: "ikev1-aes", IKEV2: "modern"}
_INTEGRITY = {
    IKEV1: {"esp_integrity": ["hmac_sha1"]},
    IKEV2: {"ike_hash": ["hmac_sha1"], "esp_integrity": ["hmac_sha1"]},
}
_FIELDS = {
    "ike_encryption": "kmp_enc_alg",
    "ike_hash": "kmp_hash_alg",
    "ike_prf": "kmp_prf_alg",
    "groups": "kmp_dh_group",
    "esp_encryption": "esp_enc_alg",
    "esp_integrity": "esp_auth_alg",
}
_ALL = [
    (protocol, field, word)
    for protocol in _BASES
    for field, directive in _FIELDS.items()
    for word in supported(TANUKI, protocol, directive)
    if word not in ("aes_ctr", "rijndael_cbc")  # they say no key length
]


@pytest.mark.parametrize(("protocol", "field", "word"), _ALL, ids=["-".join(one) for one in _ALL])
def test_every_word_is_understood_wherever_a_profile_is_read(protocol, field, word):
    changes = {"base": _BASES[protocol], **_INTEGRITY[protocol], field: [word]}
    if field == "esp_integrity":
        changes["esp_encryption"] = ["aes128_cbc"]
    planned = plan({"own": changes}, ipsec_profile="own")
    (ours,), (theirs,) = planned.ends["tokyo"], planned.ends["osaka"]
    assert word in configuration_text(ours.local, [ours], LINUX_PATHS)
    assert 1200 < maximum_segment(ours, 4) < 1452
    assert warnings([ours]) == tuple("profile own: " + text for text in ours.profile.weaknesses)
    found = [finding for finding in lint(planned, {}) if finding.subject == "profile own"]
    assert len(found) == len(ours.profile.weaknesses)
    assert demands([ours])["algorithms"]
    assert expectation(ipsec_tunnels(_variables(planned, changes), "tokyo", ["tokyo", "osaka"])[0]).name == "osaka"
    sheet = next(
        file for file in handover(theirs.local, [theirs], {theirs.name: b"a" * 32}) if file.name == "sheet.txt"
    )
    assert word in sheet.content.decode()


def _variables(planned, changes) -> dict:
    return {
        name: {
            "ipsec_address": str(site.address),
            "ipsec_networks": [str(network) for network in site.networks],
            "ipsec_profile": "own",
            "ipsec_profiles": {"own": changes},
        }
        for name, site in planned.sites.items()
    }
