# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building a site's configuration from plain facts: what a generator writes, with upstream's traps avoided.

One remote, policy, ipsec and sa per tunnel and a pair of selectors per pair of networks, nothing inherited, no
variables. In dialect racoon2 each known crash of upstream has its guard: an IKEv1 remote gets an ``ikev2`` block that
is never negotiated, policies always name both SA addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .grammar import (
    ADDITIONAL_KES,
    CLEAR,
    NEVER,
    RACOON2,
    REPLAY_WINDOW,
    RESERVED,
    RESTART,
    START,
    TANUKI,
    TRAP,
    rule_of,
)
from .model import KEYWORD, MARK, Block, Configuration, Directive, Item, Node, Word
from .settings import IKEV1, IKEV2, MACROS, Address, Network
from .syntax import NUMBER

IKE_PORT = 500
ROAD_WARRIOR = "IP_RW"  # a peer whose address is learned when it comes

_KEYWORD = re.compile(r"[a-z0-9_]+\Z")

# What a dormant ikev2 block says. It is never negotiated, but upstream's start-up check reads it.
_DORMANT_ENCRYPTION = ("aes128_cbc",)
_DORMANT_DIGEST = ("hmac_sha1",)
_DORMANT_GROUP = ("modp2048",)


@dataclass(frozen=True)
class Profile:
    """The cryptography of a tunnel, in the language's own keywords. Times in seconds.

    ``ike_hash`` holds hashes for version 1 (``sha1``) and integrity algorithms for version 2 (``hmac_sha1``);
    ``ike_prf`` serves version 2 only. An entry with a key length is written as ``aes_ctr,128``.
    ``additional`` has the methods of each additional key exchange, ``none`` among them where peers may lack it.
    ``esp_integrity`` may be empty with AEADs. ``dpd_delay`` 0 means that no probe is sent (version 1 only).
    """

    version: int
    ike_encryption: tuple[str, ...]
    ike_hash: tuple[str, ...]
    groups: tuple[str, ...]
    esp_encryption: tuple[str, ...]
    esp_integrity: tuple[str, ...] = ()
    ike_prf: tuple[str, ...] = ()
    additional: tuple[tuple[str, ...], ...] = ()
    ike_lifetime: int = 28800
    child_lifetime: int = 28800
    pfs: bool = False
    dpd_delay: int = 30
    proposal_check: str = "obey"
    nat_traversal: bool = True


@dataclass(frozen=True)
class LocalEnd:
    """This site. ``address`` is where it listens, and where its ``others`` are; the paths are on the target.

    Where nobody knows the address, it listens everywhere in the ``families`` of its peers' addresses. ``unknown``: its
    peers can't find it.
    """

    address: Address | None
    psk_directory: str
    families: tuple[int, ...] = ()
    unknown: bool = False
    others: tuple[Address, ...] = ()
    ports: tuple[int, ...] = (500, 4500)
    spmd_socket: str = "/var/run/racoon2/spmif"
    spmd_password_file: str = "/usr/local/etc/racoon2/spmd.pwd"  # noqa: S105 (a path)


@dataclass(frozen=True)
class Tuning:
    """What one end decides for itself. Only our daemon knows these directives; the defaults write none."""

    force_encapsulation: bool = False
    replay_window: int = REPLAY_WINDOW
    start_action: str = TRAP
    close_action: str = TRAP
    dpd_action: str = RESTART
    reauth_seconds: int = 0  # 0: never; IKEv1 authenticates with every IKE SA


@dataclass(frozen=True)
class PeerEnd:
    """A tunnel to one peer: every network of ``local_networks`` with every one of ``peer_networks``.

    ``local_address`` is ours towards this peer, where it isn't the site's usual one.
    A peer without ``address`` may come from anywhere. By its ``host_name`` we find it; without one it is only answered.
    Ids are (type, value) pairs such as ``("ipaddr", "192.0.2.1")`` or ``("fqdn", "gw.example.com")``.
    """

    name: str
    address: Address | None
    my_id: tuple[str, str]
    peers_id: tuple[str, str]
    local_networks: tuple[Network, ...]
    peer_networks: tuple[Network, ...]
    profile: Profile
    passive: bool = False
    tuning: Tuning = Tuning()
    host_name: str = ""
    local_address: Address | None = None


