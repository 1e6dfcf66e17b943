# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles that an inventory defines beside the built-in ones: ``ipsec_profiles``, each a built-in one with changes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Callable

from ..module_utils.ike.config.build import LocalEnd, PeerEnd, site_configuration
from ..module_utils.ike.config.build import Profile as Cryptography
from ..module_utils.ike.config.checks.algorithms import fault, supported
from ..module_utils.ike.config.checks.run import check
from ..module_utils.ike.config.checks.subject import Options
from ..module_utils.ike.config.grammar import ADDITIONAL_KES, IKEV1, IKEV2, TANUKI, rule_of
from ..module_utils.ike.config.loader import load_text
from ..module_utils.ike.config.render import render
from ..module_utils.ike.config.values import Algorithm
from .inventory import InventoryError, Problem
from .profiles import DEFAULT_PROFILE, PROFILES, Profile
from .values import WrongValue, read_boolean, read_number

_BASE = "base"
_LONGEST = 2**31 - 1  # seconds that the language can say
_KMP = {1: IKEV1, 2: IKEV2}


def all_profiles(value: Any) -> dict[str, Profile]:
    """The built-in profiles and those of ``ipsec_profiles``: ``{NAME: {base: NAME, groups: […], …}}``.

    Raises InventoryError with every problem found.
    """
    if not isinstance(value, Mapping):
        raise InventoryError((_problem("a dictionary is needed: {NAME: {base: PROFILE, …}}"),))
    readers = [_Reader(str(name), changes) for name, changes in value.items()]
    own = [reader.profile() for reader in readers]
    problems = tuple(problem for reader in readers for problem in reader.problems)
    if problems:
        raise InventoryError(problems)
    return {**PROFILES, **{profile.name: profile for profile in own}}


class _Reader:
    """One profile of the inventory's, and what is wrong with it."""

    def __init__(self, name: str, changes: Any) -> None:
        self.name = name
        self.changes = changes
        self.problems: list[Problem] = []

    def profile(self) -> Profile | None:
        base = self._base()
        if base is None:
            return None
        fields = self._fields(base.cryptography)
        if self.problems:
            return None
        chosen = replace(base.cryptography, **fields)
        for text in _objections(chosen):
            self._wrong(text)
        return Profile(self.name, "{}, changed".format(base.name), chosen)

    def _wrong(self, text: str) -> None:
        self.problems.append(_problem("{}: {}".format(self.name, text)))

    def _base(self) -> Profile | None:
        """The built-in profile that it changes."""
        if self.name in PROFILES:
            return self._wrong("that's a built-in profile; take another name")
        if not isinstance(self.changes, Mapping) or not all(isinstance(name, str) for name in self.changes):
            return self._wrong("a dictionary is needed: {base: PROFILE, …}")
        base = str(self.changes.get(_BASE, DEFAULT_PROFILE))
        if base not in PROFILES:
            return self._wrong("{}: no built-in profile {!r}; there are: {}".format(_BASE, base, ", ".join(PROFILES)))
        return PROFILES[base]

    def _fields(self, base: Cryptography) -> dict[str, Any]:
        """What differs from the built-in profile."""
        fields = {}
        for name in sorted(set(self.changes) - {_BASE}):
            try:
                fields[name] = self._value(base, name, self.changes[name])
            except WrongValue as error:
                self._wrong("{}: {}".format(name, error))
        return fields

    def _value(self, base: Cryptography, field: str, value: Any) -> Any:
        known = sorted(set(_READERS) - (_IKEV1_ONLY if base.version == 2 else _IKEV2_ONLY))
        if field not in known:
            raise WrongValue("no such thing with IKEv{}; there are: {}".format(base.version, ", ".join(known)))
        return _READERS[field](value, _KMP[base.version])


_ReadValue = Callable[[Any, str], Any]  # a value of the inventory's and IKEV1 or IKEV2; raises WrongValue


