"""The hand-over to sites that somebody else manages: sheet, configurations of other daemons, the keys apart."""

from __future__ import annotations

import base64
import re
import stat
from types import SimpleNamespace

import pytest
from ansible_collections.tanuki.ipsec.plugins.action import ipsec_handover
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.config.checks.pair import compare
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.config.effective import effective
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.config.loader import load_text
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_handover as documentation
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.handover.sheet import handover
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import LINUX_PATHS
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.profiles import PROFILES
from yaml import safe_load

KEY = b'a "key" of thirty-two bytes or so'


def inventory(profile="ikev1-aes", **kyoto):
    sites = {
        "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24", "192.168.11.0/24"]},
        "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"]},
        "kyoto": {
            "ipsec_address": "210.33.33.33",
            "ipsec_networks": ["192.168.30.0/24"],
            "ipsec_managed": False,
            **kyoto,
        },
    }
    return {name: {**site, "ipsec_profile": profile} for name, site in sites.items()}


def files(profile="ikev1-aes", **kyoto):
    plan = make_plan(inventory(profile, **kyoto))
    ends = plan.ends["kyoto"]
    found = handover(plan.sites["kyoto"], ends, {end.name: KEY for end in ends})
    return {file.name: file.content.decode() for file in found}


def settings(text, name):
    return re.findall(r"^\s*{} ?= ?(.*)$".format(name), text, re.MULTILINE)


def test_strongswan_is_told_the_plan():
    text = files()["swanctl.conf"]
    assert settings(text, "local_addrs") == ["210.33.33.33"] * 2
    assert settings(text, "remote_addrs") == ["210.22.22.22", "210.11.11.11"]
    assert settings(text, "version") == ["1", "1"] and settings(text, "proposals") == ["aes256-sha256-modp3072"] * 2
    assert settings(text, "esp_proposals") == ["aes256-sha256-modp3072"] * 3
    assert settings(text, "remote_ts") == ["192.168.20.0/24", "192.168.10.0/24", "192.168.11.0/24"]
    assert settings(text, "life_time") == ["3600s"] * 3 and settings(text, "reauth_time") == ["25920s"] * 2
    assert text.count("{") == text.count("}")


def test_libreswan_is_told_the_plan():
    text = files()["ipsec.conf"]
    assert re.findall(r"^conn (.*)$", text, re.MULTILINE) == ["osaka-1", "tokyo-1", "tokyo-2"]
    assert settings(text, "ike") == ["aes256-sha2_256;modp3072"] * 3
    assert settings(text, "esp") == ["aes256-sha2_256;modp3072"] * 3
    assert settings(text, "rightsubnet") == ["192.168.20.0/24", "192.168.10.0/24", "192.168.11.0/24"]
    assert settings(text, "ikev2") == ["no"] * 3 and "ikev1-policy=accept" in text


def test_the_modern_profile_is_told_in_ikev2s_way():
    found = files("modern")
    swanctl, libreswan = found["swanctl.conf"], found["ipsec.conf"]
    ike = "aes256gcm16-chacha20poly1305-aes128gcm16-prfsha512-prfsha256-x25519-ecp256"
    assert settings(swanctl, "proposals") == [ike] * 2 and settings(swanctl, "rekey_time")[0] == "25920s"
    assert settings(swanctl, "esp_proposals")[0] == "aes256gcm16-chacha20poly1305-aes128gcm16-x25519-ecp256"
    words = "aes_gcm256+chacha20_poly1305+aes_gcm128"
    assert settings(libreswan, "ike")[0] == words + "-sha2_512+sha2_256;dh31+dh19"
    assert settings(libreswan, "esp")[0] == words + ";dh31+dh19"  # after "-" it would be a hash that pluto doesn't know
    assert settings(libreswan, "ikev2")[0] == "insist" and "config setup" not in libreswan


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profile_can_be_told_to_both(profile):
    assert {"swanctl.conf", "ipsec.conf"} <= set(files(profile))


def test_a_daemon_that_has_no_words_for_a_profile_gets_no_file_and_the_sheet_says_so():
    found = files("modern")
    assert "racoon2.conf" not in found and "There is no racoon2.conf: kmp_enc_alg: aes256_gcm" in found["sheet.txt"]


