# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""strongSwan's charon at its site, driven over vici."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import vici

from tests.interop.network import START_SECONDS, TOKYO, Site
from tests.interop.suites import PPK, PPK_ID, Suite, View, wide
from tests.interop.trees import TESTING, Tree
from tests.namespaces import inside
from tests.unit.exchange.world import world

_WAIT = 20.0

_SETTINGS = """
charon-systemd {{
    load = random nonce openssl pem pkcs1 pubkey x509 curve25519 chapoly drbg kdf hmac sha1 sha2 aes gcm \
kernel-netlink socket-default vici
    install_routes = no
    i_dont_care_about_security_and_use_aggressive_mode_psk = yes
    retransmit_tries = 3
    retransmit_timeout = 2
    cookie_threshold = 1
    delete_rekeyed_delay = 1
    plugins {{ vici {{ socket = unix://{socket} }} }}
    filelog {{
        log {{
            path = {log}
            append = yes
            flush_line = yes
        }}
    }}
}}
"""

_WORDS = {
    "3des_cbc": "3des",
    "aes128_cbc": "aes128",
    "aes256_cbc": "aes256",
    "aes128_gcm": "aes128gcm16",
    "aes256_gcm": "aes256gcm16",
    "chacha20_poly1305": "chacha20poly1305",
    "curve25519": "x25519",
    "null_enc": "null",
    "sha1": "sha1",
    "sha2_256": "sha256",
    "hmac_sha1": "sha1",
    "hmac_sha2_256": "sha256",
    "hmac_sha2_256_96": "sha256",
}


