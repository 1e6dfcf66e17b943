"""A key file is used only if nobody else could have read or written it; nothing of it reaches a message."""

import itertools
import os
from pathlib import Path

import pytest

from ike.config import psk
from ike.config.psk import NEXT, PREVIOUS, PskError, read_psk, read_psks

UID = os.geteuid()


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "peer.psk"
    path.write_bytes(b"secret\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_every_byte_counts(key, mode):
    key.chmod(mode)
    assert read_psk(str(key), UID) == b"secret\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_others_may_not_touch_it(key, mode):
    key.chmod(mode)
    with pytest.raises(PskError, match="group or others"):
        read_psk(str(key), UID)


def refusal(path, uid=UID):
    with pytest.raises(PskError) as caught:
        read_psk(str(path), uid)
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_reasons(key, tmp_path):
    assert "owned by uid {}".format(UID) in refusal(key, UID + 1)
    assert "No such file" in refusal(tmp_path / "nothing")
    assert "not a regular file" in refusal(tmp_path)
    assert refusal("a\0b")
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a regular file" in refusal(tmp_path / "pipe")
    key.write_bytes(b"")
    assert "empty" in refusal(key)
    key.write_bytes(b"x" * 100000)
    assert "larger than" in refusal(key)


def beside(key, suffix, content=b""):
    path = key.with_name(key.name + suffix)
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_the_keys_beside_it_come_after_it_and_each_once(key):
    assert read_psks(str(key), UID) == ((b"secret\n",), ())
    beside(key, NEXT, b"new")
    beside(key, PREVIOUS, b"secret\n")
    assert read_psks(str(key), UID) == ((b"secret\n", b"new"), ())
    beside(key, PREVIOUS, b"old")
    assert read_psks(str(key), UID)[0] == (b"secret\n", b"new", b"old")


def test_a_file_beside_it_that_cant_be_used_is_complained_about(key):
    beside(key, NEXT, b"new").chmod(0o640)
    keys, complaints = read_psks(str(key), UID)
    assert keys == (b"secret\n",)
    assert len(complaints) == 1 and "mode 0640" in complaints[0] and "new" not in complaints[0].replace(NEXT, "")


@pytest.mark.parametrize("moments", list(itertools.combinations_with_replacement(range(4), 3)))
def test_no_key_is_missed_while_the_files_change(key, monkeypatch, moments):
    """The three steps of a deployment that switches keys, each before the read of this number."""
    upcoming = beside(key, NEXT, b"new")
    renamed = beside(key, ".staged", b"new")
    steps = [
        lambda: beside(key, PREVIOUS, b"secret\n"),
        lambda: renamed.replace(key),
        upcoming.unlink,
    ]
    due = list(zip(moments, steps))
    reads = itertools.count()

    def lexists(path):
        step_until(next(reads))
        return Path(path).exists()

    def current(path, uid):
        if path == str(key):
            step_until(next(reads))
        return read_psk(path, uid)

    def step_until(number):
        while due and due[0][0] <= number:
            due.pop(0)[1]()

    monkeypatch.setattr(psk.os.path, "lexists", lexists)
    monkeypatch.setattr(psk, "read_psk", current)
    assert set(read_psks(str(key), UID)[0]) == {b"secret\n", b"new"}