@pytest.mark.parametrize("profile", ["2007", "ikev1-aes"])
def test_what_racoon2_is_told_agrees_with_the_managed_end(profile):
    plan = make_plan(inventory(profile))
    ours = configuration_text(plan.sites["tokyo"], plan.ends["tokyo"], LINUX_PATHS)
    both = [
        effective(load_text(text.encode(), name, dialect).configuration)
        for text, name, dialect in (
            (ours, "tokyo", "tanuki"),
            (files(profile)["racoon2.conf"], "kyoto", "racoon2"),
        )
    ]
    rows = compare(*both)
    assert rows and {row.verdict for row in rows} == {"agree"}


def test_the_sheet_says_everything_to_people():
    text = files(ipsec_own_address="10.0.0.2")["sheet.txt"]
    rows = dict(re.findall(r"^  (\S.*?)  +(\S.*)$", text, re.MULTILINE))
    assert rows["your public address"] == "210.33.33.33" and rows["your own address, behind NAT"] == "10.0.0.2"
    assert rows["our identity"] == "IPv4 address 210.11.11.11" and rows["IKE group"] == "modp3072"
    assert "192.168.30.0/24 = 192.168.11.0/24" in text and "secret/tokyo.psk" in text


def test_keys_are_in_the_secret_folder_and_nowhere_else():
    found = files()
    encoded = base64.b64encode(KEY).decode()
    holders = {name for name, text in found.items() if KEY.decode() in text or encoded in text}
    assert holders == {name for name in found if name.startswith("secret/")}
    assert holders == {"secret/swanctl.secrets.conf", "secret/ipsec.secrets", "secret/osaka.psk", "secret/tokyo.psk"}
    assert settings(found["secret/swanctl.secrets.conf"], "secret") == ["0s" + encoded] * 2
    assert "210.33.33.33 210.11.11.11 : PSK 0s" + encoded in found["secret/ipsec.secrets"]


def acting(monkeypatch, tmp_path, check_mode=False, sites=None):
    class Action(ipsec_handover.ActionModule):
        def __init__(self):
            self._task = SimpleNamespace(check_mode=check_mode)
            self._display = SimpleNamespace(warning=lambda text: None)

        def validate_argument_spec(self, argument_spec):
            return None, {name: option["default"] for name, option in argument_spec.items()}

    sites = sites or inventory()
    monkeypatch.setattr(ipsec_handover.ActionBase, "run", lambda *_arguments: {})
    variables = {"groups": {"ipsec_sites": list(sites)}, "hostvars": sites, "inventory_dir": str(tmp_path)}
    return Action().run(task_vars=variables)


def test_the_files_are_written_once_and_the_keys_are_closed_to_others(monkeypatch, tmp_path):
    assert acting(monkeypatch, tmp_path)["changed"] and not acting(monkeypatch, tmp_path)["changed"]
    secret = tmp_path / "handover/kyoto/secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret.iterdir()} == {0o600}
    assert (secret / "tokyo.psk").read_bytes() == (tmp_path / "psk/kyoto--tokyo.psk").read_bytes()
    assert sorted(path.name for path in (tmp_path / "handover").iterdir()) == ["kyoto"]


def test_check_mode_makes_no_key_and_writes_nothing(monkeypatch, tmp_path):
    assert acting(monkeypatch, tmp_path, check_mode=True)["changed"]
    assert list(tmp_path.iterdir()) == []


def test_without_unmanaged_sites_there_is_nothing_to_hand_over(monkeypatch, tmp_path):
    sites = {name: {**site, "ipsec_managed": True} for name, site in inventory().items()}
    assert acting(monkeypatch, tmp_path, sites=sites) == {"changed": False, "files": []}


def test_it_takes_what_is_documented():
    options = safe_load(documentation.DOCUMENTATION)["options"]
    assert {name: option["default"] for name, option in options.items()} == {
        name: spec["default"] for name, spec in ipsec_handover.ARGUMENT_SPEC.items()
    }