def site_configuration(local: LocalEnd, peers: list[PeerEnd], dialect: str) -> Configuration:
    """The whole configuration of one site. ValueError where a name or value has no place in the language."""
    _check_names(peers)
    if dialect == RACOON2 and any(peer.tuning != Tuning() for peer in peers):
        raise ValueError("racoon2 knows no forced encapsulation, replay window or start action: only our daemon does")
    sections = [_interface(local), Block("resolver", None, (_words("resolver", "off"),))]
    sections += [_remote(local, peer, dialect) for peer in peers]
    sections += _selectors(peers)
    sections += [_policy(local, peer, dialect) for peer in peers]
    sections += [_ipsec(peer) for peer in peers]
    sections += [_sa(peer, dialect) for peer in peers]
    return Configuration(tuple(sections), dialect)


def psk_path(local: LocalEnd, peer: PeerEnd) -> str:
    """Where the key that is shared with a peer lies."""
    return "{}/{}.psk".format(local.psk_directory, peer.name)


def selector_names(peer: PeerEnd, number: int) -> tuple[str, str]:
    """The indexes of the outbound and the inbound selector of a peer's n-th pair of networks, counted from 1."""
    return "{}_{}_out".format(peer.name, number), "{}_{}_in".format(peer.name, number)


def _check_names(peers: list[PeerEnd]) -> None:
    seen: set[str] = set()
    for peer in peers:
        if not peer.name or peer.name in RESERVED or set(peer.name) & set('"${}[]/ \t\r\n'):
            raise ValueError("{!r} is no name for a peer".format(peer.name))
        if peer.name in seen:
            raise ValueError("two peers are named {}".format(peer.name))
        seen.add(peer.name)


# ---- Sections -------------------------------------------------------------------------------------------------------


def _interface(local: LocalEnd) -> Block:
    places = [_my_address(local, family) for family in local.families] if local.address is None else [local.address]
    places += local.others if local.address is not None else ()
    ike = tuple(_endpoint(place, port) for place in places for port in local.ports)
    spmd = Directive("spmd", ((_keyword("unix"), Word(local.spmd_socket)),), True)
    return Block(
        "interface", None, (Directive("ike", ike, True), spmd, _strings("spmd_password", local.spmd_password_file))
    )


def _remote(local: LocalEnd, peer: PeerEnd, dialect: str) -> Block:
    protocol = IKEV1 if peer.profile.version == 1 else IKEV2
    body = [_words("acceptable_kmp", protocol, listed=True), _ike(protocol, local, peer, dialect)]
    if protocol == IKEV1 and dialect == RACOON2:
        body.append(_dormant(local, peer))
    return Block("remote", Word(peer.name), tuple(body))


def _ike(protocol: str, local: LocalEnd, peer: PeerEnd, dialect: str) -> Block:
    profile, reauth = peer.profile, peer.tuning.reauth_seconds
    body = [
        *([_words("exchange_mode", "main")] if protocol == IKEV1 else []),
        *([_words("passive", "on")] if peer.passive else []),
        *_who(peer),
        _words("verify_id", "on"),
        _algorithms(protocol, "kmp_enc_alg", profile.ike_encryption, dialect),
        *([_algorithms(protocol, "kmp_prf_alg", profile.ike_prf, dialect)] if protocol == IKEV2 else []),
        *([_algorithms(protocol, "kmp_hash_alg", profile.ike_hash, dialect)] if profile.ike_hash else []),
        _algorithms(protocol, "kmp_dh_group", profile.groups, dialect),
        *(_algorithms(protocol, *level, dialect) for level in zip(ADDITIONAL_KES, profile.additional) if level[1]),
        _words("kmp_auth_method", "psk", listed=True),
        _strings("pre_shared_key", psk_path(local, peer)),
        _seconds("kmp_sa_lifetime_time", profile.ike_lifetime),
        *([_seconds("kmp_sa_reauth_time", reauth)] if reauth and protocol == IKEV2 else []),
        *([_words("proposal_check", profile.proposal_check)] if protocol == IKEV1 else []),
        _words("need_pfs", "on" if profile.pfs else "off"),
        _words("nat_traversal", "on" if profile.nat_traversal else "off"),
        *([_words("force_encapsulation", "on")] if peer.tuning.force_encapsulation else []),
        *([_words("dpd", "on")] if protocol == IKEV1 else []),
        *([_seconds("dpd_delay", profile.dpd_delay)] if profile.dpd_delay else []),
    ]
    return Block(protocol, None, tuple(body))


