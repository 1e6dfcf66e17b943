# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites, as the inventory's variables describe them. Reads and checks; collects every problem instead of the first."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..module_utils.ike.config.build import Tuning
from ..module_utils.ike.config.grammar import (
    AFTERWARDS,
    LARGEST_REPLAY_WINDOW,
    REPLAY_WINDOW,
    RESERVED,
    RESTART,
    START,
    TRAP,
)
from ..module_utils.ike.policy.sa import Address, Network
from .profiles import DEFAULT_PROFILE, Profile
from .values import WrongValue, read_boolean, read_number

UNKNOWN = "unknown"  # as ipsec_address: the site's address isn't known beforehand
DEFAULT_PATH_MTU = 1492  # PPPoE's (RFC 2516): what any line carries that carries Ethernet's 1500, and many don't
_HOST_NAME = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\Z", re.I)
_PATH_MTUS = {4: (576, 65535), 6: (1280, 65535)}  # RFC 791, RFC 8200 5
_LONGEST = 31536000  # seconds: a year


@dataclass(frozen=True)
class Problem:
    """Something wrong in the inventory: at which host, in which variable."""

    host: str
    variable: str
    text: str

    def __str__(self) -> str:
        return "{}: {}: {}".format(self.host, self.variable, self.text)


class InventoryError(ValueError):
    """The inventory can't be used. ``problems`` holds every reason, not just the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


@dataclass(frozen=True)
class Site:
    """A gateway and the networks that it protects. ``index`` is its name as racoon2.conf can spell it.

    ``address`` is what its peers see, ``own_address`` what it has: another one where NAT lies in between. Either is
    None where nobody knows it: then its peers take it for who it is by its name in the inventory. With a
    ``host_name``, its DNS name, they find it; without one it begins. Somebody else configures what isn't ``managed``.
    ``path_mtu`` is the largest packet in bytes that its line carries.
    """

    name: str
    index: str
    address: Address | None
    own_address: Address | None
    networks: tuple[Network, ...]
    profile: Profile
    managed: bool = True
    path_mtu: int = DEFAULT_PATH_MTU
    tuning: Tuning = field(default_factory=Tuning)
    host_name: str = ""
    tunnel_addresses: tuple[tuple[str, Address], ...] = ()  # other addresses of its own, by the peers that see them

    def facing(self, peer: str) -> Site:
        """The site as this peer sees it."""
        address = dict(self.tunnel_addresses).get(peer)
        return self if address is None else replace(self, address=address, own_address=address, host_name="")

    @property
    def unknown(self) -> bool:
        """Whether its peers can't find it."""
        return self.address is None and not self.host_name

    @property
    def identity(self) -> tuple[str, str]:
        """Its IKE identity, type and value."""
        return ("fqdn", self.name) if self.address is None else ("ipaddr", str(self.address))

    @property
    def shown_address(self) -> str:
        """Its public address for people."""
        return str(self.address or self.host_name or UNKNOWN)

    @property
    def translated(self) -> bool:
        """Whether NAT lies before it, as far as is known."""
        return self.address is None or self.own_address != self.address

    @property
    def needs_udp(self) -> bool:
        """Whether ESP from and to it has to travel in UDP: for NAT before it, or because that is forced."""
        return self.translated or self.tuning.force_encapsulation


def read_sites(variables: Mapping[str, Mapping[str, Any]], profiles: Mapping[str, Profile]) -> dict[str, Site]:
    """Read the variables of every host (see docs/inventory.md); ``profiles`` are those that there are, by name.

    Sites come in the order of their names. Raises InventoryError.
    """
    readers = [_SiteReader(name, variables[name], profiles) for name in sorted(variables)]
    sites = [site for site in (reader.site() for reader in readers) if site is not None]
    problems = [problem for reader in readers for problem in reader.problems]
    problems += _clashes(sites)
    if problems:
        raise InventoryError(tuple(problems))
    return {site.name: site for site in sites}


def index_of(name: str) -> str:
    """A host's name as an index of racoon2.conf: lower case, digits and underscores, no reserved word."""
    index = re.sub(r"[^a-z0-9_]", "_", name.lower())
    return index if index[:1].isalpha() and index not in RESERVED else "site_" + index


