"""The key store: one key per pair, made once, unreadable for others, never in an error's text."""

from __future__ import annotations

import stat
import threading

import pytest
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.inventory import InventoryError
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.keys import collect_keys
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.psk_store import (
    PskStore,
    PskStoreError,
    operator_keys,
    weaknesses,
)
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rotation import KeySet

PLAN = make_plan(
    {
        "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"]},
        "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"]},
    }
)
TOKYO, OSAKA = PLAN.sites["tokyo"], PLAN.sites["osaka"]


@pytest.fixture
def store(tmp_path):
    return PskStore(tmp_path / "psk")


def test_a_key_is_made_once_and_is_the_same_from_both_ends(store):
    key = store.make(TOKYO, OSAKA)
    assert store.make(OSAKA, TOKYO) == key == store.read(TOKYO, OSAKA)
    assert len(key) >= 43 and key.strip() == key and key.isascii()


def test_the_store_is_closed_to_others(store):
    store.make(TOKYO, OSAKA)
    path = store.path(TOKYO, OSAKA)
    assert path.name == "osaka--tokyo.psk"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert list(store.directory.iterdir()) == [path]


def test_processes_that_make_the_same_key_at_once_agree(store):
    keys = []
    threads = [threading.Thread(target=lambda: keys.append(store.make(TOKYO, OSAKA))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 16 and len(set(keys)) == 1


@pytest.mark.parametrize(("where", "mode"), [("file", 0o640), ("directory", 0o755)])
def test_a_store_that_lets_others_in_is_refused(store, where, mode):
    key = store.make(TOKYO, OSAKA)
    path = store.path(TOKYO, OSAKA) if where == "file" else store.directory
    path.chmod(mode)
    with pytest.raises(PskStoreError, match="lets others in") as caught:
        store.read(TOKYO, OSAKA)
    assert str(path) in str(caught.value) and key.decode() not in str(caught.value)


def test_an_empty_key_file_is_refused_not_replaced(store):
    store.make(TOKYO, OSAKA)
    store.path(TOKYO, OSAKA).write_bytes(b"")
    with pytest.raises(PskStoreError, match="empty"):
        store.make(TOKYO, OSAKA)


def test_an_operators_key_goes_before_the_stores(store):
    given = operator_keys({"osaka--tokyo": "correct horse battery staple"}, PLAN.sites)
    keys, complaints = collect_keys(PLAN.ends["tokyo"], store, given, make=True)
    assert keys == {"osaka": KeySet(b"correct horse battery staple")} and complaints == []
    assert not store.directory.exists()


def test_check_mode_makes_no_key(store):
    keys, _complaints = collect_keys(PLAN.ends["tokyo"], store, {}, make=False)
    assert keys["osaka"].current and not store.directory.exists()


def test_a_weak_key_is_warned_about_without_being_shown(store):
    given = operator_keys({"tokyo--osaka": "test\n"}, PLAN.sites)
    _keys, complaints = collect_keys(PLAN.ends["osaka"], store, given, make=True)
    assert len(complaints) == 2 and all(text.startswith("pre-shared key of osaka and tokyo: ") for text in complaints)
    assert "test" not in "".join(complaints)


def test_a_sound_key_has_no_weakness(store):
    assert list(weaknesses(store.make(TOKYO, OSAKA))) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["x"], "a dictionary is needed"),
        ({"tokyo-osaka": "secret-key"}, "'tokyo-osaka' is not SITE--SITE"),
        ({"tokyo--nara": "secret-key"}, "'tokyo--nara' is not SITE--SITE"),
        ({"tokyo--osaka": ""}, "the key of 'tokyo--osaka' is empty or not a text"),
        ({"tokyo--osaka": "secret-key", "osaka--tokyo": "secret-key"}, "is there twice"),
    ],
)
def test_wrong_operator_keys_are_named_without_the_key(value, message):
    with pytest.raises(InventoryError, match=message) as caught:
        operator_keys(value, PLAN.sites)
    assert "secret-key" not in str(caught.value)
