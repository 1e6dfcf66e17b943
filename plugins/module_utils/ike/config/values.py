# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the words of a value to the value: numbers with units, addresses, identities, protocols.

Each reader takes an item and returns the value, or raises ValueError with the reason. What upstream takes and
should not is noted among the reader's ``deviations``.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass

from ..crypto.algorithms import GROUPS_BY_NUMBER
from .grammar import BOOLEANS, BYTE_UNITS, EVENT_SYNONYMS, GROUP_NUMBERS, RACOON2, TIME_UNITS, Rule
from .model import KEYWORD, MARK, Item
from .settings import MACROS, Address, Endpoint, Identity, Network
from .syntax import NUMBER, number
from .variables import Variables

MAX_INTEGER = 2**31 - 1
MAX_PORT = 65535
ANY_PROTOCOL = 255  # upstream's own number for any

SERVICES = {"any": 0, "isakmp": 500, "ipsec-nat-t": 4500, "domain": 53}
PROTOCOLS = {
    "any": ANY_PROTOCOL, "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50,
    "ah": 51, "ipv6-icmp": 58, "icmp6": 58, "ospf": 89, "pim": 103, "vrrp": 112, "sctp": 132, "mobility-header": 135,
}  # fmt: skip
ICMP_PROTOCOLS = (1, 58)
MOBILITY_HEADER = 135

_NETWORKS = {4: ipaddress.IPv4Network, 6: ipaddress.IPv6Network}

EC2N_NUMBERS = {3: "ec2n155", 4: "ec2n185"}


@dataclass(frozen=True)
class Place:
    """An address as the language has it: numeric, a macro or host name in ``name``, or the path of a socket.

    ``prefix`` is None where none was written.
    """

    address: Address | None = None
    name: str = ""
    path: str = ""
    prefix: int | None = None
    port: int = 0

    @property
    def macro(self) -> bool:
        return self.name.partition("%")[0] in MACROS

    @property
    def value(self) -> Address | str | None:
        """The address, or the macro or host name."""
        return self.address if self.address is not None else self.name or None

    def endpoint(self) -> Endpoint:
        return Endpoint(self.address, self.name, self.port)

    def network(self) -> Network | str:
        """The network, host bits cleared; the name where it is none."""
        if self.address is None:
            return self.name
        bits = self.address.max_prefixlen
        prefix = bits if self.prefix is None else min(self.prefix, bits)
        return _NETWORKS[self.address.version]((int(self.address), prefix), strict=False)


@dataclass(frozen=True)
class Algorithm:
    """One entry of a list of algorithms; ``bits`` None where no length was written."""

    name: str
    bits: int | None = None
    key: str = ""


@dataclass(frozen=True)
class UpperProtocol:
    """``upper_layer_protocol``: 255 means any. ``extra`` are the numbers after it."""

    number: int
    extra: tuple[int, ...] = ()


