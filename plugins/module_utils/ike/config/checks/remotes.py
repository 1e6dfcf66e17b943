# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remotes: what upstream's iked demands at its start, and so do we; algorithms; identities that can't match."""

from __future__ import annotations

from .. import view
from ..grammar import ADDITIONAL_KES, IKEV1, IKEV2, KINK, NO_KE, rule_of
from ..model import Block, Position
from ..settings import IkeSettings, Remote
from ..values import Algorithm
from .algorithms import aead, fault, weakness
from .keys import check_ppk
from .subject import Subject

NONCE_SIZES = {IKEV1: (8, 256), IKEV2: (16, 256)}  # bytes, RFC 2409 5 and RFC 7296 3.9

_LISTS = ("kmp_enc_alg", "kmp_hash_alg", "kmp_prf_alg", "kmp_dh_group", *ADDITIONAL_KES, "kmp_auth_method")
_REQUIRED = {
    IKEV1: ("peers_ipaddr", "kmp_enc_alg", "kmp_hash_alg", "kmp_dh_group", "kmp_auth_method"),
    IKEV2: ("my_id", "kmp_enc_alg", "kmp_hash_alg", "kmp_prf_alg", "kmp_dh_group", "kmp_auth_method"),
}
_NEVER_INHERITED = ("peers_ipaddr", "pre_shared_key")


def check_remotes(subject: Subject) -> None:
    for block, remote in subject.remotes():
        _check_acceptable(subject, block, remote)
        for protocol in (IKEV1, IKEV2):
            _check_protocol(subject, block, remote, protocol)
    _check_default(subject)
    _check_order(subject)


def _check_acceptable(subject: Subject, block: Block, remote: Remote) -> None:
    place = subject.place(block, "acceptable_kmp")
    if not remote.acceptable and subject.missing(block, "acceptable_kmp"):
        subject.problems.warning(
            place,
            "{} has no acceptable_kmp".format(block.label),
            "it then initiates IKEv2 and answers nobody",
        )
    for protocol in remote.acceptable:
        if protocol == KINK and subject.ours:
            subject.problems.warning(place, "KINK is not supported here")
        elif not block.has(protocol) and not block.damaged:
            subject.problems.error(place, "{0} accepts {1} but has no {1} block".format(block.label, protocol))


def _check_protocol(subject: Subject, block: Block, remote: Remote, protocol: str) -> None:
    """Upstream checks every block, we those that may be used."""
    own = view.inner(block, protocol)
    if own is None or not (subject.upstream or protocol in remote.acceptable):
        return
    settings = remote.settings(protocol)
    used = protocol in remote.acceptable
    _check_required(subject, block, own)
    _check_lists(subject, own, used)
    _check_nonce(subject, own, settings)
    _check_encapsulation(subject, own, settings)
    _check_method(subject, block, own, settings)
    if protocol == IKEV1:
        _check_phase1(subject, own, settings)
    else:
        check_ppk(subject, own, settings)
        _check_additional(subject, own, settings)
    if used:
        _check_identities(subject, block, own, settings)


def _check_encapsulation(subject: Subject, own: Block, settings: IkeSettings) -> None:
    if settings.force_encapsulation and not settings.nat_traversal:
        subject.problems.error(
            subject.place(own, "force_encapsulation"),
            "force_encapsulation with nat_traversal off",
            "the encapsulation is NAT traversal's",
        )


# ---- What must be there ---------------------------------------------------------------------------------------------


def _check_required(subject: Subject, remote: Block, own: Block) -> None:
    default = view.inner(subject.default_remote, own.name)
    for name in _REQUIRED[own.name]:
        inherited = default if name not in _NEVER_INHERITED else None
        if name == "kmp_hash_alg" and _only_aead(subject, own, default):
            continue
        if subject.missing(own, name) and subject.missing(inherited, name):
            crash = "iked crashes on it" if subject.upstream and name == "kmp_auth_method" else ""
            subject.problems.error(own.position, "{} {} has no {}".format(remote.label, own.name, name), crash)


