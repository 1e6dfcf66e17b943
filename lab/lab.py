"""A lab: the machines of some sites, the internet between them and one folder that holds their state."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lab import ssh
from lab.accelerator import choose_accelerators
from lab.freebsd.image import FreebsdImage
from lab.freebsd.machine import FreebsdMachine
from lab.image.build import Image
from lab.internet.client import Internet
from lab.keys import ensure_keys
from lab.machine import Machine
from lab.topology import SITES, Site

ROOT = Path(__file__).resolve().parents[1]
DEMO_DIRECTORY = ROOT / "build/lab"
IMAGES = ROOT / "build/lab/images"


@dataclass(frozen=True)
class Lab:
    """All that runs for `sites`; `directory` is absolute. Two labs with two folders don't touch each other.

    `freebsd` has the sites, by name, that boot such an image; the others boot Debian.
    """

    directory: Path
    sites: tuple[Site, ...] = SITES
    freebsd: Mapping[str, FreebsdImage] = field(default_factory=dict)

    @property
    def machines(self) -> list[Machine]:
        return [self._machine(site) for site in self.sites]

    def _machine(self, site: Site) -> Machine:
        directory = self.directory / "machines" / site.name
        if site.name not in self.freebsd:
            return Machine(site, directory)
        return FreebsdMachine(site, directory, tuple(other for other in self.sites if other != site))

    @property
    def internet(self) -> Internet:
        return Internet(self.directory)

    @property
    def ssh_config_path(self) -> Path:
        return self.directory / "ssh_config"

    def up(self, image: Image) -> dict[str, bool]:
        """Start what doesn't run yet and wait for it: {site: True if booted, False if it ran already}."""
        self.directory.mkdir(parents=True, exist_ok=True)
        keys = ensure_keys(self.directory / "keys")
        accelerators = choose_accelerators(image, IMAGES / "accelerator.json")
        machines = self.machines
        sockets = self.directory / "ssh"
        sockets.mkdir(exist_ok=True)
        self.ssh_config_path.write_text(ssh.ssh_config(machines, keys, sockets))
        self.internet.start(machines)
        booted = {m.site.name: m.start(self.freebsd.get(m.site.name, image), keys, accelerators) for m in machines}
        with ThreadPoolExecutor() as pool:
            list(pool.map(Machine.wait, machines))
        return booted

    def down(self) -> list[str]:
        """Stop everything; the names of what ran."""
        stopped = [machine.site.name for machine in self.machines if machine.stop()]
        return stopped + (["internet"] if self.internet.stop() else [])

    def run(self, host: str, command: str, timeout: float = 60):
        """Run a shell command on a gateway or a LAN client ("tokyo-client")."""
        return ssh.run(self.ssh_config_path, host, command, timeout)