class StrongSwan:
    """One charon, whose configuration each cell replaces."""

    name = "strongSwan"
    sends_at_once = False  # as the responder of a rekey on the new child, though the initiator may not have it yet
    deletes_first = False  # as the initiator of a rekey the old child, before it has the new one
    rekeys_ah = True  # in IKEv2

    def __init__(self, site: Site, directory: Path, tree: Tree) -> None:
        self.site = site
        self._tree = tree
        self._directory = directory
        self._socket = str(directory / "charon.vici")
        self._log = directory / "charon.log"
        self._settings = directory / "strongswan.conf"
        self._children: list[str] = []
        self._process: subprocess.Popen | None = None
        self._read_from = 0

    @staticmethod
    def spoken(suite: Suite, tree: Tree) -> Suite | None:
        """The suite; None where this charon can't.

        Additional key exchanges came with 6.0; Debian's has ML-KEM since OpenSSL's serves, after 6.0.1.
        """
        if suite.additional == "mlkem768":
            return suite if tree is TESTING else None
        return None if suite.additional and tree.name == "strongswan-5.9" else suite

    def start(self) -> None:
        self._log.touch()
        self._settings.write_text(_SETTINGS.format(socket=self._socket, log=self._log))
        self._process = subprocess.Popen(
            self.site.inside(*self._tree.inside("charon-systemd")),
            env={**os.environ, "STRONGSWAN_CONF": str(self._settings)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                version = self._session().version()
                break
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.name = "strongSwan {}".format(version["version"].decode())

    def stop(self) -> None:
        self._process.terminate()
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
        session = self._session()
        session.load_shared({"type": "IKE", "data": psk, "owners": list(_ids(view))})
        session.load_shared({"type": "PPK", "data": PPK, "owners": [PPK_ID]})
        session.load_conn({"peer": _connection(view)})
        self._children = list(_children(view))

    def forget(self) -> None:
        self._try("unload_conn", {"name": "peer"})
        self._try("clear_creds")
        self._try("terminate", {"ike": "peer", "force": "yes"})

    def up(self) -> str:
        wait = str(int(_WAIT * 1000))
        return "".join(self._try("initiate", {"child": name, "timeout": wait}) for name in self._children)

    def rekey(self) -> str:
        return self._try("rekey", {"child": self._children[0]})

    def rekey_ike(self) -> str:
        return self._try("rekey", {"ike": "peer"})

    def demand_cookies(self) -> None:
        """It does while anybody is half open: somebody at our address sends a first message, and no other."""
        stranger = world(self._directory, version=2).tokyo
        stranger.engine.up("net", 0.0, lambda success, reason: None)
        _path, datagram = stranger.engine.outbox.popleft()
        with inside(TOKYO.name):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.bind((TOKYO.address(), 0))
            sender.sendto(datagram, (self.site.address(), 500))
            sender.settimeout(_WAIT)
            sender.recv(65535)

    def down(self) -> None:
        for name in self._children:
            self._try("terminate", {"child": name})

    def established(self) -> bool:
        return any(sa["state"] == b"ESTABLISHED" for sa in self._sas())

    def children(self) -> list[dict]:
        """The installed children, each as {name: text}."""
        return [
            {name: value.decode() for name, value in child.items() if isinstance(value, bytes)}
            for sa in self._sas()
            for child in sa["child-sas"].values()
            if child["state"] == b"INSTALLED"
        ]

    def lines(self) -> str:
        with self._log.open(errors="replace") as log:
            log.seek(self._read_from)
            return log.read()

    # Inside

    def _session(self) -> vici.Session:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._socket)
        return vici.Session(connection)

    def _sas(self) -> list[dict]:
        return [sa for item in self._session().list_sas() for sa in item.values()]

    def _try(self, command: str, *arguments: dict) -> str:
        """Why charon did not do as told; "" where it did."""
        try:
            _last(getattr(self._session(), command)(*arguments))
        except vici.exception.CommandException as error:
            return str(error)
        return ""


def _last(messages) -> None:
    """Take a streamed command's log lines: its error comes with the last one."""
    for _message in messages or ():
        pass


def _ids(view: View) -> tuple[str, str]:
    prefix = "keyid:" if view.suite.ids == "keyid" else ""
    return prefix + view.local_id, prefix + view.peer_id


def _connection(view: View) -> dict:
    suite = view.suite
    local_id, peer_id = _ids(view)
    return {
        "version": str(suite.version),
        "local_addrs": [view.local],
        "remote_addrs": [view.peer],
        "proposals": [_ike(suite)],
        "aggressive": "yes" if suite.aggressive else "no",
        "dpd_delay": "2s",
        "dpd_timeout": "30s",
        "fragmentation": "yes" if suite.fragments or suite.additional else "no",
        "local": {"auth": "psk", "id": local_id},
        "remote": {"auth": "psk", "id": peer_id},
        "children": _children(view),
        **({"ppk_id": PPK_ID, "ppk_required": "yes"} if suite.ppk else {}),
    }


def _children(view: View) -> dict:
    suite = view.suite
    pairs = [(wide(local), wide(peer)) if suite.wide else (local, peer) for local, peer in view.networks]
    groups = [pairs] if suite.shared else [[pair] for pair in pairs]
    return {
        "net-{}".format(number): {
            "local_ts": [local for local, _peer in group],
            "remote_ts": [peer for _local, peer in group],
            "mode": suite.mode,
            "rekey_time": "3000s",
            "sha256_96": "yes" if suite.esp_auth == "hmac_sha2_256_96" else "no",
            **_algorithms(suite),
        }
        for number, group in enumerate(groups)
    }


def _ike(suite: Suite) -> str:
    prf = "prf" + _WORDS[suite.prf] if suite.prf else ""
    words = (suite.encryption, suite.hash, prf, suite.group)
    return "-".join([*(_WORDS.get(word, word) for word in words if word), *_additional(suite)])


def _additional(suite: Suite) -> list[str]:
    return ["ke1_" + suite.additional] if suite.additional else []


def _algorithms(suite: Suite) -> dict:
    words = [_WORDS[word] for word in (suite.esp, suite.esp_auth) if word]
    if suite.pfs:
        words += [_WORDS.get(suite.group, suite.group), *_additional(suite)]
    return {"esp_proposals" if suite.esp else "ah_proposals": ["-".join(words)]}