def _only_aead(subject: Subject, own: Block, default: Block | None) -> bool:
    """Whether every cipher of IKEv2 brings its own integrity, so that kmp_hash_alg has nothing to say."""
    entries = subject.values(own, "kmp_enc_alg") or subject.values(default, "kmp_enc_alg")
    return own.name == IKEV2 and bool(entries) and all(aead(entry) for entry in entries)


def _check_default(subject: Subject) -> None:
    """Upstream wants a default ikev1 block complete, even if nobody inherits from it."""
    default = view.inner(subject.default_remote, IKEV1)
    for protocol in (IKEV1, IKEV2):
        block = view.inner(subject.default_remote, protocol)
        if block is not None:
            _check_lists(subject, block, used=True)
            _check_uninherited(subject, block)
    for name in ("kmp_enc_alg", "kmp_hash_alg", "kmp_dh_group") if subject.upstream and default is not None else ():
        if subject.missing(default, name):
            subject.problems.error(
                default.position,
                "default ikev1 has no {}: iked refuses to start".format(name),
                "complete it or leave it out",
            )


def _check_uninherited(subject: Subject, block: Block) -> None:
    """What stands in default and yet serves no remote."""
    for node in block.body:
        if block.name in rule_of(block.name, node.name).own:
            subject.problems.warning(
                node.position,
                "{} is not inherited from default".format(node.name),
                "it serves only peers that no remote matches",
            )


# ---- Algorithms -----------------------------------------------------------------------------------------------------


def _check_lists(subject: Subject, block: Block, used: bool) -> None:
    """Every entry of every list of algorithms; weak ones are named where they may be negotiated."""
    for name in _LISTS:
        rule = rule_of(block.name, name)
        if rule is not None and block.name not in rule.idle:
            for entry, position in subject.algorithms(block, name):
                check_entry(subject, block.name, name, entry, position, used)


def check_entry(subject: Subject, protocol: str, name: str, entry: Algorithm, position: Position, used: bool) -> None:
    """One algorithm in one place: whether it may stand there, and whether it is weak."""
    wrong, hint = fault(subject.tree.dialect, protocol, name, entry)
    if wrong:
        subject.problems.error(position, wrong, hint)
        return
    weak = weakness(name, entry.name)
    if weak and used:
        subject.problems.warning(position, "{} is weak".format(entry.name), weak)
    if subject.upstream and used and name == "kmp_enc_alg" and entry.name == "3des_cbc":
        subject.problems.warning(
            position,
            "racoon2 cannot encrypt IKE by 3des_cbc with OpenSSL 3",
            "use aes128_cbc; ESP is not affected",
        )


def _check_additional(subject: Subject, own: Block, settings: IkeSettings) -> None:
    """Additional key exchanges that can't be run here, or that would be no other than the first."""
    for directive, names in zip(ADDITIONAL_KES, settings.additional):
        place = subject.place(own, directive)
        lacking = [subject.options.lacking[name] for name in names if name in subject.options.lacking]
        runnable = [name for name in names if name not in subject.options.lacking]
        if lacking and not runnable and subject.options.files:
            subject.problems.error(place, "{}: {}".format(directive, lacking[0]), "or add none, for peers without it")
        elif lacking and (subject.options.files or not runnable):
            subject.problems.warning(place, "{}: {}".format(directive, lacking[0]), "without it until then")
        if set(names) - {NO_KE} and set(names) <= {*settings.groups[:1], NO_KE}:
            subject.problems.warning(
                place, "{} is kmp_dh_group's already".format(names[0]), "no method is used twice for one IKE SA"
            )


def _check_nonce(subject: Subject, own: Block, settings: IkeSettings) -> None:
    low, high = NONCE_SIZES[own.name]
    if not low <= settings.nonce_size <= high:
        subject.problems.error(
            subject.place(own, "nonce_size"),
            "a nonce of {} bytes".format(settings.nonce_size),
            "{} to {}".format(low, high),
        )


# ---- Authentication and identities ----------------------------------------------------------------------------------


