"""One virtual machine of the lab: start it, wait until it can be reached, stop it by its process id."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lab import processes
from lab.accelerator import cpu_model
from lab.image.build import Image
from lab.keys import Keys
from lab.seed import build_seed
from lab.topology import Site

BOOT_LIMIT = 180  # seconds, software emulation on a busy machine included
KERNEL_ARGUMENTS = (
    "root=/dev/vda console=ttyS0 quiet loglevel=5 net.ifnames=0 mitigations=off random.trust_cpu=on"
    " systemd.show_status=no systemd.log_target=kmsg"
)


class MachineError(Exception):
    """A machine that doesn't start or can't be reached; the text says where to look."""


@dataclass(frozen=True)
class Machine:
    """The machine of one site; its state lives in `directory`."""

    site: Site
    directory: Path

    boot_limit: ClassVar[int] = BOOT_LIMIT

    @property
    def pid_path(self) -> Path:
        return self.directory / "pid"

    @property
    def console_path(self) -> Path:
        return self.directory / "console.log"

    @property
    def outside_socket(self) -> Path:
        """Where QEMU listens for the internet: frames of the outside card, each after its length (4 bytes)."""
        return self.directory / "outside.sock"

    @property
    def pid(self) -> int | None:
        """The running QEMU's process id, or None."""
        return processes.running(self.pid_path)

    @property
    def ssh_port(self) -> int:
        """The port on 127.0.0.1 that leads to the machine's sshd: chosen once, then kept."""
        path = self.directory / "ssh_port"
        if not path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{_free_port()}\n")
        return int(path.read_text())

    def start(self, image: Image, keys: Keys, accelerators: list[str]) -> bool:
        """Boot from `image` with the site's seed over it. A machine that already runs just so is kept: then False."""
        seed = build_seed(self.site, keys)
        digest = self.boot_digest(image.digest, accelerators, seed)
        if self.runs(digest):
            return False
        self.stop()
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "initramfs").write_bytes(image.initramfs.read_bytes() + seed)
        self.launch(self._command(image, accelerators), digest)
        return True

    def boot_digest(self, image: str, accelerators: list[str], seed: bytes) -> str:
        """What tells a boot from another one."""
        return hashlib.sha256(json.dumps([image, accelerators]).encode() + seed).hexdigest()

    def runs(self, digest: str) -> bool:
        """Whether the machine runs, from that boot."""
        return bool(self.pid and self._digest_path.exists() and self._digest_path.read_text() == digest)

    @property
    def _digest_path(self) -> Path:
        return self.directory / "boot.sha256"

    def launch(self, command: list[str], digest: str) -> None:
        """Run a QEMU that goes into the background."""
        environment = {**os.environ, "TMPDIR": str(self.directory)}
        log_path = self.directory / "qemu.log"
        with log_path.open("wb") as log:
            status = subprocess.call(
                command, cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if status:
            raise MachineError(f"{self.site.name}: QEMU doesn't start: {log_path.read_text().strip()}")
        self._digest_path.write_text(digest)

    def wait(self) -> None:
        """Return when sshd answers; MachineError when it doesn't in time."""
        deadline = time.monotonic() + self.boot_limit
        while not _answers(self.ssh_port):
            if not self.pid:
                raise MachineError(f"{self.site.name}: QEMU ended while booting, see {self.console_path}")
            if time.monotonic() > deadline:
                raise MachineError(f"{self.site.name}: no sshd after {self.boot_limit} s, see {self.console_path}")
            time.sleep(0.3)

    def stop(self) -> bool:
        """End the machine as a power cut would. False when it wasn't running."""
        stopped = processes.end(self.pid_path, signal.SIGTERM)
        self.outside_socket.unlink(missing_ok=True)
        return stopped

    def qemu(self, accelerators: list[str], console: Path, memory: int = 512) -> list[str]:
        """The words that every machine's QEMU begins with; `memory` in MB."""
        command = ["qemu-system-x86_64", "-name", f"tanuki-lab-{self.site.name}", "-pidfile", str(self.pid_path)]
        command += ["-M", "q35", "-m", str(memory), "-nodefaults", "-no-user-config", "-display", "none"]
        command += ["-cpu", cpu_model(accelerators), "-smp", _processors(accelerators)]
        command += [word for accelerator in accelerators for word in ("-accel", accelerator)]
        return [*command, "-device", "virtio-rng-pci", "-serial", f"file:{console}"]

    def cards(self, management: list[str]) -> list[str]:
        """The network cards, with the options of the one for management (QEMU's user-mode network)."""
        inside = ",".join(["user,id=management,ipv6=off", *management])
        # A relative path: a unix socket's path is at most 107 bytes long.
        outside = f"stream,id=outside,server=on,addr.type=unix,addr.path={self.outside_socket.name}"
        command = ["-netdev", inside, "-device", _card("management", self.site.mac(0))]
        return [*command, "-netdev", outside, "-device", _card("outside", self.site.mac(1))]

    def _command(self, image: Image, accelerators: list[str]) -> list[str]:
        command = self.qemu(accelerators, self.console_path)
        command += ["-kernel", str(image.kernel), "-initrd", "initramfs", "-append", KERNEL_ARGUMENTS]
        # Nobody writes to the image. QEMU's locks on it get into each other's way where two labs start at once.
        command += ["-drive", f"file={image.disk},file.locking=off,format=raw,if=virtio,snapshot=on,cache=unsafe"]
        command += self.cards(["restrict=on", f"hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22"])
        return [*command, "-daemonize"]


def _processors(accelerators: list[str]) -> str:
    """How many; two emulated ones were seen to wait for each other for ever, on a host that is busy otherwise."""
    return "2" if "kvm" in accelerators else "1"


def _card(netdev: str, mac: str) -> str:
    """A network card; without its option ROM, which would only offer to boot from the network."""
    return f"virtio-net-pci,netdev={netdev},mac={mac},romfile="


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    """True when a banner of SSH comes back. QEMU accepts the connection long before the machine does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
