"""A deployed gateway of the lab: what its daemon and its kernel say, over ssh."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lab.lab import Lab
from lab.setkey import Association, read_associations
from lab.topology import Site

DAEMON = "python3 /usr/local/lib/tanuki-ipsec/ike.pyz"


class GatewayError(Exception):
    """A command on a gateway failed; the text holds what it wrote."""


@dataclass(frozen=True)
class Gateway:
    """The gateway of `site`, after the role ran on it."""

    lab: Lab
    site: Site

    def take_down(self) -> list[Association]:
        """Take all tunnels down: the SAs that are left."""
        for tunnel in json.loads(self._daemon("ctl status --json"))["tunnels"]:
            self._daemon(f"ctl down {tunnel['name']}")
        return read_associations(self.sad())

    def sad(self) -> str:
        """The kernel's SAs, in setkey's format."""
        return self._daemon("setkey -D")

    def spd(self) -> str:
        """The kernel's policies, in setkey's format."""
        return self._daemon("setkey -DP")

    def _daemon(self, words: str) -> str:
        result = self.lab.run(self.site.name, f"{DAEMON} {words}")
        if result.returncode:
            raise GatewayError(f"{self.site.name}: {words} failed: {result.stderr.strip()}")
        return result.stdout
