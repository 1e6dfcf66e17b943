# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the syntax tree to its meaning: what the daemon runs, the checks judge and spmd would install.

Inheritance is upstream's: a remote's block, then ``default { remote { … }; }``, then the
built-in default of the grammar table; 0 and ``infinite`` count as not set. A value that can't be read counts as
missing: the loader has reported it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..crypto.algorithms import CIPHERS, ENCRYPTION_KEYWORDS, GROUPS, HASHES, INTEGRITIES, PRFS
from . import view
from .grammar import ADDITIONAL_KES, NO_KE, PER_POLICY, PER_SELECTOR, REPLAY_WINDOW, RESTART, TRAP, rule_of
from .model import Block, Configuration
from .settings import (
    IKEV1,
    IKEV2,
    INBOUND,
    OUTBOUND,
    Effective,
    IkeSettings,
    Listen,
    Remote,
    SaProposal,
    Traffic,
    Tunnel,
)
from .values import ANY_PROTOCOL, Algorithm, Place, Reader, UpperProtocol
from .variables import variables_of

# Directive -> the field of IkeSettings that takes its value as it is.
_FIELDS = {
    "passive": "passive",
    "verify_id": "verify_id",
    "send_peers_id": "send_peers_id",
    "exchange_mode": "exchange_mode",
    "pre_shared_key": "pre_shared_key",
    "ppk": "ppk",
    "ppk_id": "ppk_id",
    "ppk_required": "ppk_required",
    "kmp_sa_lifetime_time": "lifetime_seconds",
    "kmp_sa_lifetime_byte": "lifetime_bytes",
    "proposal_check": "proposal_check",
    "selector_check": "selector_check",
    "nonce_size": "nonce_size",
    "initial_contact": "initial_contact",
    "nat_traversal": "nat_traversal",
    "force_encapsulation": "force_encapsulation",
    "kmp_sa_reauth_time": "reauth_seconds",
    "need_pfs": "need_pfs",
    "dpd": "dpd",
    "dpd_delay": "dpd_delay",
    "dpd_retry": "dpd_retry",
    "dpd_maxfail": "dpd_maxfail",
    "max_retry_to_send": "retries",
    "interval_to_send": "interval",
    "times_per_send": "times_per_send",
    "kmp_sa_nego_time_limit": "negotiation_limit",
    "ipsec_sa_nego_time_limit": "child_negotiation_limit",
    "kmp_sa_grace_period": "grace_period",
    "cookie_required": "cookie_required",
    "childless": "childless",
    "random_pad_content": "random_pad_content",
    "logmode": "logmode",
}

_ACTIONS = {"auto_ipsec": "ipsec", "static_ipsec": "ipsec", "discard": "discard", "none": "bypass", "bypass": "bypass"}


def effective(configuration: Configuration, environment: Mapping[str, str] | None = None) -> Effective:
    """What a configuration means. ``environment`` stands for the process's own in ``$[NAME]``. Never raises."""
    reader = Reader(variables_of(configuration, environment), configuration.dialect)
    return _Resolver(configuration, reader).effective()