class Reader:
    """Reads items in one configuration, with its variables and in its dialect.

    ``deviations`` holds (what is wrong, what upstream does with it) pairs of the items read so far.
    """

    def __init__(self, variables: Variables, dialect: str):
        self.deviations: list[tuple[str, str]] = []
        self._variables = variables
        self._dialect = dialect
        self._readers = {
            "boolean": _boolean,
            "word": _word,
            "string": self.string,
            "file": self._file,
            "number": _number,
            "time": _time,
            "bytes": _bytes,
            "address": self.place,
            "endpoint": self.place,
            "network": self._network,
            "algorithm": self._algorithm,
            "group": self._group,
            "identity": self._identity,
            "key pair": self._strings,
            "public key": self._strings,
            "hook": self._hook,
            "protocol": self._protocol,
            "range": self._range,
        }

    def read(self, rule: Rule, item: Item) -> object:
        """The value of an item of a directive."""
        return self._readers[rule.argument](item)

    def string(self, item: Item) -> str:
        return self._variables.expand(item[0].text)

    def place(self, item: Item) -> Place:
        if item[0].kind == KEYWORD:
            return Place(path=self._variables.expand(item[1].text))
        address, name, prefix = self._address(self._variables.expand(item[0].text))
        port = self._port(self._variables.expand(item[2].text)) if len(item) > 2 else 0
        return Place(address, name, "", prefix, port)

    def _network(self, item: Item) -> Place:
        place = self.place(item)
        network = place.network()
        if place.address is not None and int(network.network_address) != int(place.address):  # a scope is no host bit
            self._deviate(
                "{}/{} has bits beyond its prefix, the network is {}".format(place.address, place.prefix, network),
                "installs it unmasked",
            )
        return place

    def _deviate(self, message: str, upstream: str) -> None:
        self.deviations.append((message, upstream))

    def _file(self, item: Item) -> str:
        path = self.string(item)
        if not path:
            raise ValueError("the path is empty")
        return path

    def _strings(self, item: Item) -> tuple[str, ...]:
        return tuple(self._variables.expand(word.text) for word in item[1:])

    def _address(self, text: str) -> tuple[Address | None, str, int | None]:
        host, slash, prefix_text = text.partition("/")
        prefix = _prefix(prefix_text) if slash else None
        address = numeric(host)
        if address is None:
            self._check_name(host)
            return None, host, prefix
        if prefix is not None and prefix > address.max_prefixlen:
            self._deviate("prefix length /{} in {}".format(prefix, text), "does not check its range")
        return address, "", prefix

    def _check_name(self, host: str) -> None:
        if not host:
            raise ValueError("the address is empty")
        if ":" in host or not host.strip("0123456789."):
            self._deviate("{} is no address".format(host), "takes it for a host name")

    def _port(self, text: str) -> int:
        if text.isascii() and text.isdigit():
            port = int(text[:20])
            if port > MAX_PORT:
                self._deviate("port {} is out of range".format(text[:20]), "takes it for {}".format(port & MAX_PORT))
            return port & MAX_PORT
        port = SERVICES.get(text)
        return _lookup(socket.getservbyname, text, "port") if port is None else port

    def _algorithm(self, item: Item) -> Algorithm:
        marks = 0
        bits, key = None, ""
        for word in item[1:]:
            if word.kind == MARK:
                marks += 1
            elif marks == 1:
                bits = number(word.text)
            else:
                key = word.text
        if bits is not None and not 0 < bits <= MAX_PORT:
            raise ValueError("{} is no key length in bits".format(bits))
        return Algorithm(item[0].text, bits, self._variables.expand(key))

    def _group(self, item: Item) -> str:
        word = item[0]
        if word.kind == KEYWORD:
            return word.text
        value = number(word.text)
        if value in EC2N_NUMBERS:
            return EC2N_NUMBERS[value]
        if value not in GROUPS_BY_NUMBER or (self._dialect == RACOON2 and value not in GROUP_NUMBERS):
            raise ValueError("{} is no number of a group that is known here".format(word.text))
        return GROUPS_BY_NUMBER[value].name

    def _identity(self, item: Item) -> Identity:
        kind = item[0].text
        form = item[1].text if len(item) > 2 else ""
        text = self._variables.expand(item[-1].text)
        if not text:
            raise ValueError("the identity is empty")
        if kind == "ipaddr":
            return Identity(kind, self._identity_address(text))
        from_file = kind == "x509_subject" or (kind == "keyid" and form != "tag")
        return Identity(kind, text, "file" if from_file else "value")

    def _identity_address(self, text: str) -> Address | str:
        """An address, or "" for what upstream reads and then has no identity for."""
        address, name, prefix = self._address(text)
        if prefix is not None:
            self._deviate("an identity has no prefix length: {}".format(text), "ignores it")
        if address is None:
            self._deviate("{} is no address, the identity stays empty".format(name), "reads it without a word")
            return ""
        return address

    def _hook(self, item: Item) -> tuple[str, str]:
        event = EVENT_SYNONYMS.get(item[0].text, item[0].text)
        return event, self._variables.expand(item[1].text)

    def _protocol(self, item: Item) -> UpperProtocol:
        text = self._variables.expand(item[0].text)
        extra = tuple(number(word.text) for word in item[1:])
        if any(not 0 <= value <= 255 for value in extra):
            raise ValueError("an ICMP type or code is beyond 0 to 255")
        return UpperProtocol(_protocol_number(text), extra)

    def _range(self, item: Item) -> tuple[Address, Address]:
        low, high = (numeric(self._variables.expand(word.text)) for word in (item[0], item[2]))
        if low is None or high is None:
            raise ValueError("a range goes from address to address")
        if low.version != high.version or low > high:
            raise ValueError("the range {} - {} is empty".format(low, high))
        return low, high


def _boolean(item: Item) -> bool:
    return BOOLEANS[item[0].text]


def _word(item: Item) -> str:
    return item[0].text


def _number(item: Item) -> int:
    return _in_range(number(item[0].text), item[0].text)


def _time(item: Item) -> int:
    return _scaled(item, TIME_UNITS)


def _bytes(item: Item) -> int:
    return _scaled(item, BYTE_UNITS)


def _scaled(item: Item, units: dict[str, int]) -> int:
    if item[0].kind == KEYWORD:
        return 0  # infinite
    scale = units[item[1].text] if len(item) > 1 else 1
    return _in_range(number(item[0].text) * scale, " ".join(word.text for word in item))


def _in_range(value: int, text: str) -> int:
    if not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise ValueError("{} is beyond {}, the largest number".format(text, MAX_INTEGER))
    return value


@functools.lru_cache(maxsize=1 << 16)
def numeric(text: str) -> Address | None:
    """The address that a text spells; None if it spells none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _prefix(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("/{} is no prefix length: a decimal number stands after the slash, no netmask".format(text))
    return int(text)


def _protocol_number(text: str) -> int:
    value = PROTOCOLS.get(text)
    if value is not None:
        return value
    if NUMBER.match(text) is None:
        return _lookup(socket.getprotobyname, text, "protocol")
    value = number(text)
    if not 0 <= value <= ANY_PROTOCOL:
        raise ValueError("protocol {} is beyond 0 to 255".format(text))
    return value


def _lookup(database: Callable[[str], int], text: str, what: str) -> int:
    """A name in the system's own database of services or protocols."""
    try:
        return database(text)
    except (OSError, UnicodeError, ValueError):
        raise ValueError("unknown {} {}".format(what, text)) from None
