"""Proof that the tunnel is real: pings between the LANs, both kernels' databases, and what passed on the wire."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from lab.internet import frames
from lab.internet.capture import IKE_PORT, NAT_T_PORT, count_kinds, describe, read_capture
from lab.internet.rules import Rule
from lab.lab import Lab
from lab.setkey import Association, read_associations, read_directions
from lab.topology import Site
from lab.wire import canaries, esp_spis, ping_command

DAEMON = "python3 /usr/local/lib/tanuki-ipsec/ike.pyz"
ALGORITHMS = {"2007": ("3des-cbc", "hmac-sha1")}  # what each profile's SAs look like in setkey -D
PINGS = 6
SHOWN = 12  # packets of the capture that are printed


@dataclass
class Proof:
    """Statements about a lab of two sites with a tunnel; each is printed with whether it holds."""

    lab: Lab
    profile: str
    failures: list[str] = field(default_factory=list)

    def run(self) -> bool:
        """Try everything; True when every statement holds."""
        sites = self.lab.sites
        directions = [(sites[0], sites[1]), (sites[1], sites[0])]
        start = self.lab.internet.capture_size
        for source, destination in directions:
            self._cold_ping(source, destination)
        warm = self.lab.internet.capture_size
        for source, destination in directions:
            self._warm_ping(source, destination)
        self._databases(directions, warm)
        self._wire(start)
        return not self.failures

    def _check(self, holds: bool, statement: str) -> None:
        print(f"  {'holds' if holds else 'FAILS'}  {statement}", flush=True)
        if not holds:
            self.failures.append(statement)

    def _cold_ping(self, source: Site, destination: Site) -> None:
        """Take the tunnel down, then let the first packet from the LAN bring it up."""
        print(f"\n-- cold tunnel: the first packet from {source.name}'s client raises it", flush=True)
        self._check(self._take_down(source, destination), f"no SA is left at {source.name} and {destination.name}")
        received = self._ping(source, destination)
        # The kernel drops the packet that it raises the acquire for: the next one crosses.
        self._check(received >= PINGS - 2, f"{received} of {PINGS} pings were answered, the first raised the tunnel")

    def _take_down(self, *ends: Site) -> bool:
        """Take the tunnel down at both ends: True when no SA is left at either.

        Each end keeps a tunnel up that the other takes down. So the internet drops IKE until both are told.
        """
        rules = [Rule(f"no-ike-{port}", "drop", protocol=frames.UDP, port=port) for port in (IKE_PORT, NAT_T_PORT)]
        for rule in rules:
            self.lab.internet.add_rule(rule)
        for site in ends:
            for name in self._tunnels(site):
                self.lab.run(site.name, f"{DAEMON} ctl down {name}")
        left = [association for site in ends for association in self._associations(site)]
        for rule in rules:
            self.lab.internet.remove_rule(rule.name)
        return not left

    def _warm_ping(self, source: Site, destination: Site) -> None:
        print(f"\n-- warm tunnel: {source.name}'s client pings {destination.name}'s", flush=True)
        received = self._ping(source, destination)
        self._check(received == PINGS, f"{received} of {PINGS} pings {source.name} > {destination.name} were answered")

    def _ping(self, source: Site, destination: Site) -> int:
        """Ping from LAN client to LAN client: how many replies came."""
        output = self.lab.run(f"{source.name}-client", ping_command(destination, PINGS)).stdout
        _show(output)
        found = re.search(r"(\d+) received", output)
        return int(found[1]) if found else 0

    def _databases(self, directions: list[tuple[Site, Site]], since: int) -> None:
        """Print SAD and SPD of both ends; each direction's SA must be the same one at both ends and on the wire."""
        found = {site: self._database(site) for site, _ in directions}
        captured = list(read_capture(self.lab.internet.capture_path, since))
        for source, destination in directions:
            ends = (source.outside.ip, destination.outside.ip)
            here, there = (_spis(found[site], ends) for site in (source, destination))
            title = f"SA {source.name} > {destination.name}"
            self._check(bool(here & there), f"{title}: both kernels hold it, SPI {_hexadecimal(here & there)}")
            used = esp_spis(captured, *ends)
            self._check(
                bool(used) and used <= here & there, f"{title}: ESP on the wire carries SPI {_hexadecimal(used)}"
            )

    def _database(self, site: Site) -> list[Association]:
        """Print one end's SAD and SPD, check the SAs' form and the policies' directions, return the SAs."""
        policies = self._setkey(site, "-DP")
        print(f"\n-- SPD of {site.name}: setkey -DP", flush=True)
        _show(policies)
        print(f"\n-- SAD of {site.name}: setkey -D", flush=True)
        states = self._setkey(site, "-D")
        _show(states)
        associations = read_associations(states)
        algorithms = ALGORITHMS[self.profile]
        right = [a for a in associations if (a.encryption, a.integrity, a.mode) == (*algorithms, "tunnel")]
        self._check(
            len(right) >= 2 and right == associations,
            f"{site.name}: {len(right)} SAs, all in tunnel mode with {' and '.join(algorithms)}",
        )
        self._check(
            {"fwd", "in", "out"} <= set(read_directions(policies)), f"{site.name}: policies out, in and for forwarding"
        )
        return associations

    def _wire(self, start: int) -> None:
        """Count what passed since the capture was `start` bytes long."""
        path = self.lab.internet.capture_path
        print(f"\n-- the wire during all this: {path}", flush=True)
        captured = list(read_capture(path, start))
        counts = count_kinds(captured)
        packets = [item for item in captured if item.packet]
        for item in packets[:SHOWN]:
            print(f"    {describe(item)}")
        print(f"    … {max(0, len(packets) - SHOWN)} more")
        print("    packets: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())), flush=True)
        self._check(counts["esp"] > 0, f"{counts['esp']} packets of ESP crossed")
        self._check(not counts["cleartext"], f"{counts['cleartext']} packets with a private address crossed")
        shown = canaries(captured)
        self._check(not shown, f"{shown} packets showed the pings' content in clear")

    def _tunnels(self, site: Site) -> list[str]:
        """The names of the site's tunnels; none when its daemon doesn't answer."""
        output = self.lab.run(site.name, f"{DAEMON} ctl status --json").stdout
        return [tunnel["name"] for tunnel in json.loads(output)["tunnels"]] if output else []

    def _associations(self, site: Site) -> list[Association]:
        return read_associations(self._setkey(site, "-D"))

    def _setkey(self, site: Site, option: str) -> str:
        return self.lab.run(site.name, f"{DAEMON} setkey {option}").stdout


def _spis(associations: list[Association], ends: tuple) -> set[int]:
    return {a.spi for a in associations if (a.source, a.destination) == ends}


def _hexadecimal(spis: set[int]) -> str:
    return ", ".join(f"0x{spi:08x}" for spi in sorted(spis)) or "none"


def _show(text: str) -> None:
    print("\n".join(f"    {line}" for line in text.strip().splitlines()), flush=True)
