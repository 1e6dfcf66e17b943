"""The two responders under test, each a process in the responder's namespace: our daemon, and Debian's charon."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.interop.trees import PEERS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "plugins" / "module_utils"
CHARON = PEERS["strongswan-5.9"]
_READY_SECONDS = 60.0

_STRONGSWAN_CONF = """
charon-systemd {{
    load = random nonce openssl pem pkcs1 pubkey x509 curve25519 drbg kdf hmac sha1 sha2 aes gcm kernel-libipsec \
kernel-netlink socket-default vici
    install_routes = no
    ikesa_table_size = 1024
    ikesa_table_segments = 16
    init_limit_half_open = 0
    cookie_threshold = 0
    block_threshold = 0
    plugins {{ vici {{ socket = unix://{socket} }} }}
    filelog {{ log {{ path = {log}; default = 0; flush_line = yes }} }}
}}
"""


class Responder:
    """A started process; its CPU time and memory are read from /proc."""

    name = ""

    def __init__(self, namespace: str, directory: Path) -> None:
        self.namespace = namespace
        self.directory = directory
        self.process: subprocess.Popen | None = None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def cpu_seconds(self) -> float:
        fields = Path("/proc/{}/stat".format(self.process.pid)).read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kilobytes(self) -> int:
        lines = Path("/proc/{}/status".format(self.process.pid)).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    def _start(self, command: list[str], environment: dict[str, str], ready: Callable[[], bool]) -> None:
        with (self.directory / "{}.out".format(self.name)).open("wb") as output:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *command],
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("{} did not start: {}".format(self.name, self.directory))
            time.sleep(0.1)


class Ours(Responder):
    """Our daemon with the simulated kernel: SAs are recorded, as charon's userspace ESP does."""

    name = "tanuki"

    def start(self, configuration: str) -> None:
        file = self.directory / "racoon2.conf"
        file.write_text(configuration)
        control = self.directory / "control.sock"
        command = [sys.executable, "-m", "ike", "iked", "-F", "-f", str(file), "--kernel", "none"]
        self._start([*command, "--control", str(control)], {"PYTHONPATH": str(PACKAGE)}, control.exists)


class Charon(Responder):
    """Debian's charon in its tree of Debian's files, in a mount namespace of its own."""

    name = "charon"

    def start(self, load: Callable[[str], None]) -> None:
        """``load(socket)`` gives it its connections over vici."""
        socket, settings = self.directory / "charon.vici", self.directory / "strongswan.conf"
        settings.write_text(_STRONGSWAN_CONF.format(socket=socket, log=self.directory / "charon.log"))
        script = "{}; exec {}".format(CHARON.opening, " ".join(CHARON.inside("charon-systemd")))
        self._start(["unshare", "--mount", "sh", "-c", script], {"STRONGSWAN_CONF": str(settings)}, socket.exists)
        load(str(socket))