class _Resolver:
    def __init__(self, configuration: Configuration, reader: Reader):
        self._configuration = configuration
        self._reader = reader
        self._index = view.Index(configuration, reader)
        default = view.first(configuration, "default")
        self._default_remote = view.inner(default, "remote")
        self._default_policy = view.inner(default, "policy")
        self._default_ipsec = view.inner(default, "ipsec")
        self._default_sa = view.inner(default, "sa")
        self._policies: dict[str, dict[str, object]] = {}
        self._inherited = {protocol: self._inheritance(protocol) for protocol in (IKEV1, IKEV2)}

    def effective(self) -> Effective:
        interface = view.first(self._configuration, "interface")
        tunnels, inbound = self._selectors()
        return Effective(
            listen=self._listen(interface),
            remotes=tuple(self._remote(block) for block in self._blocks("remote")),
            tunnels=tunnels,
            inbound=inbound,
            default=self._remote(self._default_remote) if self._default_remote is not None else None,
            application_bypass=self._value(interface, "application_bypass", default=True),
        )

    def _listen(self, interface: Block | None) -> tuple[Listen, ...]:
        places = (place for place in self._values(interface, "ike") if place.value is not None)
        return tuple(Listen(str(place.value), place.port) for place in places)

    # ---- Remotes ----------------------------------------------------------------------------------------------------

    def _remote(self, block: Block) -> Remote:
        acceptable = self._values(block, "acceptable_kmp") or self._values(self._default_remote, "acceptable_kmp")
        return Remote(
            name=self._index.name(block) if block.index is not None else "",
            acceptable=acceptable,
            ikev1=self._ike(block, IKEV1),
            ikev2=self._ike(block, IKEV2),
            position=block.position,
        )

    def _ike(self, remote: Block, protocol: str) -> IkeSettings | None:
        own = view.inner(remote, protocol)
        if own is None:
            return None
        default = view.inner(self._default_remote, protocol)
        return IkeSettings(
            protocol=protocol,
            peers=tuple(place.endpoint() for place in self._values(own, "peers_ipaddr") if place.value is not None),
            my_ids=self._identities(own, default, "my_id"),
            peers_ids=self._identities(own, default, "peers_id"),
            encryption=encryption(self._list(own, default, "kmp_enc_alg")),
            hashes=named(self._list(own, default, "kmp_hash_alg"), HASHES if protocol == IKEV1 else INTEGRITIES),
            prfs=named(self._list(own, default, "kmp_prf_alg"), PRFS),
            groups=tuple(name for name in self._list(own, default, "kmp_dh_group") if name in GROUPS),
            additional=self._additional(own, default) if protocol == IKEV2 else (),
            auth_methods=tuple(method.name for method in self._list(own, default, "kmp_auth_method")),
            scripts=self._list(own, default, "script"),
            **{**self._inherited[protocol], **self._scalars(own)},
        )

    def _additional(self, own: Block, default: Block | None) -> tuple[tuple[str, ...], ...]:
        """The additional key exchanges, up to the last one that says something."""
        levels = [
            tuple(name for name in self._list(own, default, directive) if name in GROUPS or name == NO_KE)
            for directive in ADDITIONAL_KES
        ]
        while levels and not levels[-1]:
            levels.pop()
        return tuple(levels)

    def _scalars(self, block: Block | None) -> dict[str, object]:
        """The single values that a block sets, by the field that takes them. What counts as not set is left out."""
        found = {}
        for node in block.body if block is not None else ():
            field = _FIELDS.get(node.name)
            value = self._value(block, node.name) if field else None
            if _is_set(value):
                found[field] = value
        return found

    def _inheritance(self, protocol: str) -> dict[str, object]:
        """The single values of a protocol where a remote sets none: from default, else built in."""
        default = self._scalars(view.inner(self._default_remote, protocol))
        found = {}
        for name, field in _FIELDS.items():
            rule = rule_of(protocol, name)
            if rule is not None:
                built_in = "" if rule.default(protocol) is None else rule.default(protocol)
                found[field] = built_in if protocol in rule.own else default.get(field, built_in)
        return found

    def _list(self, own: Block, default: Block | None, name: str) -> tuple:
        """A list is inherited whole or not at all."""
        return self._values(own, name) or self._values(default, name)

    def _identities(self, own: Block, default: Block | None, name: str) -> tuple:
        return tuple(identity for identity in self._list(own, default, name) if identity.value != "")

    # ---- Selectors and their policies -------------------------------------------------------------------------------

    def _selectors(self) -> tuple[tuple[Tunnel, ...], tuple[Tunnel, ...]]:
        """The outbound selectors, each with the name of its mirror, and the inbound ones."""
        found = [self._selector(block, rank) for rank, block in enumerate(self._blocks("selector"))]
        known = [tunnel for tunnel in found if tunnel is not None]
        inbound = tuple(tunnel for tunnel in known if tunnel.direction == INBOUND)
        mirrors: dict[tuple[str, Traffic], str] = {}
        for tunnel in inbound:
            mirrors.setdefault((tunnel.policy, tunnel.selector.reversed()), tunnel.name)
        outbound = tuple(
            _mirrored(tunnel, mirrors.get((tunnel.policy, tunnel.selector), ""))
            for tunnel in known
            if tunnel.direction == OUTBOUND
        )
        return outbound, inbound

    def _selector(self, block: Block, rank: int) -> Tunnel | None:
        """A selector with its policy; None where it has no direction, no policy or no addresses."""
        direction = self._value(block, "direction")
        policy_name = self._value(block, "policy_index")
        traffic = self._traffic(block)
        if direction is None or traffic is None or self._index.find("policy", policy_name) is None:
            return None
        return Tunnel(
            name=self._index.name(block),
            inbound="",
            selector=traffic,
            reqid=self._value(block, "reqid", 0),
            direction=direction,
            rank=rank,
            position=block.position,
            **self._policy(policy_name),
        )

    def _policy(self, name: str) -> dict[str, object]:
        """The fields of a tunnel that come from its policy: worked out once, for all of its selectors."""
        if name not in self._policies:
            self._policies[name] = self._policy_fields(name, self._index.find("policy", name))
        return self._policies[name]

    def _policy_fields(self, name: str, policy: Block) -> dict[str, object]:
        ipsec = self._first_target(policy, "ipsec_index", "ipsec")
        remote = self._value(policy, "remote_index", "")
        mode = self._policy_value(policy, "ipsec_mode", "")
        per_policy = self._policy_value(policy, "child_per", PER_SELECTOR) == PER_POLICY
        return {
            "policy": name,
            "remote": remote,
            "action": _ACTIONS.get(self._policy_value(policy, "action", ""), ""),
            "install": self._value(policy, "install", default=True),
            "mode": mode,
            "level": self._policy_value(policy, "ipsec_level", ""),
            "my_address": self._address(policy, "my_sa_ipaddr"),
            "peers_address": self._address(policy, "peers_sa_ipaddr"),
            "lifetime_seconds": self._lifetime(ipsec, "ipsec_sa_lifetime_time") or self._default_lifetime(remote),
            "lifetime_bytes": self._lifetime(ipsec, "ipsec_sa_lifetime_byte"),
            "lifetime_packets": self._lifetime(ipsec, "ipsec_sa_lifetime_packet"),
            "replay_window": self._replay_window(ipsec),
            "esn": self._value(ipsec, "ext_sequence")
            or self._value(self._default_ipsec, "ext_sequence", default=False),
            "start_action": self._policy_value(policy, "start_action", TRAP),
            "close_action": self._policy_value(policy, "close_action", TRAP),
            "dpd_action": self._policy_value(policy, "dpd_action", RESTART),
            "proposals": self._proposals(ipsec),
            "shared": per_policy and mode == "tunnel" and self._acceptable(remote) == (IKEV2,),
        }

    def _traffic(self, block: Block) -> Traffic | None:
        source: Place | None = self._value(block, "src")
        destination: Place | None = self._value(block, "dst")
        if source is None or destination is None or source.value is None or destination.value is None:
            return None
        protocol: UpperProtocol = self._value(block, "upper_layer_protocol", UpperProtocol(ANY_PROTOCOL))
        number = 0 if protocol.number == ANY_PROTOCOL else protocol.number
        ports = protocol.extra + (0, 0) if protocol.extra else (source.port, destination.port)
        return Traffic(source.network(), destination.network(), number, ports[0], ports[1])

    def _policy_value(self, policy: Block, name: str, default: object) -> object:
        value = self._value(policy, name)
        return self._value(self._default_policy, name, default) if value is None else value

    def _address(self, policy: Block, name: str) -> object:
        place = self._policy_value(policy, name, None)
        return place.value if place is not None else None

    def _lifetime(self, ipsec: Block | None, name: str) -> int:
        return self._value(ipsec, name, 0) or self._value(self._default_ipsec, name, 0)

    def _replay_window(self, ipsec: Block | None) -> int:
        """Unlike a lifetime's, its 0 is a value: it has to be meant."""
        own = self._value(ipsec, "replay_window")
        return self._value(self._default_ipsec, "replay_window", REPLAY_WINDOW) if own is None else own

    def _default_lifetime(self, remote_name: str) -> int:
        """The built-in lifetime of a child SA belongs to the protocol that its remote initiates with."""
        acceptable = self._acceptable(remote_name)
        return rule_of("ipsec", "ipsec_sa_lifetime_time").default(acceptable[0] if acceptable else IKEV2)

    def _acceptable(self, remote_name: str) -> tuple[str, ...]:
        remote = self._index.find("remote", remote_name)
        return self._values(remote, "acceptable_kmp") or self._values(self._default_remote, "acceptable_kmp")

    def _proposals(self, ipsec: Block | None) -> tuple[SaProposal, ...]:
        sas = (self._index.find("sa", name) for name in self._values(ipsec, "sa_index"))
        return tuple(self._proposal(sa) for sa in sas if sa is not None)

    def _proposal(self, sa: Block) -> SaProposal:
        protocol = self._value(sa, "sa_protocol", "")
        integrity = "ah_auth_alg" if protocol == "ah" else "esp_auth_alg"
        return SaProposal(
            protocol=protocol,
            encryption=encryption(self._list(sa, self._default_sa, "esp_enc_alg")) if protocol == "esp" else (),
            integrity=named(self._list(sa, self._default_sa, integrity), INTEGRITIES) if protocol != "ipcomp" else (),
            compression=tuple(entry.name for entry in self._list(sa, self._default_sa, "ipcomp_alg"))
            if protocol == "ipcomp"
            else (),
        )

    # ---- The tree ---------------------------------------------------------------------------------------------------

    def _first_target(self, block: Block, directive: str, section: str) -> Block | None:
        name = self._value(block, directive)
        return self._index.find(section, name) if name is not None else None

    def _blocks(self, section: str) -> list[Block]:
        return [node for node in self._configuration.all(section) if isinstance(node, Block)]

    def _value(self, block: Block | None, name: str, default: object = None) -> object:
        return view.value(self._reader, block, name, default)

    def _values(self, block: Block | None, name: str) -> tuple:
        return view.values(self._reader, block, name)


def encryption(entries: tuple[Algorithm, ...]) -> tuple[tuple[str, int], ...]:
    """(cipher, key bits) pairs of a list of algorithms, without those that nobody here implements."""
    pairs = (cipher_of(entry) for entry in entries)
    return tuple(pair for pair in pairs if pair is not None)


def cipher_of(entry: Algorithm) -> tuple[str, int] | None:
    """The cipher and key length in bits that an entry names; None without a row, or with a length it doesn't have."""
    name, bits = ENCRYPTION_KEYWORDS.get(entry.name, ("", 0))
    if not name:
        return None
    bits = bits or entry.bits or 0
    return (name, bits) if bits in CIPHERS[name].key_bits else None


def named(entries: tuple[Algorithm, ...], registry: Mapping[str, object]) -> tuple[str, ...]:
    """The names of a list of algorithms that have a row in the registry."""
    return tuple(entry.name for entry in entries if entry.name in registry)


def _is_set(value: object) -> bool:
    """Whether upstream sees a value as set: zero, infinite and nothing are not; ``off`` is."""
    return isinstance(value, bool) or bool(value)


def _mirrored(tunnel: Tunnel, inbound: str) -> Tunnel:
    return tunnel if not inbound else replace(tunnel, inbound=inbound)
