"""Proof that the tunnel is real: pings between the LANs, both kernels' databases, and what passed on the wire."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from lab.gateway import Gateway
from lab.internet.capture import count_kinds, describe, read_capture
from lab.lab import Lab
from lab.setkey import Association, read_associations, read_directions
from lab.topology import Site
from lab.wire import canaries, esp_spis, ping_command

# What each profile's SAs look like in setkey -D.
ALGORITHMS = {
    "2007": ("3des-cbc", "hmac-sha1"),
    "ikev1-aes": ("aes-cbc", "hmac-sha256"),
    "modern": ("aes-gcm-16", ""),
}
PINGS = 5
COLD_PINGS = 10  # half a second apart: a handshake between emulated machines on a busy host may take a second or two
SHOWN = 12  # packets of the capture that are printed


@dataclass
class Proof:
    """Statements about a lab of two sites with a tunnel; each is printed with whether it holds."""

    lab: Lab
    profile: str
    failures: list[str] = field(default_factory=list)

    def run(self) -> bool:
        """Try everything; True when every statement holds."""
        one, other = self.lab.sites
        directions = [(one, other), (other, one)]
        start = self.lab.internet.capture_size
        for source, destination in directions:
            self._cold_ping(source, destination)
        warm = self.lab.internet.capture_size
        for source, destination in directions:
            self._warm_ping(source, destination)
        associations = self._databases()
        for source, destination in directions:
            self._same_association(source, destination, associations, warm)
        self._wire(start)
        return not self.failures

    def _check(self, holds: bool, statement: str) -> None:
        print(f"  {'holds' if holds else 'FAILS'}  {statement}", flush=True)
        if not holds:
            self.failures.append(statement)

    def _cold_ping(self, source: Site, destination: Site) -> None:
        """Take the tunnel down, then let the first packet from the LAN bring it up."""
        print(f"\n-- cold tunnel: the first packet from {source.name}'s client raises it", flush=True)
        left = self._take_down()
        self._check(not left, f"{left} SAs are left after the tunnel was taken down")
        received = self._ping(source, destination, COLD_PINGS)
        # The kernel drops what meets the policy before the SAs are there: the first pings are lost.
        self._check(received > 0, f"{received} of {COLD_PINGS} pings were answered, the first raised the tunnel")

    def _take_down(self) -> int:
        """Take the tunnel down at both ends: how many SAs are left. From then on it waits for a packet."""
        return sum(map(len, self._at_both_ends(Gateway.take_down)))

    def _warm_ping(self, source: Site, destination: Site) -> None:
        print(f"\n-- warm tunnel: {source.name}'s client pings {destination.name}'s", flush=True)
        received = self._ping(source, destination, PINGS)
        self._check(received == PINGS, f"{received} of {PINGS} pings {source.name} > {destination.name} were answered")

    def _ping(self, source: Site, destination: Site, count: int) -> int:
        """Ping from LAN client to LAN client: how many replies came."""
        output = self.lab.run(f"{source.name}-client", ping_command(destination, count)).stdout
        _show(output)
        found = re.search(r"(\d+) received", output)
        return int(found[1]) if found else 0

    def _databases(self) -> dict[Site, list[Association]]:
        """Print SPD and SAD of both ends, check the policies' directions and the SAs' form; the SAs."""
        spds, sads = self._at_both_ends(Gateway.spd), self._at_both_ends(Gateway.sad)
        found = {}
        for site, spd, sad in zip(self.lab.sites, spds, sads):
            print(f"\n-- SPD of {site.name}: setkey -DP", flush=True)
            _show(spd)
            directions = read_directions(spd)
            self._check(directions == ["fwd", "in", "out"], f"{site.name}: policies {', '.join(directions)}")
            print(f"\n-- SAD of {site.name}: setkey -D", flush=True)
            _show(sad)
            found[site] = read_associations(sad)
            self._right_form(site, found[site])
        return found

    def _right_form(self, site: Site, associations: list[Association]) -> None:
        algorithms = ALGORITHMS[self.profile]
        words = " and ".join(filter(None, algorithms))  # an AEAD stands alone
        right = [sa for sa in associations if (sa.encryption, sa.integrity, sa.mode) == (*algorithms, "tunnel")]
        statement = f"{site.name}: {len(right)} of {len(associations)} SAs in tunnel mode, {words}"
        self._check(len(right) == len(associations) >= 2, statement)

    def _same_association(
        self, source: Site, destination: Site, associations: dict[Site, list[Association]], since: int
    ) -> None:
        """One direction's SA is the same at both ends, and the one that the wire has carried since."""
        ends = (source.outside.ip, destination.outside.ip)
        here, there = (_spis(associations[site], ends) for site in (source, destination))
        title = f"SA {source.name} > {destination.name}"
        self._check(bool(here & there), f"{title}: both kernels hold it, SPI {_hexadecimal(here & there)}")
        used = esp_spis(list(read_capture(self.lab.internet.capture_path, since)), *ends)
        self._check(bool(used) and used <= here & there, f"{title}: ESP on the wire carries SPI {_hexadecimal(used)}")

    def _wire(self, start: int) -> None:
        """Count what passed since the capture was `start` bytes long."""
        path = self.lab.internet.capture_path
        print(f"\n-- the wire during all this: {path}", flush=True)
        captured = [item for item in read_capture(path, start) if item.packet]
        for item in captured[:SHOWN]:
            print(f"    {describe(item)}")
        counts = count_kinds(captured)
        print("    in all: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())), flush=True)
        self._check(counts["esp"] > 0, f"{counts['esp']} packets of ESP crossed")
        self._check(not counts["cleartext"], f"{counts['cleartext']} packets with a private address were on the wire")
        shown = canaries(captured)
        self._check(not shown, f"{shown} packets showed the pings' content in clear")

    def _at_both_ends(self, question: Callable[[Gateway], Any]) -> list:
        """Ask both gateways at once; the answers in the sites' order."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(question, [Gateway(self.lab, site) for site in self.lab.sites]))


def _spis(associations: list[Association], ends: tuple) -> set[int]:
    return {sa.spi for sa in associations if (sa.source, sa.destination) == ends}


def _hexadecimal(spis: set[int]) -> str:
    return ", ".join(f"0x{spi:08x}" for spi in sorted(spis)) or "none"


def _show(text: str) -> None:
    print("\n".join(f"    {line}" for line in text.strip().splitlines()), flush=True)
