# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites, as the inventory's variables describe them. Reads and checks; collects every problem instead of the first."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ..module_utils.ike.config.grammar import RESERVED
from ..module_utils.ike.policy.sa import Address, Network
from .profiles import DEFAULT_PROFILE, PROFILES, Profile


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

    ``address`` is what its peers see, ``own_address`` what it has: another one where NAT lies in between. Somebody
    else configures what isn't ``managed``.
    """

    name: str
    index: str
    address: Address
    own_address: Address
    networks: tuple[Network, ...]
    profile: Profile
    managed: bool = True


def read_sites(variables: Mapping[str, Mapping[str, Any]]) -> dict[str, Site]:
    """Read the variables of every host (see docs/inventory.md).

    Sites come in the order of their names. Raises InventoryError.
    """
    readers = [_SiteReader(name, variables[name]) for name in sorted(variables)]
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

    def __init__(self, name: str, variables: Mapping[str, Any]) -> None:
        self.name = name
        self.variables = variables
        self.problems: list[Problem] = []

    def site(self) -> Site | None:
        address = self._address()
        own_address = self._own_address(address)
        managed = self._managed()
        networks = self._networks()
        profile = self._profile()
        if self.problems:
            return None
        return Site(self.name, index_of(self.name), address, own_address, networks, profile, managed)

    def _wrong(self, variable: str, text: str) -> None:
        self.problems.append(Problem(self.name, variable, text))

    def _address(self) -> Address | None:
        value = self.variables.get("ipsec_address")
        if value in (None, ""):
            return self._wrong("ipsec_address", "the site has no public address")
        return self._parsed("ipsec_address", value)

    def _own_address(self, address: Address | None) -> Address | None:
        value = self.variables.get("ipsec_own_address")
        own = address if value in (None, "") else self._parsed("ipsec_own_address", value)
        if own is not None and address is not None and own.version != address.version:
            return self._wrong("ipsec_own_address", "{} is not of the family of {}".format(own, address))
        return own

    def _parsed(self, variable: str, value: Any) -> Address | None:
        try:
            return ipaddress.ip_address(str(value))
        except ValueError:
            return self._wrong(variable, "{!r} is not an IPv4 or IPv6 address".format(value))

    def _managed(self) -> bool:
        value = self.variables.get("ipsec_managed", True)
        try:
            return boolean(value)
        except TypeError:
            self._wrong("ipsec_managed", "{!r} is neither true nor false".format(value))
            return True

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
        if name not in PROFILES:
            return self._wrong("ipsec_profile", "no profile {!r}; there are: {}".format(name, ", ".join(PROFILES)))
        return PROFILES[name]


def _clashes(sites: list[Site]) -> Iterator[Problem]:
    """Values that two sites claim: a name that becomes the same index, an address, a network."""
    claims = [(site, "inventory_hostname", "the index {!r}".format(site.index), site.index) for site in sites]
    claims += [(site, "ipsec_address", str(site.address), site.address) for site in sites]
    claims += [(site, "ipsec_networks", str(network), network) for site in sites for network in site.networks]
    owners: dict[tuple[str, Any], Site] = {}
    for site, variable, shown, value in claims:
        owner = owners.setdefault((variable, value), site)
        if owner is not site:
            yield Problem(site.name, variable, "{} is {}'s already".format(shown, owner.name))