def _check_method(subject: Subject, remote: Block, own: Block, settings: IkeSettings) -> None:
    methods = settings.auth_methods
    if "psk" in methods and subject.missing(own, "pre_shared_key"):
        subject.problems.error(
            own.position,
            "{} {} has no pre_shared_key".format(remote.label, own.name),
            "it is never inherited from default",
        )
    if own.name == IKEV2 and {"rsasig", "dss"} & set(methods) and subject.missing(own, "peers_public_key"):
        subject.problems.error(own.position, "{} {} has no peers_public_key".format(remote.label, own.name))
    if own.name == IKEV1 and len(methods) > 1:
        subject.problems.warning(
            subject.place(own, "kmp_auth_method"),
            "of several authentication methods the first one counts",
        )


def _check_mode(subject: Subject, own: Block, settings: IkeSettings) -> None:
    place = subject.place(own, "exchange_mode")
    if settings.exchange_mode == "aggressive" and subject.ours:
        subject.problems.warning(
            place, "aggressive mode lets anybody who sees it guess the pre-shared key", "use main where the peer can"
        )
    elif settings.exchange_mode != "main":
        subject.problems.error(place, "exchange_mode {} is not supported".format(settings.exchange_mode), "only main")


def _check_phase1(subject: Subject, own: Block, settings: IkeSettings) -> None:
    _check_mode(subject, own, settings)
    if settings.auth_methods[:1] != ("psk",) or settings.exchange_mode != "main" or subject.ours:
        return  # ours finds the key by the peer's address, and takes any identity that the key has proved
    if any(identity.kind != "ipaddr" for identity in settings.peers_ids):
        subject.problems.error(
            subject.place(own, "peers_id"),
            "main mode with psk knows a peer by its address only",
            "use peers_id ipaddr",
        )
    if any(identity.kind != "ipaddr" for identity in settings.my_ids[:1]):
        subject.problems.warning(
            subject.place(own, "my_id"),
            "main mode with psk knows a peer by its address only",
            "use my_id ipaddr",
        )


def _check_identities(subject: Subject, remote: Block, own: Block, settings: IkeSettings) -> None:
    _check_my_id(subject, own, settings)
    place = subject.place(own, "peers_id")
    if settings.verify_id and not settings.peers_ids and subject.missing(own, "peers_id"):
        subject.problems.error(
            own.position,
            "{} {} verifies the peer's identity but has no peers_id".format(remote.label, own.name),
            "as responder it refuses everybody",
        )
    peers = {peer.address for peer in settings.peers}
    for identity in settings.peers_ids if None not in peers else ():
        if identity.kind == "ipaddr" and peers and identity.value not in peers:
            subject.problems.warning(
                place,
                "peers_id {} is not the peer's address {}".format(identity.value, min(map(str, peers))),
                "right only if the peer says so, as behind a NAT",
            )
    for identity in settings.my_ids + settings.peers_ids:
        if identity.kind == "email" and "@" not in str(identity.value):
            subject.problems.warning(place, "{} has no @".format(identity.value), "an e-mail identity is user@name")


def _check_my_id(subject: Subject, own: Block, settings: IkeSettings) -> None:
    """An address that is none of this host's: the peer's peers_id will hardly say the same."""
    local = subject.local_addresses
    for identity in settings.my_ids[:1]:
        if identity.kind == "ipaddr" and local and identity.value not in local:
            known = ", ".join(sorted(str(address) for address in local)[:3])
            subject.problems.warning(
                subject.place(own, "my_id"),
                "my_id {} is no address of this host ({})".format(identity.value, known),
                "the peer must have it as peers_id, else it refuses us",
            )


def _check_order(subject: Subject) -> None:
    """A remote that matches every address hides those below it, unless our daemon tells them apart by their names."""
    hiding: dict[str, str] = {}
    for block, remote in subject.remotes():
        for protocol in (IKEV1, IKEV2):
            settings = remote.settings(protocol)
            if settings is None or protocol not in remote.acceptable:
                continue
            if protocol in hiding:
                subject.problems.warning(
                    block.position,
                    "{} is never found for an incoming {}".format(block.label, protocol),
                    "{} above it matches every address".format(hiding[protocol]),
                )
            elif subject.ours and protocol == IKEV2 and settings.peers_ids:
                continue
            elif any(peer.address is None and peer.name.startswith("IP_") for peer in settings.peers):
                hiding[protocol] = block.label
