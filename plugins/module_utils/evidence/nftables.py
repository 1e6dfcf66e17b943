# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading ``nft -j list ruleset`` (libnftables-json(5)) into the common form of a packet filter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from . import packet_filter as form
from .packet_filter import Chain, Condition, Filter, Rule

_FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
_VERDICTS = {
    "accept": form.ACCEPT,
    "drop": form.DROP,
    "reject": form.DROP,
    "return": form.RETURN,
    "masquerade": form.NAT,
    "snat": form.NAT,
}
_JUMPS = {"jump": form.JUMP, "goto": form.GOTO}
_HARMLESS = ("counter", "log", "mangle", "comment", "ct helper", "notrack", "flow", "set", "meta")
_META = {
    "iifname": form.IN_DEVICE,
    "iif": form.IN_DEVICE,
    "oifname": form.OUT_DEVICE,
    "oif": form.OUT_DEVICE,
    "l4proto": form.PROTOCOL,
    "nfproto": form.FAMILY,
    "ipsec": form.IPSEC,
    "secpath": form.IPSEC,
}
_ADDRESSES = {"saddr": form.SOURCE, "daddr": form.DESTINATION}
_NUMBERS = {1: "icmp", 6: "tcp", 17: "udp", 50: "esp", 51: "ah", 58: "ipv6-icmp"}


def read_nftables(text: str, skipped: frozenset[str] = frozenset()) -> Filter:
    """The chains of a ruleset. ``skipped`` tables (``ip filter``) are somebody else's to read. Raises ValueError."""
    document = json.loads(text or "{}")
    if not isinstance(document, Mapping):
        raise ValueError("a ruleset is an object")
    entries = document.get("nftables", [])
    sets = {
        _key(entry["set"], entry["set"]["name"]): entry["set"].get("elem", []) for entry in entries if "set" in entry
    }
    rules: dict[tuple[str, str], list[Rule]] = {}
    for rule in (entry["rule"] for entry in entries if "rule" in entry):
        rules.setdefault(_key(rule, rule["chain"]), []).extend(_rules(rule, sets))
    chains = (entry["chain"] for entry in entries if "chain" in entry)
    return Filter(tuple(_chain(one, rules) for one in chains if _wanted(one, skipped)))


def _wanted(chain: Mapping[str, Any], skipped: frozenset[str]) -> bool:
    return chain["family"] in _FAMILIES and _table(chain) not in skipped


def _table(entry: Mapping[str, Any]) -> str:
    return "{} {}".format(entry["family"], entry["table"])


def _key(entry: Mapping[str, Any], name: str) -> tuple[str, str]:
    return _table(entry), name


def _chain(entry: Mapping[str, Any], rules: Mapping[tuple[str, str], list[Rule]]) -> Chain:
    return Chain(
        table=_table(entry),
        name=entry["name"],
        families=_FAMILIES[entry["family"]],
        rules=tuple(rules.get(_key(entry, entry["name"]), ())),
        kind=entry.get("type", ""),
        hook=entry.get("hook", ""),
        priority=entry.get("prio", 0),
        policy=entry.get("policy", form.ACCEPT),
    )


def _rules(entry: Mapping[str, Any], sets: Mapping[tuple[str, str], list[Any]]) -> Iterator[Rule]:
    """A rule; one with a verdict map is several."""
    conditions: list[Condition] = []
    text = _text(entry)
    for expression in entry.get("expr", []):
        ((name, value),) = expression.items()
        if name == "match":
            conditions += _match(value, entry, sets)
        elif name == "vmap":
            yield from _verdict_map(value, tuple(conditions), text, entry, sets)
        elif name == "snat" and _own_source(value):
            yield Rule(tuple(conditions), form.KEEP, "", text)
        elif name == "mangle" and "maxseg" in str(value["key"]):
            yield Rule(tuple(conditions), form.CONTINUE, "", text, clamps=True)
        elif name in _VERDICTS:
            yield Rule(tuple(conditions), _VERDICTS[name], "", text)
        elif name in _JUMPS:
            yield Rule(tuple(conditions), _JUMPS[name], value["target"], text)
        elif name not in _HARMLESS:
            conditions.append(Condition(form.UNKNOWN))


def _own_source(value: Any) -> bool:
    """Whether a translation gives a packet the source address that it has."""
    address = value.get("addr") if isinstance(value, Mapping) else None
    return isinstance(address, Mapping) and address.get("payload", {}).get("field") == "saddr"


def _verdict_map(
    value: Mapping[str, Any],
    conditions: tuple[Condition, ...],
    text: str,
    entry: Mapping[str, Any],
    sets: Mapping[tuple[str, str], list[Any]],
) -> Iterator[Rule]:
    elements = value["data"].get("set", []) if isinstance(value["data"], Mapping) else [[None, {"drop": None}]]
    for element, verdict in elements:
        ((name, target),) = verdict.items()
        key = [Condition(form.UNKNOWN)]
        if element is not None:
            key = _match({"op": "==", "left": value["key"], "right": element}, entry, sets)
        kind = _VERDICTS.get(name) or _JUMPS.get(name, form.CONTINUE)
        yield Rule(conditions + tuple(key), kind, target["target"] if name in _JUMPS else "", text)


