"""A lab: the machines of some sites, the internet between them and one folder that holds their state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab import ssh
from lab.accelerator import choose_accelerators
from lab.image.build import Image
from lab.internet.client import Internet
from lab.keys import ensure_keys
from lab.machine import Machine
from lab.seed import build_seed
from lab.topology import SITES, Site

ROOT = Path(__file__).resolve().parents[1]
DEMO_DIRECTORY = ROOT / "build/lab"
IMAGES = ROOT / "build/lab/images"


@dataclass(frozen=True)
class Lab:
    """All that runs for `sites`; `directory` is absolute. Two labs with two folders don't touch each other."""

    directory: Path
    sites: tuple[Site, ...] = SITES

    @property
    def machines(self) -> list[Machine]:
        return [Machine(site, self.directory / "machines" / site.name) for site in self.sites]

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
        booted = {m.site.name: m.start(image, build_seed(m.site, keys), accelerators) for m in machines}
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
