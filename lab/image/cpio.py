"""Write a cpio archive in the "newc" format, the one that the kernel unpacks as an initramfs."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

TRAILER = "TRAILER!!!"


@dataclass
class Archive:
    """An initramfs in the making. Paths are relative to its root; parents are made when a path needs them."""

    chunks: list[bytes] = field(default_factory=list)
    directories: set[str] = field(default_factory=set)

    def add_directory(self, path: str, mode: int = 0o755) -> None:
        if path in self.directories:
            return
        self._add_parents(path)
        self.directories.add(path)
        self._append(path, stat.S_IFDIR | mode, b"")

    def add_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self._add_parents(path)
        self._append(path, stat.S_IFREG | mode, content)

    def to_bytes(self) -> bytes:
        """The archive with its trailer. Archives may be concatenated: the kernel unpacks one after the other."""
        return b"".join(self.chunks) + _member(TRAILER, 0, b"", inode=0)

    def _add_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent:
            self.add_directory(parent)

    def _append(self, path: str, mode: int, content: bytes) -> None:
        self.chunks.append(_member(path, mode, content, inode=len(self.chunks) + 1))


def _member(path: str, mode: int, content: bytes, inode: int) -> bytes:
    """One archive member: header of 8-digit hexadecimal fields, name, content, each padded to 4 bytes."""
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % value for value in fields)
    return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