def _match(
    match: Mapping[str, Any], entry: Mapping[str, Any], sets: Mapping[tuple[str, str], list[Any]]
) -> list[Condition]:
    """The conditions of one match; a port implies its protocol."""
    left = match["left"]
    values = list(_values(match["right"], entry, sets))
    negated = match["op"] == "!="
    if match["op"] not in ("==", "!=", "in"):
        return [Condition(form.UNKNOWN)]
    kind, detail = next(iter(left.items())) if isinstance(left, Mapping) else ("", {})
    if kind == "payload" and "protocol" in detail:
        return _payload(detail["protocol"], detail["field"], values, negated)
    if kind == "ct" and detail.get("key") == "state":
        return [Condition(form.STATE, tuple(values), negated)]
    if kind == "rt" and detail.get("key") == "ipsec":
        return [Condition(form.IPSEC, (), negated == bool(values and values[0]))]
    if kind == "meta" and detail.get("key") in _META:
        return [_meta(_META[detail["key"]], values, negated)]
    return [Condition(form.UNKNOWN)]


def _meta(field: str, values: list[Any], negated: bool) -> Condition:
    if field == form.IPSEC:
        return Condition(field, (), negated == bool(values and values[0]))
    if field == form.FAMILY:
        return Condition(field, tuple({"ipv4": 4, "ipv6": 6}.get(value, 0) for value in values), negated)
    if field == form.PROTOCOL:
        return Condition(field, tuple(_NUMBERS.get(value, str(value)) for value in values), negated)
    return Condition(field, tuple(str(value) for value in values), negated)


def _payload(protocol: str, field: str, values: list[Any], negated: bool) -> list[Condition]:
    if protocol in ("ip", "ip6") and field in _ADDRESSES:
        return [Condition(_ADDRESSES[field], tuple(str(value) for value in values), negated)]
    if (protocol, field) in (("ip", "protocol"), ("ip6", "nexthdr")):
        return [_meta(form.PROTOCOL, values, negated)]
    if field == "dport":
        ports = [_range(value) for value in values]
        carriers = ("tcp", "udp") if protocol == "th" else (protocol,)
        known = [Condition(form.PORT, tuple(ports), negated)] if None not in ports else [Condition(form.UNKNOWN)]
        return [Condition(form.PROTOCOL, carriers), *known]
    carrier = [Condition(form.PROTOCOL, (protocol,))] if protocol in _NUMBERS.values() else []
    return [*carrier, Condition(form.UNKNOWN)]


def _range(value: Any) -> tuple[int, int] | None:
    first, last = value if isinstance(value, tuple) else (value, value)
    return (first, last) if isinstance(first, int) and isinstance(last, int) else None


def _values(right: Any, entry: Mapping[str, Any], sets: Mapping[tuple[str, str], list[Any]]) -> Iterator[Any]:
    """The right side of a match, flat: texts, numbers, or tuples for ranges."""
    if isinstance(right, str) and right.startswith("@"):
        for element in sets.get((_table(entry), right[1:]), ["?"]):
            yield from _values(element, entry, sets)
    elif isinstance(right, list):
        for element in right:
            yield from _values(element, entry, sets)
    elif isinstance(right, Mapping):
        yield from _composed(right, entry, sets)
    else:
        yield right


def _composed(
    right: Mapping[str, Any], entry: Mapping[str, Any], sets: Mapping[tuple[str, str], list[Any]]
) -> Iterator[Any]:
    ((kind, detail),) = right.items()
    if kind == "prefix":
        yield "{}/{}".format(detail["addr"], detail["len"])
    elif kind == "range":
        yield tuple(detail)
    elif kind == "set":
        yield from _values(detail, entry, sets)
    elif kind == "elem":
        yield from _values(detail["val"], entry, sets)
    else:
        yield "?"


def _text(entry: Mapping[str, Any]) -> str:
    """The rule as a short line: nft's own words as far as JSON has them."""
    return " ".join(filter(None, (_expression_text(expression) for expression in entry.get("expr", []))))


def _expression_text(expression: Mapping[str, Any]) -> str:
    ((name, value),) = expression.items()
    if name == "match":
        operator = "" if value["op"] in ("==", "in") else value["op"] + " "
        return "{} {}{}".format(_plain(value["left"]), operator, _plain(value["right"]))
    if name in _JUMPS:
        return "{} {}".format(name, value["target"])
    return "" if name == "counter" else name


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        if "prefix" in value:
            return "{}/{}".format(value["prefix"]["addr"], value["prefix"]["len"])
        if "payload" in value:
            return "{} {}".format(value["payload"].get("protocol", ""), value["payload"].get("field", "")).strip()
        kind, detail = next(iter(value.items()))
        if isinstance(detail, list) and kind not in ("set", "range"):  # an operation, as in flags & (syn | rst)
            return " {} ".format(kind).join(_plain(operand) for operand in detail)
        return _plain(detail) if kind in ("set", "range") else "{} {}".format(kind, detail.get("key", ""))
    if isinstance(value, list):
        return "{{ {} }}".format(", ".join(_plain(element) for element in value))
    return str(value)