def _algorithms(directive: str, optional: bool = False) -> _ReadValue:
    """A list of algorithms in the words of this directive of racoon2.conf, the preferred one first."""

    def read(value: Any, protocol: str) -> tuple[str, ...]:
        words = tuple(str(one) for one in _list(value))
        if not words and not optional:
            raise WrongValue("the list is empty")
        known = _known(protocol, directive)
        for word in words:
            if word not in known:
                text, hint = fault(TANUKI, protocol, directive, Algorithm(word))
                hint = "" if word in supported(TANUKI, protocol, directive) else hint
                raise WrongValue("{} ({})".format(text, hint or "there are: " + ", ".join(known)))
        return words

    return read


def _known(protocol: str, directive: str) -> list[str]:
    """The words that say all: ciphers that need a key length beside their name aren't among them."""
    words = supported(TANUKI, protocol, directive)
    return [word for word in words if fault(TANUKI, protocol, directive, Algorithm(word)) == ("", "")]


def _additional(value: Any, protocol: str) -> tuple[tuple[str, ...], ...]:
    """The methods of each additional key exchange (RFC 9370): a list of lists."""
    levels = _list(value)
    if len(levels) > len(ADDITIONAL_KES):
        raise WrongValue("{} additional key exchanges, but IKEv2 has {}".format(len(levels), len(ADDITIONAL_KES)))
    return tuple(_algorithms(directive)(level, protocol) for directive, level in zip(ADDITIONAL_KES, levels))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise WrongValue("a list is needed")
    return list(value)


def _seconds(least: int) -> _ReadValue:
    return lambda value, _protocol: read_number(value, least, _LONGEST, "seconds")


def _dpd_delay(value: Any, protocol: str) -> int:
    """0 in IKEv1: no probe is sent."""
    return _seconds(0 if protocol == IKEV1 else 1)(value, protocol)


def _boolean(value: Any, _protocol: str) -> bool:
    return read_boolean(value)


def _proposal_check(value: Any, protocol: str) -> str:
    words = rule_of(protocol, "proposal_check").words
    if value not in words:
        raise WrongValue("{!r} is none of {}".format(value, ", ".join(words)))
    return value


_DIRECTIVES = {
    "ike_encryption": "kmp_enc_alg",
    "ike_hash": "kmp_hash_alg",
    "ike_prf": "kmp_prf_alg",
    "groups": "kmp_dh_group",
    "esp_encryption": "esp_enc_alg",
    "esp_integrity": "esp_auth_alg",
}
_OPTIONAL = {"ike_hash", "esp_integrity"}  # AEADs need none
_READERS: dict[str, _ReadValue] = {
    **{name: _algorithms(directive, name in _OPTIONAL) for name, directive in _DIRECTIVES.items()},
    "additional": _additional,
    "ike_lifetime": _seconds(1),
    "child_lifetime": _seconds(1),
    "proposal_check": _proposal_check,
    "dpd_delay": _dpd_delay,
    "nat_traversal": _boolean,
    "pfs": _boolean,
}
_IKEV2_ONLY = {"ike_prf", "additional"}
_IKEV1_ONLY = {"proposal_check"}


def _objections(chosen: Cryptography) -> list[str]:
    """What the language's own checks say against a tunnel with this profile."""
    here, there = (ipaddress.ip_address(text) for text in ("192.0.2.1", "192.0.2.2"))  # RFC 5737
    networks = [(ipaddress.ip_network(text),) for text in ("198.51.100.0/24", "203.0.113.0/24")]
    peer = PeerEnd("peer", there, ("ipaddr", str(here)), ("ipaddr", str(there)), *networks, chosen)
    text = render(site_configuration(LocalEnd(here, "/psk"), [peer], TANUKI))
    found = check(load_text(text.encode("utf-8"), "racoon2.conf", TANUKI), Options(files=False))
    return [_in_our_words(problem.message) for problem in found if problem.is_error]


def _in_our_words(message: str) -> str:
    """What a check says, with the inventory's name beside the directive's."""
    for name, directive in _DIRECTIVES.items():
        message = message.replace(directive, "{} ({})".format(directive, name))
    return message


def _problem(text: str) -> Problem:
    return Problem("all sites", "ipsec_profiles", text)