def _dormant(local: LocalEnd, peer: PeerEnd) -> Block:
    """acceptable_kmp keeps it from being used; without it upstream's spmd crashes."""
    body = (
        *_who(peer),
        _algorithms(IKEV2, "kmp_enc_alg", _DORMANT_ENCRYPTION),
        _algorithms(IKEV2, "kmp_prf_alg", _DORMANT_DIGEST),
        _algorithms(IKEV2, "kmp_hash_alg", _DORMANT_DIGEST),
        _algorithms(IKEV2, "kmp_dh_group", _DORMANT_GROUP),
        _words("kmp_auth_method", "psk", listed=True),
        _strings("pre_shared_key", psk_path(local, peer)),
    )
    return Block(IKEV2, None, body)


def _who(peer: PeerEnd) -> list[Node]:
    places = [_peers_address(peer), *([peer.host_name] if peer.host_name else [])]
    endpoints = tuple(_endpoint(place, IKE_PORT) for place in places)
    return [
        _identity("my_id", peer.my_id),
        _identity("peers_id", peer.peers_id),
        Directive("peers_ipaddr", endpoints, len(endpoints) > 1),
    ]


def _selectors(peers: list[PeerEnd]) -> list[Block]:
    """All pairs, the more specific ones first: upstream's kernel may take the first policy that matches."""
    pairs = [(peer, number, *networks) for peer in peers for number, networks in enumerate(_pairs(peer), 1)]
    pairs.sort(key=lambda pair: -(pair[2].prefixlen + pair[3].prefixlen))
    sections = []
    for peer, number, ours, theirs in pairs:
        outbound, inbound = selector_names(peer, number)
        sections.append(_selector(outbound, "outbound", ours, theirs, peer.name))
        sections.append(_selector(inbound, "inbound", theirs, ours, peer.name))
    return sections


def _pairs(peer: PeerEnd) -> list[tuple[Network, Network]]:
    """Every network of ours with every one of the peer's that is of its family."""
    return [
        (ours, theirs)
        for ours in peer.local_networks
        for theirs in peer.peer_networks
        if ours.version == theirs.version
    ]


def _selector(name: str, direction: str, source: Network, destination: Network, policy: str) -> Block:
    body = (
        _words("direction", direction),
        _strings("src", str(source)),
        _strings("dst", str(destination)),
        _strings("upper_layer_protocol", "any"),
        _strings("policy_index", policy),
    )
    return Block("selector", Word(name), body)


def _policy(local: LocalEnd, peer: PeerEnd, dialect: str) -> Block:
    body = (
        _words("action", "auto_ipsec"),
        *(_words(name, word) for name, word in (_actions(local, peer) if dialect == TANUKI else ())),
        _strings("remote_index", peer.name),
        _words("ipsec_mode", "tunnel"),
        _words("ipsec_level", "require"),
        _strings("ipsec_index", peer.name),
        Directive("my_sa_ipaddr", ((_place(_facing(local, peer)),),)),
        Directive("peers_sa_ipaddr", ((_place(_peers_address(peer)),),)),
    )
    return Block("policy", Word(peer.name), body)


