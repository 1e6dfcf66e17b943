"""The image's recipe: its hash, apt sources, module order, the initramfs archive."""

from __future__ import annotations

import subprocess

import pytest

from lab.image.build import recipe_digest
from lab.image.cpio import Archive
from lab.image.initramfs import load_order, read_list
from lab.image.sources import host_sources

MODULES_DEP = """\
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/net/core/failover.ko:
kernel/virtio-net.ko: kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "packages.txt").write_text("systemd\n")
    (tmp_path / "rootfs/script").write_text("#!/bin/sh\n")
    return tmp_path


def test_digest_stays_while_nothing_changes(recipe):
    before = recipe_digest(recipe)
    (recipe / "__pycache__").mkdir()
    (recipe / "__pycache__/build.pyc").write_bytes(b"compiled")
    assert recipe_digest(recipe) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe: (recipe / "packages.txt").write_text("systemd\nudev\n"),
        lambda recipe: (recipe / "rootfs/script").chmod(0o755),
        lambda recipe: (recipe / "rootfs/script").rename(recipe / "rootfs/other"),
        lambda recipe: (recipe / "rootfs/more").write_text(""),
    ],
)
def test_digest_changes_with_the_recipe(recipe, change):
    before = recipe_digest(recipe)
    change(recipe)
    assert recipe_digest(recipe) != before


def test_modules_load_after_what_they_need():
    order = load_order(MODULES_DEP, ["virtio_pci", "virtio_net", "ext4"])
    assert [path.rpartition("/")[2] for path in order] == [
        "virtio_ring.ko",
        "virtio.ko",
        "virtio_pci.ko",
        "failover.ko",
        "virtio-net.ko",
    ]


def test_list_files_may_hold_comments(tmp_path):
    (tmp_path / "list").write_text("# why\nbusybox  # the shell\n\nsystemd\n")
    assert read_list(tmp_path / "list") == ["busybox", "systemd"]


def test_sources_of_both_styles(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# comment\ndeb http://mirror.test/debian bookworm main contrib\n"
        "deb-src http://mirror.test/debian bookworm main\n"
    )
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "# a comment\nTypes: deb deb-src\nURIs: http://other.test/debian\n"
        "Suites: bookworm bookworm-updates bookworm-backports\nComponents: main\nSigned-By: /usr/share/keyrings/k.gpg\n"
        "\nTypes: deb\nURIs: http://third.test/\nSuites: nodistro\nComponents: main\n"
    )
    (tmp_path / "sources.list.d/third.list").write_text("deb http://third.test/ vendor-bookworm main\n")
    (tmp_path / "sources.list.d/disabled.list.off").write_text("deb http://off.test/ bookworm main\n")
    assert host_sources(tmp_path) == [
        "deb http://mirror.test/debian bookworm main contrib",
        "deb [signed-by=/usr/share/keyrings/k.gpg] http://other.test/debian bookworm main",
        "deb [signed-by=/usr/share/keyrings/k.gpg] http://other.test/debian bookworm-updates main",
    ]


def test_no_sources_on_another_release(tmp_path):
    assert host_sources(tmp_path) == []


def test_archive_members_are_aligned_and_parents_come_first():
    archive = Archive()
    archive.add_file("seed/etc/hostname", b"tokyo\n", 0o640)
    archive.add_file("seed/etc/hosts", b"")
    data = archive.to_bytes()
    names = ["seed\0", "seed/etc\0", "seed/etc/hostname\0", "seed/etc/hosts\0", "TRAILER!!!\0"]
    positions = [data.index(name.encode()) for name in names]
    assert positions == sorted(positions)
    assert data.count(b"070701") == len(names)
    assert all(index % 4 == 0 for index in range(len(data)) if data[index : index + 6] == b"070701")
    assert len(data) % 4 == 0


def test_busybox_unpacks_the_archive(tmp_path):
    archive = Archive()
    archive.add_file("seed/etc/hostname", b"tokyo\n", 0o640)
    subprocess.run(["busybox", "cpio", "-idm"], input=archive.to_bytes(), cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "seed/etc/hostname").read_bytes() == b"tokyo\n"
    assert (tmp_path / "seed/etc/hostname").stat().st_mode & 0o777 == 0o640
