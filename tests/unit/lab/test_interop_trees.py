"""The interop peers' sources: the host's own mirror, in another release."""

from __future__ import annotations

from tests.interop.trees import PEERS, release_sources


def test_the_suites_of_another_release_come_from_the_hosts_mirror():
    host = [
        "deb [signed-by=/usr/share/keyrings/debian-archive-bookworm.gpg] https://mirror.example/bookworm bookworm main",
        "deb https://mirror.example/debian-security bookworm-security main",
    ]
    assert release_sources("trixie", host) == [
        "deb [signed-by=/usr/share/keyrings/debian-archive-bookworm.gpg] https://mirror.example/bookworm trixie main",
        "deb https://mirror.example/debian-security trixie-security main",
    ]
    assert release_sources("bookworm", host) == host
    assert release_sources("trixie", []) == []


def test_a_tree_is_whole_only_with_just_its_packages(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.interop.trees.TREES", tmp_path)
    tree = PEERS["libreswan-5.2"]
    assert not tree.is_complete
    (tmp_path / "libreswan-5.2.complete").write_text("trixie libreswan")
    assert not tree.is_complete
    (tmp_path / "libreswan-5.2.complete").write_text("trixie libreswan libnss3-tools dash grep sed")
    assert tree.is_complete
