"""Build the collection, install it into build/ and run its playbooks against a lab, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.lab import ROOT, Lab

BUILD = ROOT / "build"
COLLECTIONS = BUILD / "collections"
INVENTORY = ROOT / "lab/inventory/howto.yml"
DEFAULT_PROFILE = "modern"  # what an inventory gets that names none


class DeploymentError(Exception):
    """A step of the deployment failed; what it printed says why."""


@dataclass(frozen=True)
class Deployment:
    """The installed collection, aimed at the machines of `lab`."""

    lab: Lab
    profile: str = DEFAULT_PROFILE

    def install_collection(self) -> None:
        """Build the tarball from the checkout and install it where no other collection of the user's is seen."""
        packages = BUILD / "packages"
        self._run("ansible-galaxy", "collection", "build", "--force", "--output-path", str(packages), str(ROOT))
        newest = max(packages.glob("tanuki-ipsec-*.tar.gz"), key=lambda path: path.stat().st_mtime)
        self._run("ansible-galaxy", "collection", "install", "--force", "-p", str(COLLECTIONS), str(newest))

    def play(self, playbook: str, **variables: object) -> None:
        """Run one of the collection's playbooks ("tanuki.ipsec.site"), with these variables besides the lab's own."""
        variables = {"ipsec_profile": self.profile, "ipsec_psk_dir": str(self.lab.directory / "psk"), **variables}
        self._run("ansible-playbook", "-i", str(INVENTORY), "-e", json.dumps(variables), playbook)

    def _run(self, *command: str) -> None:
        # An ssh that stays behind for later connections leaves what it writes to non-blocking: Ansible refuses that.
        for stream in (1, 2):
            os.set_blocking(stream, True)
        if subprocess.call(command, env=self.environment(), stdin=subprocess.DEVNULL):
            raise DeploymentError(f"{command[0]} failed")

    def environment(self) -> dict[str, str]:
        """The environment of Ansible's commands: everything that they write stays inside the checkout."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(BUILD / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_SSH_ARGS": f"-F '{self.lab.ssh_config_path}'",
            "ANSIBLE_PIPELINING": "true",
        }
