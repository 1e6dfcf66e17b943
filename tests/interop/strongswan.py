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

from tests.interop.network import Site
from tests.interop.suites import Suite, View

_WAIT = 20.0

_SETTINGS = """
charon-systemd {{
    load = random nonce openssl pem pkcs1 pubkey x509 curve25519 chapoly drbg kdf hmac sha1 sha2 aes gcm \
kernel-netlink socket-default vici
    install_routes = no
    i_dont_care_about_security_and_use_aggressive_mode_psk = yes
    retransmit_tries = 3
    retransmit_timeout = 2
    fragment_size = 200
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

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        self._socket = str(directory / "charon.vici")
        self._log = directory / "charon.log"
        self._settings = directory / "strongswan.conf"
        self._process: subprocess.Popen | None = None
        self._read_from = 0

    def start(self) -> None:
        self._log.touch()
        self._settings.write_text(_SETTINGS.format(socket=self._socket, log=self._log))
        self._process = subprocess.Popen(
            self.site.inside("charon-systemd"),
            env={**os.environ, "STRONGSWAN_CONF": str(self._settings)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _WAIT
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
        session.load_shared({"type": "IKE", "data": psk, "owners": [view.peer_id, view.local_id]})
        session.load_conn({"peer": _connection(view)})

    def forget(self) -> None:
        self._try("unload_conn", {"name": "peer"})
        self._try("clear_creds")
        self._try("terminate", {"ike": "peer", "force": "yes"})

    def up(self) -> str:
        return self._try("initiate", {"child": "net", "timeout": str(int(_WAIT * 1000))})

    def rekey(self) -> str:
        return self._try("rekey", {"child": "net"})

    def down(self) -> None:
        self._try("terminate", {"child": "net"})

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


def _connection(view: View) -> dict:
    suite = view.suite
    child = {
        "local_ts": [view.local_net],
        "remote_ts": [view.peer_net],
        "mode": suite.mode,
        "rekey_time": "3000s",
        "sha256_96": "yes" if suite.esp_auth == "hmac_sha2_256_96" else "no",
        **_algorithms(suite),
    }
    return {
        "version": str(suite.version),
        "local_addrs": [view.local],
        "remote_addrs": [view.peer],
        "proposals": [_ike(suite)],
        "aggressive": "yes" if suite.aggressive else "no",
        "dpd_delay": "2s",
        "dpd_timeout": "30s",
        "fragmentation": "yes" if suite.fragments else "no",
        "local": {"auth": "psk", "id": view.local_id},
        "remote": {"auth": "psk", "id": view.peer_id},
        "children": {"net": child},
    }


def _ike(suite: Suite) -> str:
    prf = "prf" + _WORDS[suite.prf] if suite.prf else ""
    words = (suite.encryption, suite.hash, prf, suite.group)
    return "-".join(_WORDS.get(word, word) for word in words if word)


def _algorithms(suite: Suite) -> dict:
    words = [_WORDS[word] for word in (suite.esp, suite.esp_auth) if word]
    if suite.pfs:
        words.append(_WORDS.get(suite.group, suite.group))
    return {"esp_proposals" if suite.esp else "ah_proposals": ["-".join(words)]}
