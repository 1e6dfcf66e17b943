"""A FreeBSD machine of the lab: two boots, the first for its seed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.freebsd.image import FreebsdImage
from lab.freebsd.seed import write_seed
from lab.keys import Keys
from lab.machine import Machine, MachineError
from lab.topology import Site

FIRST_BOOT_LIMIT = 1800  # seconds, software emulation included: it grows the disk and makes keys
DISK_SIZE = "16G"  # sparse; growfs(8) fills it at the first boot


@dataclass(frozen=True)
class FreebsdMachine(Machine):
    """The machine of one site, from an image with nuageinit. `others` are the sites that it has to reach.

    The first boot is cut off from everything: the image would update itself and boot again. From the second on the
    management card leads to the host's network, because packages have to come from somewhere.
    """

    others: tuple[Site, ...] = ()

    boot_limit = 900

    def start(self, image: FreebsdImage, keys: Keys, accelerators: list[str]) -> bool:
        """Boot `image`, prepared once for this site. A machine that already runs just so is kept: then False."""
        write_seed(self.seed_path, self.site, self.others, keys)
        user_data = (self.seed_path.with_suffix(".d") / "user-data").read_bytes()
        digest = self.boot_digest(image.digest, accelerators, user_data)
        if self.runs(digest):
            return False
        self.stop()
        self._make_disk(image)
        self._first_boot(accelerators)
        self.launch(self._second_command(accelerators), digest)
        return True

    @property
    def seed_path(self) -> Path:
        return self.directory / "seed.iso"

    @property
    def first_console_path(self) -> Path:
        """The console of the first boot."""
        return self.directory / "console-first.log"

    @property
    def disk_path(self) -> Path:
        """What the machine writes; the image stays as it is."""
        return self.directory / "disk.qcow2"

    def _make_disk(self, image: FreebsdImage) -> None:
        self.disk_path.unlink(missing_ok=True)
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image.disk), "-F", image.format]
        subprocess.run([*command, str(self.disk_path), DISK_SIZE], check=True)

    def _first_boot(self, accelerators: list[str]) -> None:
        """Returns when the seed's script has powered the machine off."""
        log_path = self.directory / "qemu.log"
        environment = {**os.environ, "TMPDIR": str(self.directory)}
        with log_path.open("wb") as log:
            try:
                status = subprocess.call(
                    self._first_command(accelerators),
                    cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    timeout=FIRST_BOOT_LIMIT,
                )  # fmt: skip
            except subprocess.TimeoutExpired as error:
                text = f"{self.site.name}: the seed hasn't ended the first boot in {FIRST_BOOT_LIMIT} s"
                raise MachineError(f"{text}, see {self.first_console_path}") from error
        if status:
            raise MachineError(f"{self.site.name}: QEMU: {log_path.read_text().strip()}")

    def _first_command(self, accelerators: list[str]) -> list[str]:
        cd = ["-drive", f"file={self.seed_path},format=raw,if=none,id=seed,readonly=on"]
        cd += ["-device", "ide-cd,drive=seed"]
        return [*self._hardware(accelerators, self.first_console_path), *self.cards(["restrict=on"]), *cd, "-no-reboot"]

    def _second_command(self, accelerators: list[str]) -> list[str]:
        forwarded = [f"hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22"]
        return [*self._hardware(accelerators, self.console_path), *self.cards(forwarded), "-daemonize"]

    def _hardware(self, accelerators: list[str], console: Path) -> list[str]:
        """Booted by BIOS from its disk. A display that nobody sees keeps the loader's second console content."""
        disk = ["-drive", f"file={self.disk_path},format=qcow2,if=virtio,cache=unsafe"]
        return [*self.qemu(accelerators, console, memory=1024), *disk, "-vga", "std"]
