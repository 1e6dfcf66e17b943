"""A key file is used only if nobody else could have read or written it; nothing of it reaches a message."""

import os

import pytest

from ike.config.psk import PskError, read_psk

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
