# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Libreswan's pluto at its site, driven by addconn and whack."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from pathlib import Path

from tests.interop.network import Site, run
from tests.interop.suites import Suite, View

_WAIT = 20.0
_TOOLS = Path("/usr/libexec/ipsec")

_CONFIGURATION = """
config setup
    ikev1-policy=accept
    nssdir={directory}
    logfile={directory}/pluto.log
    uniqueids=no
    listen-tcp=no

conn net
    left={view.local}
    right={view.peer}
    leftid={at}{view.local_id}
    rightid={at}{view.peer_id}
    {subnets}
    authby=secret
    ikev2=no
    auto=ignore
    ike={ike}
    phase2={protocol}
    phase2alg={algorithms}
    pfs={pfs}
    type={view.suite.mode}
    fragmentation={fragmentation}
    aggressive={aggressive}
    sha2-truncbug={truncation}
    leftupdown=%disabled
    rekey=no
    retransmit-timeout=10s
    nat-keepalive=no
    dpddelay=2
    dpdtimeout=30
    dpdaction=clear
"""

_WORDS = {
    "3des_cbc": "3des",
    "aes128_cbc": "aes128",
    "aes256_cbc": "aes256",
    "aes128_gcm": "aes_gcm128",
    "null_enc": "null",
    "sha2_256": "sha2_256",
    "hmac_sha1": "sha1",
    "hmac_sha2_256": "sha2_256",
    "hmac_sha2_256_96": "sha2_256",
    "ecp256": "dh19",
}


class Libreswan:
    """One pluto, whose only connection each cell replaces."""

    name = "Libreswan"

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        self._directory = directory
        self._file = directory / "ipsec.conf"
        self._secrets = directory / "ipsec.secrets"
        self._log = directory / "pluto.log"
        self._process: subprocess.Popen | None = None
        self._read_from = 0

    def start(self) -> None:
        self._file.write_text("config setup\n    ikev1-policy=accept\n")
        self._secrets.touch(0o600)
        run("certutil", "-N", "-d", "sql:{}".format(self._directory), "--empty-password")
        self._process = subprocess.Popen(
            self.site.inside(
                str(_TOOLS / "pluto"), "--nofork", "--config", str(self._file), "--secretsfile", str(self._secrets),
                "--nssdir", str(self._directory), "--rundir", str(self._directory), "--logfile", str(self._log),
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + _WAIT
        while "listening for IKE messages" not in self._whack("--listen"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("pluto did not start: " + self.lines())
            time.sleep(0.2)
        self.name = "Libreswan {}".format(re.search(r"Libreswan Version (\S+)", self.lines()).group(1))

    def stop(self) -> None:
        self._whack("--shutdown")
        self._process.wait(_WAIT)

    @contextlib.contextmanager
    def frozen(self):
        """Meanwhile the peer neither hears nor says anything."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    # A cell

    def configure(self, view: View, psk: str) -> None:
        self._read_from = self._log.stat().st_size
        self._secrets.write_text(': PSK "{}"\n'.format(psk))
        self._whack("--rereadsecrets")
        self._file.write_text(_connection(view, self._directory))
        command = [str(_TOOLS / "addconn"), "--config", str(self._file), "--ctlsocket", self._socket(), "net"]
        run(*command)

    def forget(self) -> None:
        self._whack("--name", "net", "--delete")

    def up(self) -> str:
        said = self._whack("--name", "net", "--initiate", "--async")
        return "" if self._established_in(_WAIT) else said + self.lines()

    def rekey(self) -> str:
        """A second quick mode of the connection: what pluto itself does when an IKEv1 child grows old."""
        self._whack("--name", "net", "--initiate", "--async")
        return ""

    def down(self) -> None:
        self._whack("--name", "net", "--terminate")

    def established(self) -> bool:
        return "ISAKMP SA established" in self._whack("--showstates")

    def children(self) -> list[str]:
        """The children of the connection that carry traffic."""
        return [line for line in self._whack("--trafficstatus").splitlines() if '"net"' in line]

    def lines(self) -> str:
        if not self._log.exists():
            return ""
        with self._log.open(errors="replace") as log:
            log.seek(self._read_from)
            return log.read()

    # Inside

    def _socket(self) -> str:
        return str(self._directory / "pluto.ctl")

    def _whack(self, *arguments: str) -> str:
        return subprocess.run(
            [str(_TOOLS / "whack"), "--ctlsocket", self._socket(), *arguments],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_WAIT,
        ).stdout

    def _established_in(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.children():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


def _connection(view: View, directory: Path) -> str:
    suite = view.suite
    subnets = "leftsubnet={}\n    rightsubnet={}".format(view.local_net, view.peer_net)
    words = (suite.encryption, suite.hash, suite.group)
    return _CONFIGURATION.format(
        directory=directory,
        view=view,
        at="@" if suite.ids == "fqdn" else "",
        subnets=subnets if suite.mode == "tunnel" else "",
        ike="{}-{};{}".format(*(_WORDS.get(word, word) for word in words)),
        protocol="esp" if suite.esp else "ah",
        algorithms=_algorithms(suite),
        pfs="yes" if suite.pfs else "no",
        aggressive="yes" if suite.aggressive else "no",
        fragmentation="yes" if suite.fragments else "no",
        truncation="yes" if suite.esp_auth == "hmac_sha2_256_96" else "no",
    )


def _algorithms(suite: Suite) -> str:
    words = [_WORDS[word] for word in (suite.esp, suite.esp_auth) if word]
    return "-".join(words) + (";{}".format(_WORDS.get(suite.group, suite.group)) if suite.pfs else "")
