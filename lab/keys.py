"""The lab's SSH keys: made once per state folder, never part of an image."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Keys:
    """One key to log in with and one that all machines of this lab identify themselves with."""

    directory: Path

    @property
    def user_private_path(self) -> Path:
        return self.directory / "user"

    @property
    def known_hosts_path(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def user_public(self) -> str:
        return (self.directory / "user.pub").read_text()

    @property
    def host_private(self) -> str:
        return (self.directory / "host").read_text()

    @property
    def host_public(self) -> str:
        return (self.directory / "host.pub").read_text()


def ensure_keys(directory: Path) -> Keys:
    """The keys in `directory`, made if they aren't there."""
    keys = Keys(directory)
    if keys.known_hosts_path.exists():
        return keys
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("user", "host"):
        (directory / name).unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"tanuki-lab-{name}", "-f", name]
        subprocess.run(command, check=True, cwd=directory)
    keys.known_hosts_path.write_text(f"* {keys.host_public}")
    return keys
