# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads setkey's output, of FreeBSD and of ipsec-tools on Linux.

The text holds keys: they are measured and dropped, and no error repeats the text.
"""

from __future__ import annotations

import ipaddress
import re
import time
from dataclasses import dataclass
from typing import Callable

from ..crypto.algorithms import CIPHERS, INTEGRITIES
from ..policy.sa import (
    ESP,
    TUNNEL,
    Address,
    Encapsulation,
    Lifetime,
    Network,
    Policy,
    PolicyState,
    SaState,
    Template,
    TrafficSelector,
)
from .setkey import (
    ACTIONS,
    ENCRYPTION_NAMES,
    INTEGRITY_NAMES,
    PRIORITY_NAMES,
    SAFLAGS_ESN,
    SECURITY_PROTOCOLS,
    UPPER_PROTOCOLS,
)

# FreeBSD counts its replay window in bytes of bitmap, each good for eight packets.
FREEBSD_WINDOW_UNIT = 8

_CIPHERS = {name: row for row, name in ENCRYPTION_NAMES.items()}
_INTEGRITIES = {name: row for row, name in INTEGRITY_NAMES.items()}
_INTEGRITIES.update({"hmac-sha2-{}".format(bits): "hmac_sha2_{}".format(bits) for bits in (256, 384, 512)})  # FreeBSD
_PROTOCOLS = {name: number for number, name in SECURITY_PROTOCOLS.items()}
_UPPER_PROTOCOLS = {name: number for number, name in UPPER_PROTOCOLS.items()}
_UPPER_PROTOCOLS.update({"255": 0, "ipencap": 4, "ipv6-icmp": 58, "ospfigp": 89})
_ACTIONS = {word: action for action, word in ACTIONS.items()}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NOT_LISTED = ("No SAD entries.", "No SPD entries.")

_SA_HEAD = re.compile(r"(?P<source>\S+?)(?:\[(?P<from>\d+)\])? (?P<destination>\S+?)(?:\[(?P<to>\d+)\])?\s*$")
_SA_NAME = re.compile(r"\t(?P<protocol>\S+) mode=(?P<mode>\S+) spi=(?P<spi>\d+)\(0x\w+\) reqid=(?P<reqid>\d+)\(")
_KEY = re.compile(r"\t(?P<letter>[EA]): (?P<name>\S+) +(?:\((?P<bits>\d+) bits, key not shown\)|(?P<key>[0-9a-f ]*))$")
_WINDOW = re.compile(r"\tseq=0x\w+ replay=(?P<window>\d+) flags=0x(?P<flags>\w+) state=(?P<state>\w+)")
_TIME = r"(\w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}|\s*)"
_CREATED = re.compile(r"\tcreated: " + _TIME + r"\tcurrent: ")
_SECONDS = re.compile(r"\tdiff: \d+\(s\)\thard: (?P<hard>\d+)\(s\)\tsoft: (?P<soft>\d+)\(s\)")
_USED = re.compile(r"\tlast: " + _TIME + r"\thard: ")
_BYTES = re.compile(r"\tcurrent: (?P<now>\d+)\(bytes\)\thard: (?P<hard>\d+)\(bytes\)\tsoft: (?P<soft>\d+)\(bytes\)")
_PACKETS = re.compile(r"\tallocated: (?P<now>\d+)\thard: (?P<hard>\d+)\tsoft: (?P<soft>\d+)")

_POLICY_HEAD = re.compile(
    r"(?P<source>[0-9a-fA-F.:]+(?:/\d+)?)(?:\[(?P<from>any|\d{1,5})\])? "
    r"(?P<destination>[0-9a-fA-F.:]+(?:/\d+)?)(?:\[(?P<to>any|\d{1,5})\])? "
    r"(?P<protocol>\S+)(?: (?P<type>\d+),(?P<code>\d+))?\s*$"
)
_ACTION = re.compile(
    r"\t(?P<direction>in|out|fwd)"
    r"(?: prio (?P<prio>high|def|low)(?: (?P<sign>[+-]) (?P<distance>\d+))?)?"
    r" (?P<action>\w+)$"
)
_TEMPLATE = re.compile(
    r"\t(?P<protocol>\w+)/(?P<mode>\w+)/(?:(?P<source>[^/-]+)-(?P<destination>[^/-]+))?"
    r"/(?P<level>\w+)(?:[#:](?P<reqid>\d+))?$"
)
_POLICY_TIMES = re.compile(r"\tcreated: " + _TIME + r"  lastused: " + _TIME)
_NUMBER = re.compile(r"[0-9]{1,3}")
_INDEX = re.compile(r"\tspid=(?P<index>\d+)")


class SetkeyError(ValueError):
    """The text isn't setkey's; names the line that opens the entry."""


class Unreadable(ValueError):
    """An entry isn't setkey's, in words that hold nothing of it."""


def parse_sad(text: str, window_unit: int = 1) -> list[SaState]:
    """The SAs of ``setkey -D``. ``window_unit``: packets per unit of ``replay=`` (:data:`FREEBSD_WINDOW_UNIT`).

    Raises :class:`SetkeyError`.
    """
    return [_parsed(entry, lambda one: _parse_sa(one, window_unit)) for entry in _entries(text)]


def parse_spd(text: str) -> list[PolicyState]:
    """The policies of ``setkey -DP`` but the sockets' own. Raises :class:`SetkeyError`."""
    return [_parsed(entry, _parse_policy) for entry in _entries(text) if not entry.head.startswith("(")]


