"""Fingerprints of pre-shared keys, and what is said of their files."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.gather import meaning_of
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.psk import (
    compare_keys,
    fingerprint,
    inspect_key,
    key_paths,
)

from tests.unit.plugins.told import evidence

KEY = b"a key that nobody may see"


@pytest.fixture
def inspect(tmp_path):
    def look(content, mode=0o600, salt="salt"):
        path = tmp_path / "peer.psk"
        path.write_bytes(content)
        path.chmod(mode)
        return inspect_key(str(path), salt, os.getuid())

    return look


def test_a_sound_key_has_a_fingerprint_and_no_problems(inspect):
    found = inspect(KEY)
    assert found["problems"] == [] and found["fingerprint"] == fingerprint(KEY, "salt")
    assert KEY.decode() not in repr(found)


def test_a_fingerprint_depends_on_every_byte_and_on_the_salt():
    known = {fingerprint(key, salt) for key in (KEY, KEY + b"\n") for salt in ("a", "b")}
    assert len(known) == 4


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (KEY + b"\n", 0o600, "ends in a newline, which is part of the key"),
        (b" " + KEY, 0o600, "begins or ends with white space, which is part of the key"),
        (KEY, 0o644, "mode 0644: group or others may use it, set 0600"),
        (b"", 0o600, "the file is empty"),
    ],
)
def test_what_is_wrong_is_said_without_the_key(inspect, content, mode, problem):
    (said,) = inspect(content, mode)["problems"]
    assert said.endswith(problem) and KEY.decode() not in said


def test_a_key_of_another_owner(tmp_path):
    path = tmp_path / "peer.psk"
    path.write_bytes(KEY)
    path.chmod(0o600)
    assert "owned by uid" in inspect_key(str(path), "salt", os.getuid() + 1)["problems"][0]


def test_a_missing_file_has_no_fingerprint(tmp_path):
    found = inspect_key(str(tmp_path / "none.psk"), "salt")
    assert found["fingerprint"] == "" and len(found["problems"]) == 1
    assert compare_keys(found, found) is None


def test_the_key_files_that_a_configuration_names():
    assert key_paths(meaning_of(evidence("tokyo")["configuration"])) == {"osaka": "/etc/racoon2/psk/osaka.psk"}
    assert key_paths(meaning_of("remote {")) == {}
