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
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_psk_assert

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


def rotation(directory, current, **beside):
    """The key files of one end in one step of a rotation."""
    directory.mkdir()
    for name, key in {"peer.psk": current, **{"peer.psk." + name: key for name, key in beside.items()}}.items():
        (directory / name).write_bytes(key)
        (directory / name).chmod(0o600)
    return inspect_key(str(directory / "peer.psk"), "salt", os.getuid())


@pytest.fixture
def steps(tmp_path):
    """What is found at an end in each step of a rotation, in their order."""
    old, new = b"the old key", b"the new key"
    return [
        rotation(tmp_path / "before", old),
        rotation(tmp_path / "staged", old, next=new),
        rotation(tmp_path / "switched", new, previous=old),
        rotation(tmp_path / "after", new),
    ]


def test_two_ends_at_most_one_step_of_a_rotation_apart_have_keys_that_agree(steps):
    agree = [[compare_keys(ours, theirs) for theirs in steps] for ours in steps]
    assert agree == [[abs(ours - theirs) < 2 for theirs in range(4)] for ours in range(4)]


def test_a_key_beside_the_current_one_that_the_daemon_refuses_is_a_problem(tmp_path):
    rotation(tmp_path / "end", KEY, next=b"another")
    (tmp_path / "end/peer.psk.next").chmod(0o644)
    found = inspect_key(str(tmp_path / "end/peer.psk"), "salt", os.getuid())
    assert found["accepted"] == [found["fingerprint"]] and "mode 0644" in found["problems"][0]


@pytest.mark.parametrize(("ours", "theirs", "problems"), [(1, 2, 0), (2, 1, 0), (0, 2, 1), (2, 0, 1), (2, 2, 0)])
def test_the_module_compares_what_is_proven_with_what_is_accepted(steps, monkeypatch, ours, theirs, problems):
    monkeypatch.setattr(ipsec_psk_assert, "inspect_key", lambda path, salt: dict(steps[ours], problems=[]))
    found = ipsec_psk_assert.inspect("osaka", "osaka.psk", steps[theirs], "salt")
    assert len(found["problems"]) == problems


def test_the_module_without_the_accepted_keys_of_the_other_end_judges_what_it_proves(steps, monkeypatch):
    monkeypatch.setattr(ipsec_psk_assert, "inspect_key", lambda path, salt: dict(steps[0], problems=[]))
    told = [{}, {"fingerprint": steps[1]["fingerprint"]}, {"fingerprint": steps[3]["fingerprint"]}]
    found = [ipsec_psk_assert.inspect("osaka", "osaka.psk", one, "salt")["problems"] for one in told]
    assert [len(problems) for problems in found] == [0, 0, 1]


def test_a_missing_file_has_no_fingerprint(tmp_path):
    found = inspect_key(str(tmp_path / "none.psk"), "salt")
    assert found["fingerprint"] == "" and len(found["problems"]) == 1
    assert compare_keys(found, found) is None


def test_the_key_files_that_a_configuration_names():
    assert key_paths(meaning_of(evidence("tokyo")["configuration"])) == {"osaka": "/etc/racoon2/psk/osaka.psk"}
    assert key_paths(meaning_of("remote {")) == {}