def _parsed(entry: _Entry, parse: Callable):
    try:
        return parse(entry)
    except (ValueError, OverflowError) as error:
        raise SetkeyError("line {}: {}".format(entry.number, error)) from None


@dataclass(frozen=True)
class _Entry:
    """One SA or policy: the line that opens it, its number from 1, and the indented lines below."""

    number: int
    head: str
    lines: tuple[str, ...]

    def one(self, pattern: re.Pattern) -> re.Match:
        """The match of the one line that must be there."""
        found = self.maybe(pattern)
        if found is None:
            raise Unreadable("no line like {!r} follows".format(pattern.pattern))
        return found

    def maybe(self, pattern: re.Pattern) -> re.Match | None:
        return next(iter(self.all(pattern)), None)

    def all(self, pattern: re.Pattern) -> list[re.Match]:
        return [found for found in map(pattern.match, self.lines) if found]


def _entries(text: str) -> list[_Entry]:
    entries: list[_Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("\t") and entries:
            last = entries[-1]
            entries[-1] = _Entry(last.number, last.head, (*last.lines, line))
        elif line.startswith(" ") and entries and entries[-1].lines:
            last = entries[-1]  # a key of more than 32 bytes goes on in the next line
            entries[-1] = _Entry(last.number, last.head, (*last.lines[:-1], last.lines[-1] + line))
        elif line.startswith("\t"):
            raise SetkeyError("line {}: an indented line before the first entry".format(number))
        elif line.strip() and line.strip() not in _NOT_LISTED:
            entries.append(_Entry(number, line, ()))
    return entries


def _parse_sa(entry: _Entry, window_unit: int) -> SaState:
    head = _SA_HEAD.match(entry.head)
    if head is None:
        raise Unreadable("no pair of addresses")
    name, window = entry.one(_SA_NAME), entry.one(_WINDOW)
    byte_counts, packet_counts = entry.maybe(_BYTES), entry.maybe(_PACKETS)
    created, used = entry.maybe(_CREATED), entry.maybe(_USED)
    return SaState(
        source=_address(head["source"]),
        destination=_address(head["destination"]),
        protocol=ESP if name["protocol"] == "esp-udp" else _protocol(name["protocol"]),
        spi=int(name["spi"]),
        mode=name["mode"],
        state=window["state"],
        reqid=int(name["reqid"]),
        replay_window=int(window["window"]) * window_unit,
        esn=bool(int(window["flags"], 16) & SAFLAGS_ESN),
        lifetime=_lifetime(entry.maybe(_SECONDS), byte_counts, packet_counts),
        encapsulation=Encapsulation(int(head["from"]), int(head["to"])) if head["from"] and head["to"] else None,
        bytes=int(byte_counts["now"]) if byte_counts else 0,
        packets=int(packet_counts["now"]) if packet_counts else 0,
        added=_time(created[1]) if created else 0,
        used=_time(used[1]) if used else 0,
        **_algorithms(entry),
    )


def _algorithms(entry: _Entry) -> dict:
    found = {}
    for key in entry.all(_KEY):
        bits = int(key["bits"]) if key["bits"] else 4 * len(key["key"].replace(" ", ""))
        if key["letter"] == "E":
            found.update(_encryption(key["name"], bits))
        elif key["name"] not in ("none", "null"):
            found.update(_integrity(key["name"], bits))
    return found


def _encryption(name: str, bits: int) -> dict:
    cipher = CIPHERS.get(_CIPHERS.get(name, name.replace("-", "_")))
    if cipher is None:
        return {"encryption": name, "encryption_bits": bits}
    found = {"encryption": cipher.name, "encryption_bits": max(0, bits - 8 * cipher.salt)}
    return {**found, "icv_bits": 8 * cipher.icv} if cipher.aead else found


def _integrity(name: str, bits: int) -> dict:
    integrity = INTEGRITIES.get(_INTEGRITIES.get(name, name.replace("-", "_")))
    if integrity is None:
        return {"integrity": name, "integrity_bits": bits}
    # setkey doesn't print the length of the ICV: this is the registry's.
    return {"integrity": integrity.name, "integrity_bits": bits, "icv_bits": 8 * integrity.icv}


def _lifetime(seconds: re.Match | None, byte_counts: re.Match | None, packet_counts: re.Match | None) -> Lifetime:
    limits = {}
    for unit, found in (("seconds", seconds), ("bytes", byte_counts), ("packets", packet_counts)):
        if found:
            limits["hard_" + unit] = int(found["hard"])
            limits["soft_" + unit] = int(found["soft"])
    return Lifetime(**limits)


def _parse_policy(entry: _Entry) -> PolicyState:
    head = _POLICY_HEAD.match(entry.head)
    if head is None:
        raise Unreadable("no selector")
    action, times, index = entry.one(_ACTION), entry.maybe(_POLICY_TIMES), entry.maybe(_INDEX)
    policy = Policy(
        selector=TrafficSelector(
            source=_network(head["source"]),
            destination=_network(head["destination"]),
            protocol=_upper_protocol(head["protocol"]),
            source_port=_port(head["type"] or head["from"]),
            destination_port=_port(head["code"] or head["to"]),
        ),
        direction=action["direction"],
        action=_ACTIONS.get(action["action"], action["action"]),
        templates=tuple(_template(found) for found in entry.all(_TEMPLATE)),
        priority=_priority(action),
    )
    return PolicyState(
        policy,
        index=int(index["index"]) if index else 0,
        added=_time(times[1]) if times else 0,
        used=_time(times[2]) if times else 0,
    )


def _priority(action: re.Match) -> int:
    if action["prio"] is None:
        return 0
    distance = int(action["distance"] or 0)
    return PRIORITY_NAMES[action["prio"]] + (distance if action["sign"] == "-" else -distance)


def _template(found: re.Match) -> Template:
    tunnel = found["mode"] == TUNNEL and found["source"]
    return Template(
        protocol=_protocol(found["protocol"]),
        mode=found["mode"],
        source=_address(found["source"]) if tunnel else None,
        destination=_address(found["destination"]) if tunnel else None,
        reqid=int(found["reqid"] or 0),
        level="use" if found["level"] == "use" else "require",
    )


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise Unreadable("a wrong address") from None


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Unreadable("a wrong network") from None


def _protocol(text: str) -> int:
    if text not in _PROTOCOLS:
        raise Unreadable("an unknown IPsec protocol")
    return _PROTOCOLS[text]


def _upper_protocol(text: str) -> int:
    if text in _UPPER_PROTOCOLS:
        return _UPPER_PROTOCOLS[text]
    if not _NUMBER.fullmatch(text):
        raise Unreadable("an unknown protocol")
    return int(text)


def _port(text: str | None) -> int:
    return 0 if text in (None, "any") else int(text)


def _time(text: str) -> int:
    if not text.strip():
        return 0
    month, day, clock, year = text.split()
    if month not in _MONTHS:
        raise Unreadable("an unknown month")
    hour, minute, second = clock.split(":")
    numbers = int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second)
    return int(time.mktime((*numbers, 0, 0, -1)))
