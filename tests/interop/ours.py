# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our daemon at its site: one process, whose configuration each cell replaces."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from ike.cli import event_text
from ike.cli.ctl import ask
from tests.interop.network import START_SECONDS, Site
from tests.interop.suites import PPK, PPK_ID, Suite, View

_WAIT = 20.0
_DPD = "dpd_delay 2 sec; dpd_retry 2 sec; dpd_maxfail 3;"

_FRAME = """
interface {{
    ike {{
        {address} port 500; {address} port 4500;
        {private} port 500; {private} port 4500;
        {address6} port 500; {address6} port 4500;
    }};
    spmd {{ unix "/run/spmif"; }};
    spmd_password "{directory}/psk";
}};
"""

_TUNNEL = """
remote peer {{
    acceptable_kmp {{ ikev{suite.version}; }};
    ikev{suite.version} {{
        my_id {id_type} "{view.local_id}";
        peers_id {id_type} "{view.peer_id}";
        verify_id on;
        peers_ipaddr {view.peer} port 500;
        kmp_enc_alg {{ {suite.encryption}; }};
        {version_s_own}
        kmp_dh_group {{ {suite.group}; }};
        kmp_auth_method {{ psk; }};
        pre_shared_key "{directory}/psk";
        need_pfs {pfs};
        kmp_sa_lifetime_time {suite.ike_lifetime} sec;
        max_retry_to_send 3;
    }};
}};
policy net {{
    action auto_ipsec;
    remote_index peer;
    ipsec_mode {suite.mode};
    ipsec_index {{ protection; }};
    ipsec_level require;
    my_sa_ipaddr {view.local};
    peers_sa_ipaddr {view.peer};
    child_per {child_per};
}};
{selectors}
ipsec protection {{ ipsec_sa_lifetime_time 3600 sec; sa_index algorithms; }};
sa algorithms {{ {algorithms} }};
"""

_SELECTORS = """
selector net_{number}_out {{ direction outbound; src {local}; dst {peer}; policy_index net; }};
selector net_{number}_in {{ direction inbound; src {peer}; dst {local}; policy_index net; }};
"""


class Ours:
    """``configure`` for a cell, then ``up``, ``rekey``, ``down``; ``children`` and ``lines`` tell what came of it."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        self._directory = directory
        self._control = str(directory / "control.sock")
        self._file = directory / "racoon2.conf"
        self._log = directory / "iked.log"
        self._process: subprocess.Popen | None = None
        self._read_from = 0

    def start(self) -> None:
        self._write("", "unused")
        command = self.site.inside(
            sys.executable, "-m", "ike", "iked", "-F", "-D", "1", "-f", str(self._file), "--control", self._control
        )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stderr=log, env={**os.environ, "PYTHONPATH": "plugins/module_utils"}
            )
        deadline = time.monotonic() + START_SECONDS
        while "ready:" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("our daemon did not start: " + self._log.read_text())
            time.sleep(0.05)

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(_WAIT)

    # A cell

    def configure(self, view: View, psk: str) -> None:
        """Take on a cell's tunnel."""
        self._read_from = self._log.stat().st_size
        self._write(_tunnel(view, self._directory), psk)
        self._ask("reload")

    def forget(self) -> None:
        """Take the tunnel down and leave nothing of it."""
        self._write("", "unused")
        self._ask("reload")

    def up(self) -> str:
        """Why the tunnel is not up; "" once it is."""
        return self._try("up", name="net", wait=_WAIT)

    def rekey(self) -> str:
        return self._try("rekey", name="net", wait=_WAIT)

    def down(self) -> None:
        self._ask("down", name="net")

    def status(self) -> dict:
        return self._ask("status")["status"]

    def children(self) -> list[dict]:
        """The child SAs that carry traffic."""
        return [child for child in self._all_children() if child["state"] == "up"]

    def replaced(self) -> list[dict]:
        """Those that younger ones have replaced, and that are there still."""
        return [child for child in self._all_children() if child["state"] != "up"]

    def established(self) -> list[dict]:
        return [one for one in self.status()["ike_sas"] if one["state"] == "established"]

    def lines(self) -> str:
        """What the daemon has logged since this cell began."""
        with self._log.open() as log:
            log.seek(self._read_from)
            return log.read()

    def trace(self) -> str:
        """The last packets of the peer, decoded, as far as the daemon knows it by this cell's configuration."""
        answer = ask(self._control, {"command": "trace", "name": "peer"}, _WAIT)
        return "\n".join(event_text.packets(answer.get("packets", []), time.time()))

    # Inside

    def _all_children(self) -> list[dict]:
        """Each once, though several selectors may share it."""
        found = {child["spi_in"]: child for tunnel in self.status()["tunnels"] for child in tunnel["child_sas"]}
        return list(found.values())

    def _write(self, tunnel: str, psk: str) -> None:
        for name, content in (("psk", psk), ("ppk", PPK)):
            key = self._directory / name
            key.write_text(content)
            key.chmod(0o600)
        frame = _FRAME.format(
            address=self.site.address(),
            private=self.site.private(),
            address6=self.site.address(6),
            directory=self._directory,
        )
        self._file.write_text(frame + tunnel)

    def _try(self, command: str, **arguments) -> str:
        answer = ask(self._control, {"command": command, **arguments}, _WAIT + 5)
        return "" if answer.get("ok") else answer.get("error", "no reason given")

    def _ask(self, command: str, **arguments) -> dict:
        answer = ask(self._control, {"command": command, **arguments}, _WAIT + 5)
        if not answer.get("ok"):
            raise RuntimeError("{}: {}\n{}".format(command, answer.get("error"), self.lines()))
        return answer


def _tunnel(view: View, directory: Path) -> str:
    suite = view.suite
    return _TUNNEL.format(
        suite=suite,
        view=view,
        id_type="keyid tag" if suite.ids == "keyid" else suite.ids,
        selectors="".join(
            _SELECTORS.format(number=number, local=local, peer=peer)
            for number, (local, peer) in enumerate(view.networks)
        ),
        version_s_own=_version_s_own(suite, directory),
        pfs="on" if suite.pfs else "off",
        child_per="policy" if suite.shared else "selector",
        algorithms=_algorithms(suite),
        directory=directory,
    )


def _version_s_own(suite: Suite, directory: Path) -> str:
    if suite.version == 1:
        mode = "aggressive" if suite.aggressive else "main"
        return "kmp_hash_alg {{ {}; }}; exchange_mode {}; proposal_check claim; {}".format(suite.hash, mode, _DPD)
    text = "kmp_prf_alg {{ {}; }}; cookie_required {};".format(suite.prf, "on" if suite.cookies else "off")
    if suite.additional:
        text += " additional_ke1 {{ {}; }};".format(suite.additional)
    if suite.ppk:
        text += ' ppk "{}/ppk"; ppk_id "{}"; ppk_required on;'.format(directory, PPK_ID)
    return text + (" kmp_hash_alg {{ {}; }};".format(suite.hash) if suite.hash else "")


def _algorithms(suite: Suite) -> str:
    if not suite.esp:
        return "sa_protocol ah; ah_auth_alg {{ {}; }};".format(suite.esp_auth)
    text = "sa_protocol esp; esp_enc_alg {{ {}; }};".format(suite.esp)
    return text + (" esp_auth_alg {{ {}; }};".format(suite.esp_auth) if suite.esp_auth else "")
