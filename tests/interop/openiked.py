# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenIKED's iked at its site, on PF_KEY, driven by ikectl. It speaks IKEv2 only.

Nobody can tell it to rekey: its lifetimes are seconds, and it does so by itself. Linux's PF_KEY has no AEAD, and none
of OpenIKED's numbers for HMAC-SHA-2, so its children are AES-CBC with HMAC-SHA-1, and its IKE SAs anything.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.interop.network import START_SECONDS, Site
from tests.interop.suites import Suite, View, variant, wide
from tests.interop.trees import Tree
from tests.namespaces import run

_WAIT = 20.0

# iked wants one policy at least.
_IDLE = 'ikev2 "idle" passive esp from 127.0.0.1 to 127.0.0.2 peer 127.0.0.2 psk "unused"\n'
_CONFIGURATION = """
set nomobike
set {fragmentation}
set dpd_check_interval 2
ikev2 "net" {activity} {mode} {protocol} {networks} local {view.local} peer {view.peer} \\
    ikesa {ike} childsa {child} noesn srcid "{view.local_id}" dstid "{view.peer_id}" \\
    ikelifetime {suite.their_ike_lifetime} lifetime {suite.their_lifetime} psk "{psk}"
"""

_WORDS = {
    "3des_cbc": "3des",
    "aes128_cbc": "aes-128",
    "aes256_cbc": "aes-256",
    "aes128_gcm": "aes-128-gcm",
    "aes256_gcm": "aes-256-gcm",
    "hmac_sha1": "hmac-sha1",
    "hmac_sha2_256": "hmac-sha2-256",
}


class OpenIked:
    """One iked, whose only policy each cell replaces."""

    name = "OpenIKED"
    sends_at_once = True
    deletes_first = True
    rekeys_ah = True

    def __init__(self, site: Site, directory: Path, tree: Tree) -> None:
        self.site = site
        self._tree = tree
        self._file = directory / "iked.conf"
        self._socket = str(directory / "iked.sock")
        self._log = directory / "iked.log"
        self._view: View | None = None
        self._psk = ""
        self._process: subprocess.Popen | None = None
        self._read_from = 0

    @staticmethod
    def spoken(suite: Suite, tree: Tree) -> Suite | None:
        """The suite with a child that PF_KEY can carry; None where iked lacks what the suite is about.

        It narrows nothing that it is offered. AH, and a child SA for each of several networks, are left out.
        """
        lacks = suite.version == 1 or not suite.esp or suite.wide or suite.ids == "keyid" or suite.ppk
        if lacks or suite.additional or suite.children > 1 or suite.encryption not in _WORDS:
            return None
        if suite.esp_auth == "hmac_sha1":
            return suite
        return variant(suite, suite.name + " (ESP aes128-sha1)", esp="aes128_cbc", esp_auth="hmac_sha1")

    def start(self) -> None:
        # PF_KEY asks for every algorithm that the kernel lacks, at every SA: a process for each would take minutes.
        Path("/proc/sys/kernel/modprobe").write_text("\n")
        self._make_key()
        self._write(_IDLE)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.site.inside(*self._tree.inside("iked", "-dvv", "-f", str(self._file), "-s", self._socket)),
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while "compilation done" not in self.lines():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("iked did not start: " + self.lines())
            time.sleep(0.2)
        self.name = "OpenIKED {}".format(self._tree.name.partition("-")[2])

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(_WAIT)

    @contextlib.contextmanager
    def frozen(self):
        """Meanwhile the peer neither hears nor says anything: all of its processes."""
        family = [self._process.pid, *_children_of(self._process.pid)]
        _signal(family, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(family, signal.SIGCONT)

    # A cell

    def configure(self, view: View, psk: str) -> None:
        if view.local == self.site.private():
            pytest.skip("iked initiates from the address that its route suggests, which is not behind NAT here")
        self._read_from = self._log.stat().st_size
        self._view, self._psk = view, psk
        self._load("passive")

    def forget(self) -> None:
        self._ask("reset", "all")
        self._write(_IDLE)
        self._ask("reload")

    def up(self) -> str:
        """An active policy is begun as soon as it is loaded."""
        self._load("active")
        deadline = time.monotonic() + _WAIT
        while len(self.children()) < 1:
            if time.monotonic() > deadline:
                return self.lines()[-3000:]
            time.sleep(0.1)
        return ""

    def rekey(self) -> str:
        return ""

    def rekey_ike(self) -> str:
        return ""

    def demand_cookies(self) -> None:
        pytest.skip("iked never demands a cookie")

    def down(self) -> None:
        self._ask("reset", "sa")

    def children(self) -> list[str]:
        """The inbound half of each child."""
        return re.findall(r"sa_childsas: .* in .*", self._ask("show", "sa"))

    def lines(self) -> str:
        with self._log.open(errors="replace") as log:
            log.seek(self._read_from)
            return log.read()

    # Inside

    def _make_key(self) -> None:
        """The private key without which iked does not start, though a pre-shared key is all that it uses."""
        directory = self._tree.directory / "etc" / "iked" / "private"
        run("mount", "-t", "tmpfs", "private", str(directory))
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.TraditionalOpenSSL
        text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        (directory / "local.key").write_bytes(text)

    def _write(self, text: str) -> None:
        self._file.write_text(text)
        self._file.chmod(0o600)

    def _load(self, activity: str) -> None:
        self._write(_configuration(self._view, self._psk, activity))
        self._ask("reload")

    def _ask(self, *words: str) -> str:
        command = self._tree.inside("ikectl", "-s", self._socket, *words)
        return subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def _children_of(pid: int) -> list[int]:
    return [int(one) for one in Path("/proc/{0}/task/{0}/children".format(pid)).read_text().split()]


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        subprocess.run(["kill", "-{}".format(int(number)), str(pid)], check=True)


def _configuration(view: View, psk: str, activity: str) -> str:
    suite = view.suite
    return _CONFIGURATION.format(
        suite=suite,
        view=view,
        psk=psk,
        activity=activity,
        mode="transport" if suite.mode == "transport" else "tunnel",
        protocol="esp" if suite.esp else "ah",
        networks=" ".join(_network(suite, *pair) for pair in view.networks),
        ike=_ike(suite),
        child=_child(suite),
        fragmentation="fragmentation" if suite.fragments else "nofragmentation",
    )


def _network(suite: Suite, local: str, peer: str) -> str:
    if suite.wide:
        local, peer = wide(local), wide(peer)
    return "from {} to {}".format(local, peer)


def _ike(suite: Suite) -> str:
    words = ["enc", _WORDS[suite.encryption], "prf", _WORDS[suite.prf], "group", suite.group]
    return " ".join(words + (["auth", _WORDS[suite.hash]] if suite.hash else []))


def _child(suite: Suite) -> str:
    words = ["enc", _WORDS[suite.esp]] if suite.esp else []
    words += ["auth", _WORDS[suite.esp_auth]] if suite.esp_auth else []
    return " ".join(words + (["group", suite.group] if suite.pfs else []))
