# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Libreswan's pluto at its site, driven by addconn and whack."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from pathlib import Path

from tests.interop.network import Site
from tests.interop.pluto import Pluto
from tests.interop.suites import PPK, PPK_ID, Suite, View, wide
from tests.interop.trees import Tree

_WAIT = 20.0

_SETUP = """
config setup
    ikev1-policy=accept
    nssdir={directory}
    logfile={directory}/pluto.log
    uniqueids=no
    listen-tcp=no
"""

_CONNECTION = """
conn {name}
    left={view.local}
    right={view.peer}
    leftid={local_id}
    rightid={peer_id}
    {subnets}
    authby=secret
    ikev2={ikev2}
    ppk={ppk}
    {narrowing}
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
    "aes256_gcm": "aes_gcm256",
    "chacha20_poly1305": "chacha20_poly1305",
    "null_enc": "null",
    "sha2_256": "sha2_256",
    "hmac_sha1": "sha1",
    "hmac_sha2_256": "sha2_256",
    "hmac_sha2_256_96": "sha2_256",
    "ecp256": "dh19",
    "curve25519": "dh31",
}


class Libreswan:
    """One pluto, whose only connection each cell replaces."""

    name = "Libreswan"
    sends_at_once = True
    deletes_first = False
    rekeys_ah = False  # it deletes SPI 0 in place of the old child; 5.2 then ends the IKE SA without a word

    def __init__(self, site: Site, directory: Path, tree: Tree) -> None:
        self.site = site
        self._pluto = Pluto(tree, directory, site.inside())
        self._names: list[str] = []
        self._version = 0
        self._rekey_child = ""
        self._read_from = 0

    @staticmethod
    def spoken(suite: Suite, tree: Tree) -> Suite | None:
        """The suite; None where it has an additional key exchange, which no pluto here knows, or one child SA for all.

        Libreswan 5 has lists of subnets: nobody tried them.
        """
        return None if suite.additional or suite.shared else suite

    def start(self) -> None:
        self._configure("")
        self._pluto.start()
        version = re.search(r"Libreswan Version (\S+)", self.lines()).group(1)
        self.name = "Libreswan {}".format(version)
        self._rekey_child = "--rekey-ipsec" if version.startswith("4.") else "--rekey-child"

    def stop(self) -> None:
        self._pluto.stop()

    @contextlib.contextmanager
    def frozen(self):
        """Meanwhile the peer neither hears nor says anything."""
        self._pluto.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._pluto.process.send_signal(signal.SIGCONT)

    # A cell

    def configure(self, view: View, psk: str) -> None:
        self._read_from = self._pluto.log.stat().st_size
        self._pluto.secrets.write_text(': PSK "{}"\n: PPKS "{}" "{}"\n'.format(psk, PPK_ID, PPK))
        self._pluto.whack("--rereadsecrets")
        connections = _connections(view)
        self._names, self._version = list(connections), view.suite.version
        self._configure("".join(connections.values()))
        self._pluto.load(*self._names)

    def forget(self) -> None:
        for name in self._names:
            self._pluto.whack("--name", name, "--delete")
        self._pluto.whack("--ddos-auto")

    def up(self) -> str:
        said = "".join(self._pluto.whack("--name", name, "--initiate", "--async") for name in self._names)
        return "" if self._established_in(_WAIT) else said + self.lines()

    def rekey(self) -> str:
        """With IKEv1 a second quick mode of the connection: what pluto itself does when a child grows old."""
        how = ["--initiate", "--async"] if self._version == 1 else [self._rekey_child, "--async"]
        self._pluto.whack("--name", self._names[0], *how)
        return ""

    def rekey_ike(self) -> str:
        self._pluto.whack("--name", self._names[0], "--rekey-ike", "--async")
        return ""

    def demand_cookies(self) -> None:
        self._pluto.whack("--ddos-busy")

    def down(self) -> None:
        for name in self._names:
            self._pluto.whack("--name", name, "--terminate")

    def established(self) -> bool:
        states = self._pluto.whack("--showstates")
        return "ISAKMP SA established" in states or "established IKE SA" in states

    def children(self) -> list[str]:
        """The children of the connections that carry traffic."""
        return [line for line in self._pluto.whack("--trafficstatus").splitlines() if '"net-' in line]

    def lines(self) -> str:
        return self._pluto.lines(self._read_from)

    # Inside

    def _configure(self, connections: str) -> None:
        self._pluto.configuration.write_text(_SETUP.format(directory=self._pluto.directory) + connections)

    def _established_in(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while len(self.children()) < len(self._names):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


def _connections(view: View) -> dict[str, str]:
    suite = view.suite
    words = (suite.encryption, suite.hash if suite.version == 1 else suite.prf, suite.group)
    connections = {}
    for number, (local, peer) in enumerate(view.networks):
        name = "net-{}".format(number)
        networks = (wide(local), wide(peer)) if suite.wide else (local, peer)
        connections[name] = _CONNECTION.format(
            name=name,
            view=view,
            local_id=_id(suite, view.local_id),
            peer_id=_id(suite, view.peer_id),
            ikev2="no" if suite.version == 1 else "yes",
            narrowing="narrowing=yes" if suite.wide else "",
            ppk="insist" if suite.ppk else "no",
            subnets="leftsubnet={}\n    rightsubnet={}".format(*networks) if suite.mode == "tunnel" else "",
            ike="{}-{};{}".format(*(_WORDS.get(word, word) for word in words)),
            protocol="esp" if suite.esp else "ah",
            algorithms=_algorithms(suite),
            pfs="yes" if suite.pfs else "no",
            aggressive="yes" if suite.aggressive else "no",
            fragmentation="force" if suite.fragments else "no",
            truncation="yes" if suite.esp_auth == "hmac_sha2_256_96" else "no",
        )
    return connections


def _id(suite: Suite, name: str) -> str:
    return {"ipaddr": "{}", "fqdn": "@{}", "keyid": "@[{}]"}[suite.ids].format(name)


def _algorithms(suite: Suite) -> str:
    words = [_WORDS[word] for word in (suite.esp, suite.esp_auth) if word]
    return "-".join(words) + (";{}".format(_WORDS.get(suite.group, suite.group)) if suite.pfs else "")
