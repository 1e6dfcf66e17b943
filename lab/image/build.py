"""Build the lab machines' image: Debian minimal as a raw disk, its kernel, and a tiny initramfs.

An image is cached in a folder named by the hash of its recipe, which is every file in this package: edit any of them
and the next build makes a new image. The image holds nothing of a particular machine and no secret: what makes a
machine tokyo or osaka (addresses, keys, name) is laid over it at boot, see lab/seed.py.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lab.image.initramfs import build_initramfs, read_list
from lab.image.sources import SUITE, host_proxies, host_sources

HERE = Path(__file__).parent
DISK_SIZE = "1500M"  # sparse: only what is written takes room

LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/bash-completion/*",
)
# Work that a short-lived machine doesn't need. Without udev the kernel's devtmpfs names the devices.
MASKED = (
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    "systemd-binfmt.service",
    "proc-sys-fs-binfmt_misc.automount",
    "modprobe@.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "systemd-tmpfiles-clean.timer",
    "getty.target",
    "systemd-journal-flush.service",
    "systemd-random-seed.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-pcrphase.service",
    "systemd-pcrphase-sysinit.service",
    "e2scrub_reap.service",
    "dev-hugepages.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
)


class ImageError(Exception):
    """The image can't be built; the text says where to look."""


@dataclass(frozen=True)
class Image:
    """A built image's files."""

    directory: Path

    @property
    def disk(self) -> Path:
        return self.directory / "disk.raw"

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        return self.directory / "initramfs"

    @property
    def digest(self) -> str:
        return self.directory.name


def recipe_digest(recipe: Path = HERE) -> str:
    """A short hash over the recipe: path, executable bit and content of every file below `recipe`."""
    digest = hashlib.sha256()
    for file in sorted(path for path in recipe.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        executable = bool(file.stat().st_mode & 0o100)
        digest.update(f"{file.relative_to(recipe)}\0{executable}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def find_image(images: Path) -> Image | None:
    """The image of the present recipe, if it was built."""
    image = Image(images / recipe_digest())
    return image if image.directory.is_dir() else None


def build_image(images: Path) -> Image:
    """Build the image of the present recipe below `images`; the folder appears only when it's whole."""
    work = images / "unfinished"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = images / "build.log"
    with log.open("wb") as output:
        for command in (_mmdebstrap(work), _mke2fs(work)):
            _run(command, output, log)
    tree = work / "tree"
    shutil.copyfile(next((tree / "boot").glob("vmlinuz-*")), work / "vmlinuz")
    (work / "initramfs").write_bytes(build_initramfs(tree))
    shutil.rmtree(tree)
    (work / "tree.tar").unlink()
    return Image(work.rename(images / recipe_digest()))


def _run(command: list[str], output: BinaryIO, log: Path) -> None:
    status = subprocess.call(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if status:
        raise ImageError(f"{command[0]} failed ({status}), see {log}")


def _mmdebstrap(work: Path) -> list[str]:
    """Debian with the recipe's packages and files as a tar archive; no root needed (unshare mode)."""
    units = " ".join(MASKED)
    command = ["mmdebstrap", "--variant=minbase", "--components=main"]
    command += [f"--include={','.join(read_list(HERE / 'packages.txt'))}"]
    command += [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    command += [f"--aptopt={line}" for line in host_proxies()]
    command += ['--aptopt=APT::Install-Recommends "false"']
    # The lab's own initramfs serves every machine: Debian's isn't needed, and slow to make.
    command += ["--essential-hook=echo 'do_initrd = No' > \"$1/etc/kernel-img.conf\""]
    command += [f"--customize-hook=sync-in {HERE / 'rootfs'} /"]
    command += [f'--customize-hook=chroot "$1" systemctl mask {units}']
    command += ['--customize-hook=chroot "$1" systemctl enable lab-network.service ssh.service']
    command += [
        '--customize-hook=chroot "$1" useradd --non-unique --uid 0 --gid 0 --home-dir /root'
        " --no-create-home --password '*' --shell /usr/local/sbin/lab-client-shell client"
    ]
    command += ['--customize-hook=rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/hostname" "$1/etc/machine-id"']
    return [*command, SUITE, str(work / "tree.tar"), *host_sources()]


def _mke2fs(work: Path) -> list[str]:
    """The archive as an ext4 disk. fakeroot keeps the files' owners right for whoever runs this."""
    script = (
        "mkdir tree && tar -xf tree.tar -C tree --exclude='./dev/*' &&"
        f" mke2fs -q -t ext4 -m 0 -E root_owner=0:0 -d tree disk.raw {DISK_SIZE}"
    )
    return ["fakeroot", "sh", "-c", f"cd '{work}' && PATH=$PATH:/usr/sbin && {script}"]