class _SiteReader:
    """The variables of one host, and what is wrong with them."""

    def __init__(self, name: str, variables: Mapping[str, Any], profiles: Mapping[str, Profile]) -> None:
        self.name = name
        self.variables = variables
        self.profiles = profiles
        self.problems: list[Problem] = []

    def site(self) -> Site | None:
        address = self._address()
        own_address = self._own_address(address)
        managed = self._boolean("ipsec_managed", True)
        networks = self._networks()
        profile = self._profile()
        path_mtu = self._path_mtu(address)
        tuning = self._tuning()
        tunnel_addresses = self._tunnel_addresses()
        if self.problems:
            return None
        index = index_of(self.name)
        return Site(
            self.name,
            index,
            address,
            own_address,
            networks,
            profile,
            managed,
            path_mtu,
            tuning,
            self._host_name(),
            tunnel_addresses,
        )

    def _wrong(self, variable: str, text: str) -> None:
        self.problems.append(Problem(self.name, variable, text))

    def _address(self) -> Address | None:
        value = self.variables.get("ipsec_address")
        if value in (None, ""):
            return self._wrong("ipsec_address", "the site has no public address; say 'unknown' where it isn't known")
        return None if value == UNKNOWN or self._host_name() else self._parsed("ipsec_address", value)

    def _host_name(self) -> str:
        """The site's DNS name, where that's its address: it has a dot, and a letter in its last label."""
        value = str(self.variables.get("ipsec_address"))
        return value if _HOST_NAME.match(value) else ""

    def _own_address(self, address: Address | None) -> Address | None:
        value = self.variables.get("ipsec_own_address")
        own = address if value in (None, "") else self._parsed("ipsec_own_address", value)
        if own is not None and address is not None and own.version != address.version:
            return self._wrong("ipsec_own_address", "{} is not of the family of {}".format(own, address))
        return own

    def _tunnel_addresses(self) -> tuple[tuple[str, Address], ...]:
        value = self.variables.get("ipsec_tunnel_addresses", {})
        if not isinstance(value, Mapping):
            self._wrong("ipsec_tunnel_addresses", "a dictionary is needed: {PEER: ADDRESS}")
            return ()
        found = ((str(peer), self._parsed("ipsec_tunnel_addresses", address)) for peer, address in value.items())
        return tuple((peer, address) for peer, address in found if address is not None)

    def _parsed(self, variable: str, value: Any) -> Address | None:
        try:
            return ipaddress.ip_address(str(value))
        except ValueError:
            return self._wrong(variable, "{!r} is not an IPv4 or IPv6 address".format(value))

    def _boolean(self, variable: str, default: bool) -> bool:
        return self._read(variable, default, read_boolean)

    def _tuning(self) -> Tuning:
        return Tuning(
            self._boolean("ipsec_force_encapsulation", False),
            self._number("ipsec_replay_window", REPLAY_WINDOW, LARGEST_REPLAY_WINDOW),
            self._word("ipsec_start", TRAP, (TRAP, START)),
            self._word("ipsec_close", TRAP, AFTERWARDS),
            self._word("ipsec_dpd", RESTART, AFTERWARDS),
            self._number("ipsec_reauth_seconds", 0, _LONGEST),
        )

    def _number(self, variable: str, default: int, most: int) -> int:
        return self._read(variable, default, lambda value: read_number(value, 0, most))

    def _read(self, variable: str, default: Any, read: Callable[[Any], Any]) -> Any:
        """A variable's value, or the default where it's wrong."""
        try:
            return read(self.variables.get(variable, default))
        except WrongValue as error:
            self._wrong(variable, str(error))
            return default

    def _word(self, variable: str, default: str, words: tuple[str, ...]) -> str:
        value = self.variables.get(variable, default)
        if value not in words:
            self._wrong(variable, "{!r} is neither {}".format(value, " nor ".join(words)))
        return value

    def _path_mtu(self, address: Address | None) -> int:
        value = str(self.variables.get("ipsec_path_mtu", DEFAULT_PATH_MTU))
        least, most = _PATH_MTUS[6 if address is not None and address.version == 6 else 4]
        if not value.isdigit() or not least <= int(value) <= most:
            self._wrong("ipsec_path_mtu", "{!r} is not a number of bytes from {} to {}".format(value, least, most))
            return DEFAULT_PATH_MTU
        return int(value)

    def _networks(self) -> tuple[Network, ...]:
        value = self.variables.get("ipsec_networks")
        if not isinstance(value, (list, tuple)) or not value:
            self._wrong("ipsec_networks", "a list of one network or more is needed, for example [192.168.10.0/24]")
            return ()
        found = [self._network(text) for text in value]
        networks = tuple(network for network in found if network is not None)
        for network in sorted({network for network in networks if networks.count(network) > 1}, key=str):
            self._wrong("ipsec_networks", "{} is listed twice".format(network))
        return networks

    def _network(self, text: Any) -> Network | None:
        try:
            loose = ipaddress.ip_network(str(text), strict=False)
        except ValueError:
            return self._wrong("ipsec_networks", "{!r} is not a network such as 192.168.10.0/24".format(text))
        if "/" not in str(text):
            return self._wrong("ipsec_networks", "{!r} has no prefix length such as /{}".format(text, loose.prefixlen))
        if ipaddress.ip_interface(str(text)).ip != loose.network_address:
            return self._wrong("ipsec_networks", "{!r} has host bits set: {} is meant?".format(text, loose))
        return loose

    def _profile(self) -> Profile | None:
        name = str(self.variables.get("ipsec_profile", DEFAULT_PROFILE))
        if name not in self.profiles:
            known = ", ".join(self.profiles)
            return self._wrong("ipsec_profile", "no profile {!r}; there are: {}".format(name, known))
        return self.profiles[name]


def _clashes(sites: list[Site]) -> Iterator[Problem]:
    """Values that two sites claim: a name that becomes the same index, an address, a network."""
    claims = [(site, "inventory_hostname", "the index {!r}".format(site.index), site.index) for site in sites]
    claims += [(site, "ipsec_address", site.shown_address, site.shown_address) for site in sites if not site.unknown]
    claims += [
        (site, "ipsec_address", str(address), str(address))
        for site in sites
        for address in dict.fromkeys(address for _peer, address in site.tunnel_addresses)
        if address != site.address
    ]
    claims += [(site, "ipsec_networks", str(network), network) for site in sites for network in site.networks]
    owners: dict[tuple[str, Any], Site] = {}
    for site, variable, shown, value in claims:
        owner = owners.setdefault((variable, value), site)
        if owner is not site:
            yield Problem(site.name, variable, "{} is {}'s already".format(shown, owner.name))
