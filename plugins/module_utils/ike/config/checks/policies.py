# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies, ipsecs and sas that a selector leads to: complete, possible, and not weak."""

from __future__ import annotations

from .. import view
from ..grammar import IKEV1, IKEV2, LARGEST_REPLAY_WINDOW, PER_POLICY, REPLAY_WINDOW, START
from ..model import Block
from ..values import Place
from .algorithms import aead
from .remotes import check_entry
from .subject import Subject

_IKE = (IKEV1, IKEV2)
_LISTS = {"esp": ("esp_enc_alg", "esp_auth_alg"), "ah": ("ah_auth_alg",), "ipcomp": ("ipcomp_alg",)}


def check_policies(subject: Subject) -> None:
    _Policies(subject).check()


class _Policies:
    def __init__(self, subject: Subject):
        self._subject = subject
        self._problems = subject.problems
        self._default = subject.default_policy
        self._seen: set[tuple[int, str]] = set()

    def check(self) -> None:
        for selector in self._subject.blocks("selector"):
            for policy in self._subject.targets(selector, "policy_index", "policy"):
                if self._is_new(policy):
                    self._policy(policy)

    def _policy(self, policy: Block) -> None:
        action = self._value(policy, "action")
        if action == "auto_ipsec":
            self._auto(policy)
        elif action == "static_ipsec":
            self._problems.error(
                self._subject.place(policy, "action"), "static_ipsec is not supported", "upstream rejects it as well"
            )
        elif self._lacks(policy, "action"):
            self._problems.error(policy.position, "{} has no action".format(policy.label))

    def _auto(self, policy: Block) -> None:
        subject = self._subject
        for name in ("remote_index", "ipsec_index"):
            if subject.missing(policy, name):
                self._problems.error(policy.position, "{} has no {}".format(policy.label, name))
        for name in ("ipsec_mode", "ipsec_level"):
            if self._lacks(policy, name):
                self._problems.error(policy.position, "{} has no {}".format(policy.label, name))
        if len(subject.values(policy, "ipsec_index")) > 1:
            self._problems.warning(
                subject.place(policy, "ipsec_index"), "of several ipsec_index the first one counts", "use exactly one"
            )
        acceptable = subject.acceptable(subject.value(policy, "remote_index", ""))
        self._ends(policy, acceptable)
        self._level(policy, acceptable)
        self._start(policy, acceptable)
        self._child_per(policy, acceptable)
        for ipsec in subject.targets(policy, "ipsec_index", "ipsec")[:1]:
            self._ipsec(ipsec, [name for name in acceptable if name in _IKE])

    def _ends(self, policy: Block, acceptable: tuple[str, ...]) -> None:
        tunnel = self._value(policy, "ipsec_mode") == "tunnel"
        needed = tunnel or (self._subject.upstream and IKEV1 in acceptable)
        for name in ("my_sa_ipaddr", "peers_sa_ipaddr"):
            end: Place | None = self._value(policy, name)
            if end is None and needed and self._lacks(policy, name):
                hint = "" if tunnel else "without it upstream's iked crashes after quick mode"
                self._problems.error(policy.position, "{} has no {}".format(policy.label, name), hint)
            elif end is not None and end.address is None and not end.macro:
                self._problems.error(
                    self._subject.place(policy, name),
                    "{} is no address".format(end.name),
                    "a host name is not resolved here",
                )

    def _start(self, policy: Block, acceptable: tuple[str, ...]) -> None:
        """What is to be up from the start has to be begun by this end."""
        remote = self._subject.effective.remote(self._subject.value(policy, "remote_index", ""))
        settings = remote.settings(acceptable[0]) if remote is not None else None
        if self._value(policy, "start_action") == START and settings is not None and settings.passive:
            self._problems.error(
                self._subject.place(policy, "start_action"),
                "start_action start, but the remote is passive",
                "only the peer may begin",
            )

    def _child_per(self, policy: Block, acceptable: tuple[str, ...]) -> None:
        """Only IKEv2 knows several selectors for one child SA; ours have them in tunnel mode."""
        if self._value(policy, "child_per") != PER_POLICY:
            return
        place = self._subject.place(policy, "child_per")
        if acceptable != (IKEV2,):
            self._problems.error(place, "child_per policy needs a remote that accepts ikev2 alone")
        if self._value(policy, "ipsec_mode") == "transport":
            self._problems.error(place, "child_per policy is for tunnel mode")

    def _level(self, policy: Block, acceptable: tuple[str, ...]) -> None:
        level = self._value(policy, "ipsec_level")
        place = self._subject.place(policy, "ipsec_level")
        if level == "unique":
            if self._subject.upstream and IKEV1 in acceptable:
                self._problems.error(place, "level unique never works with IKEv1", "no SA ever matches: use require")
            else:
                self._problems.warning(place, "level unique counts as require unless the selector has a reqid")
        elif level == "use":
            self._problems.warning(place, "level use lets traffic pass in clear", "use require")

    def _value(self, policy: Block, name: str) -> object:
        """A policy's own value; ours may come from default, upstream's daemons read the policy alone."""
        own = self._subject.value(policy, name)
        return own if own is not None or self._subject.upstream else self._subject.value(self._default, name)

    def _lacks(self, policy: Block, name: str) -> bool:
        inherited = None if self._subject.upstream else self._default
        return self._subject.missing(policy, name) and self._subject.missing(inherited, name)

    # ---- SAs --------------------------------------------------------------------------------------------------------

    def _ipsec(self, ipsec: Block, protocols: list[str]) -> None:
        subject = self._subject
        if subject.missing(ipsec, "sa_index"):
            self._problems.error(ipsec.position, "{} has no sa_index".format(ipsec.label))
        own = subject.value(ipsec, "ipsec_sa_lifetime_time", 0)
        inherited = subject.value(view.inner(subject.default, "ipsec"), "ipsec_sa_lifetime_time", 0)
        if IKEV2 in protocols and not own and not inherited and self._is_new(ipsec):
            self._problems.warning(
                ipsec.position, "{} has no ipsec_sa_lifetime_time".format(ipsec.label), "IKEv2 then never rekeys the SA"
            )
        window = subject.value(ipsec, "replay_window", REPLAY_WINDOW)
        if not 0 <= window <= LARGEST_REPLAY_WINDOW:
            self._problems.error(
                subject.place(ipsec, "replay_window"),
                "a replay window of {} packets (0 to {})".format(window, LARGEST_REPLAY_WINDOW),
            )
        elif not window:
            place = subject.place(ipsec, "replay_window")
            self._problems.warning(place, "without a replay window packets can be replayed")
        for sa in self._subject.targets(ipsec, "sa_index", "sa"):
            for protocol in protocols:
                if self._is_new(sa, protocol):
                    self._sa(sa, protocol)

    def _sa(self, sa: Block, protocol: str) -> None:
        subject = self._subject
        sa_protocol = subject.value(sa, "sa_protocol", "")
        if sa_protocol == "ipcomp" and (subject.ours or protocol == IKEV2):
            self._problems.error(subject.place(sa, "sa_protocol"), "ipcomp is not supported in {}".format(protocol))
            return
        for name in _LISTS.get(sa_protocol, ()):
            self._list(sa, protocol, name)
        if subject.value(sa, "spi", 0):
            self._problems.warning(subject.place(sa, "spi"), "spi is for static SAs only", "leave it out")

    def _list(self, sa: Block, protocol: str, name: str) -> None:
        subject = self._subject
        entries = list(subject.algorithms(sa, name))
        needless = name == "esp_auth_alg" and self._only_aead(sa)
        if not entries and not needless and subject.missing(sa, name) and subject.missing(subject.default_sa, name):
            self._problems.error(sa.position, "{} has no {}".format(sa.label, name))
        for entry, position in entries:
            check_entry(subject, protocol, name, entry, position, used=True)

    def _only_aead(self, sa: Block) -> bool:
        """Whether every cipher brings its own integrity; upstream knows no such cipher."""
        subject = self._subject
        entries = subject.values(sa, "esp_enc_alg") or subject.values(subject.default_sa, "esp_enc_alg")
        return bool(entries) and all(aead(entry) for entry in entries)

    def _is_new(self, block: Block, role: str = "") -> bool:
        key = (id(block), role)
        known = key in self._seen
        self._seen.add(key)
        return not known
