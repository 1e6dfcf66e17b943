# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the peers live: a tree of files each, with its daemon and all that this needs of its Debian release.

The daemons of a newer Debian want a newer libc than the host has, and some conflict with each other: nothing is
installed. ``python3 -m tests.interop.trees [NAME…]`` fetches the trees (all of them by default) unless they are there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab.image.sources import SUITE, SUITES, host_proxies, host_sources

TREES = Path(__file__).resolve().parents[2] / "build" / "interop" / "trees"
_SHARED = ("dev", "proc", "run", "sys", "tmp")
_ETC = {  # what maintainer scripts would have made
    "hosts": "127.0.0.1 localhost\n",
    "passwd": "root:x:0:0::/root:/bin/sh\n_iked:x:101:101::/var/lib/openiked/empty:/usr/sbin/nologin\n",
    "group": "root:x:0:\n_iked:x:101:\n",
}
_LEFT_OUT = ("./dev/*", "./usr/share/doc/*", "./usr/share/locale/*", "./usr/share/man/*")


@dataclass(frozen=True)
class Tree:
    """A Debian release, and the packages of it that a peer consists of. ``name`` is the daemon's and its version's."""

    name: str
    release: str
    packages: tuple[str, ...]

    @property
    def directory(self) -> Path:
        return TREES / self.name

    @property
    def is_complete(self) -> bool:
        """Whether it holds just these packages, whole."""
        return self._mark.exists() and self._mark.read_text() == self._contents

    def fetch(self) -> None:
        """Download the packages with their dependencies and unpack them; the daemon's scripts are not run."""
        print("== fetching {} of Debian {}".format(self.name, self.release), flush=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        log = TREES / (self.name + ".log")
        with log.open("wb") as said:
            unpack = subprocess.Popen(self._unpack(), stdin=subprocess.PIPE, stderr=said)
            fetched = subprocess.call(self._download(), stdin=subprocess.DEVNULL, stdout=unpack.stdin, stderr=said)
            unpack.stdin.close()
            if unpack.wait() or fetched:
                raise SystemExit("{} was not fetched, see {}".format(self.name, log))
        for file, content in _ETC.items():
            (self.directory / "etc" / file).write_text(content)
        self._mark.write_text(self._contents)

    @property
    def opening(self) -> str:
        """A line of shell that shares /run, /tmp and the kernel's files with the tree, in its mount namespace."""
        return "; ".join("mount --rbind /{0} {1}/{0}".format(name, self.directory) for name in _SHARED)

    def inside(self, *command: str) -> list[str]:
        """A command as one that runs in the tree, once it is open."""
        return ["chroot", str(self.directory), *command]

    @property
    def _mark(self) -> Path:
        return TREES / (self.name + ".complete")

    @property
    def _contents(self) -> str:
        return " ".join((self.release, *self.packages))

    def _download(self) -> list[str]:
        command = ["mmdebstrap", "--variant=extract", "--format=tar", "--components=main"]
        command += ["--include={}".format(",".join(("base-files", *self.packages)))]
        command += ["--aptopt={}".format(line) for line in host_proxies()]
        command += ['--aptopt=APT::Install-Recommends "false"']
        # A mirror of testing may lag behind; what it serves is signed all the same.
        command += ['--aptopt=Acquire::Check-Valid-Until "false"']
        return [*command, self.release, "-", *release_sources(self.release, host_sources())]

    def _unpack(self) -> list[str]:
        left_out = ["--exclude={}".format(pattern) for pattern in _LEFT_OUT]
        return ["tar", "--extract", "--no-same-owner", "--directory", str(self.directory), *left_out]


def release_sources(release: str, sources: list[str]) -> list[str]:
    """The host's one-line sources, with the suites of another release: a mirror has them all."""
    suites = {suite: suite.replace(SUITE, release) for suite in SUITES}
    return [" ".join(suites.get(word, word) for word in source.split()) for source in sources]


_STRONGSWAN = ("charon-systemd", "libcharon-extra-plugins", "libstrongswan-standard-plugins")
_LIBRESWAN = ("libreswan", "libnss3-tools", "dash", "grep", "sed")  # the last ones for its updown script

PEERS = {
    tree.name: tree
    for tree in (
        Tree("strongswan-5.9", "bookworm", _STRONGSWAN),
        Tree("strongswan-6.0", "trixie", _STRONGSWAN),
        Tree("libreswan-4.10", "bookworm", _LIBRESWAN),
        Tree("libreswan-5.2", "trixie", _LIBRESWAN),
        Tree("openiked-7.2", "bookworm", ("openiked",)),
        Tree("openiked-7.4", "trixie", ("openiked",)),
    )
}
# What Debian's next release has by now. Next month it's another version: not among those that have to hold.
TESTING = Tree("strongswan-testing", "forky", _STRONGSWAN)


def find(name: str) -> Tree:
    """A peer by its name. Raises KeyError."""
    return {**PEERS, TESTING.name: TESTING}[name]


def main(names: list[str]) -> None:
    wanted = [find(name) for name in names or PEERS]
    with ThreadPoolExecutor() as pool:
        list(pool.map(Tree.fetch, (tree for tree in wanted if not tree.is_complete)))


if __name__ == "__main__":
    main(sys.argv[1:])