def _actions(local: LocalEnd, peer: PeerEnd) -> Iterator[tuple[str, str]]:
    """What brings the tunnel up, and up again. Where only one end knows the other's address, that's up to it alone."""
    if peer.address is None and not peer.host_name:
        yield from (("start_action", NEVER), ("close_action", CLEAR), ("dpd_action", CLEAR))
    elif local.unknown:
        yield from (("start_action", START), ("close_action", RESTART))
    else:
        usual = {"start_action": TRAP, "close_action": TRAP, "dpd_action": RESTART}
        words = {name: getattr(peer.tuning, name) for name in usual}
        yield from ((name, word) for name, word in words.items() if word != usual[name])


def _ipsec(peer: PeerEnd) -> Block:
    window = peer.tuning.replay_window
    body = (
        _seconds("ipsec_sa_lifetime_time", peer.profile.child_lifetime),
        *([Directive("replay_window", ((Word(str(window)),),))] if window != REPLAY_WINDOW else []),
        _strings("sa_index", peer.name),
    )
    return Block("ipsec", Word(peer.name), body)


def _sa(peer: PeerEnd, dialect: str) -> Block:
    profile = peer.profile
    body = [_words("sa_protocol", "esp"), _algorithms("sa", "esp_enc_alg", profile.esp_encryption, dialect)]
    if profile.esp_integrity:
        body.append(_algorithms("sa", "esp_auth_alg", profile.esp_integrity, dialect))
    return Block("sa", Word(peer.name), tuple(body))


# ---- Directives -----------------------------------------------------------------------------------------------------


def _keyword(text: str) -> Word:
    """A word that stands without quotes, so that it must be one word."""
    if _KEYWORD.match(text) is None:
        raise ValueError("{!r} is no keyword".format(text))
    return Word(text, KEYWORD)


def _words(name: str, *words: str, listed: bool = False) -> Directive:
    return Directive(name, tuple((_keyword(word),) for word in words), listed)


def _strings(name: str, text: str) -> Directive:
    return Directive(name, ((_literal(text),),))


def _literal(text: str) -> Word:
    """A value that no variable may creep into."""
    if '"' in text or "${" in text or "$[" in text:
        raise ValueError("{!r} cannot stand in racoon2.conf as it is".format(text))
    return Word(text)


def _seconds(name: str, seconds: int) -> Directive:
    if not 0 < seconds < 2**31:
        raise ValueError("{}: {} seconds, but upstream knows 1 to {}".format(name, seconds, 2**31 - 1))
    return Directive(name, ((Word(str(seconds)), _keyword("sec")),))


def _my_address(local: LocalEnd, family: int) -> Address | str:
    return "MY_IPV{}".format(family) if local.address is None else local.address


def _facing(local: LocalEnd, peer: PeerEnd) -> Address | str:
    """Our address towards a peer."""
    return peer.local_address or _my_address(local, peer.address.version if peer.address is not None else 4)


def _peers_address(peer: PeerEnd) -> Address | str:
    return ROAD_WARRIOR if peer.address is None else peer.address


def _place(place: Address | str) -> Word:
    """An address or a name as text, a macro as the keyword that it is."""
    return Word(place, KEYWORD) if place in MACROS else _literal(str(place))


def _endpoint(place: Address | str, port: int) -> Item:
    return (_place(place), _keyword("port"), Word(str(port)))


def _identity(name: str, identity: tuple[str, str]) -> Directive:
    return Directive(name, ((_keyword(identity[0]), _literal(identity[1])),))


def _algorithms(context: str, name: str, entries: tuple[str, ...], dialect: str = RACOON2) -> Directive:
    rule = rule_of(context, name)
    known = rule.known_words(dialect) if rule.known(dialect) else ()
    return Directive(name, tuple(_algorithm(name, entry, known) for entry in entries), True)


def _algorithm(name: str, entry: str, known: tuple[str, ...]) -> Item:
    keyword, comma, bits = entry.partition(",")
    bits = bits.strip()
    if keyword not in known or (comma and NUMBER.match(bits) is None):
        raise ValueError("{}: {} is no algorithm that is known here".format(name, entry))
    return (_keyword(keyword), Word(",", MARK), Word(bits)) if comma else (_keyword(keyword),)
