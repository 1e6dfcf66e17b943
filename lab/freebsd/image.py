"""The image that FREEBSD_IMAGE names: qcow2 or raw, or either as published, in xz."""

from __future__ import annotations

import hashlib
import lzma
import shutil
from dataclasses import dataclass
from pathlib import Path

QCOW2_MAGIC = b"QFI\xfb"
XZ_MAGIC = b"\xfd7zXZ\x00"


class FreebsdImageError(Exception):
    """There's no such image, or it's cut short; the text names the file."""


@dataclass(frozen=True)
class FreebsdImage:
    """A disk that boots by BIOS. `format` is QEMU's name for it."""

    disk: Path
    format: str

    @property
    def digest(self) -> str:
        """Which file it is: hashing gigabytes at every start would take longer than booting them."""
        status = self.disk.stat()
        return hashlib.sha256(f"{self.disk}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:16]


def open_image(path: Path, unpacked: Path) -> FreebsdImage:
    """The image at `path`; where it's compressed, unpacked once into the folder `unpacked`."""
    try:
        with path.open("rb") as file:
            magic = file.read(6)
        disk = _unpack(path, unpacked) if magic == XZ_MAGIC else path.resolve()
        with disk.open("rb") as file:
            magic = file.read(4)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise FreebsdImageError(f"FREEBSD_IMAGE: {path}: {error}") from error
    return FreebsdImage(disk, "qcow2" if magic == QCOW2_MAGIC else "raw")


def _unpack(path: Path, unpacked: Path) -> Path:
    """Its folder is named after the packed file as it is now: another file of that name is unpacked anew."""
    folder = unpacked / f"freebsd-{FreebsdImage(path.resolve(), 'xz').digest}"
    disk = folder / path.name.removesuffix(".xz")
    if not disk.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / "unfinished"
        with lzma.open(path) as packed, unfinished.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        unfinished.rename(disk)
    return disk
