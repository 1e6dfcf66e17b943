# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Would two ends agree? Identities, proposals, lifetimes, PFS and selectors of a tunnel, side by side.

Each rule is applied the way a responder would: once with either end as the initiator.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from ...crypto.algorithms import CIPHERS, keyword_of
from ..grammar import ADDITIONAL_KES, NO_KE, PER_POLICY, PER_SELECTOR
from ..settings import IKEV1, Effective, Identity, IkeSettings, Remote, SaProposal, Tunnel
from .traffic import describe

Additional = tuple[tuple[str, ...], ...]

AGREE = "agree"
WARN = "warning"
DIFFER = "differ"


@dataclass(frozen=True)
class Row:
    """One point of comparison: what either end says, whether they get along, and if not, why."""

    verdict: str
    subject: str
    ours: str
    theirs: str
    reason: str = ""


@dataclass(frozen=True)
class End:
    """One side of a tunnel: a name for people, the whole configuration, and its remote that leads to the other."""

    name: str
    configuration: Effective
    remote: Remote

    def tunnels(self) -> list[Tunnel]:
        return [
            tunnel
            for tunnel in self.configuration.tunnels
            if tunnel.remote == self.remote.name and tunnel.action == "ipsec"
        ]


def compare(ours: Effective, theirs: Effective, names: tuple[str, str] = ("A", "B")) -> list[Row]:
    """Every point on which two configurations meet. Without a remote for each other there is one row, that says so."""
    pairs = [
        (remote, other)
        for remote in ours.remotes
        for other in theirs.remotes
        if _leads_to(remote, theirs, other) and _leads_to(other, ours, remote)
    ]
    if not pairs:
        return [Row(DIFFER, "peers", _peers(ours), _peers(theirs), "neither has a remote with the other's address")]
    rows: list[Row] = []
    for remote, other in pairs:
        rows += _Pair(End(names[0], ours, remote), End(names[1], theirs, other)).rows()
    return rows


# ---- Who is who ------------------------------------------------------------------------------------------------------


def addresses(configuration: Effective, remote: Remote) -> set[str]:
    """The addresses, as text, that an end uses towards a remote."""
    listen = {listen.address for listen in configuration.listen}
    ends = {
        str(tunnel.my_address)
        for tunnel in configuration.tunnels
        if tunnel.remote == remote.name and tunnel.my_address is not None
    }
    return listen | ends


def _leads_to(remote: Remote, other: Effective, back: Remote) -> bool:
    """Whether a remote's peer is the other configuration's host. One behind NAT calls itself by what its peers know."""
    named = {
        str(identity.value)
        for settings in (back.ikev1, back.ikev2)
        if settings is not None
        for identity in settings.my_ids
        if identity.kind == "ipaddr"
    }
    known = addresses(other, back) | named
    settings = [remote.settings(protocol) for protocol in remote.acceptable]
    peers = [peer for one in settings if one is not None for peer in one.peers]
    return any(str(peer.address) in known or (peer.matches(None) and _may_be(remote, back)) for peer in peers)


def _may_be(remote: Remote, back: Remote) -> bool:
    """Whether who comes from anywhere may be this remote's peer, by what the other end calls itself."""
    both = [(remote.settings(protocol), back.settings(protocol)) for protocol in remote.acceptable]
    expected = {_identity(one) for ours, _theirs in both if ours is not None for one in ours.peers_ids}
    said = {_identity(one) for _ours, theirs in both if theirs is not None for one in theirs.my_ids}
    return not expected or not said or not expected.isdisjoint(said)


def _peers(configuration: Effective) -> str:
    found = {
        str(peer.address or peer.name)
        for remote in configuration.remotes
        for settings in (remote.ikev1, remote.ikev2)
        if settings is not None
        for peer in settings.peers
    }
    listen = ", ".join(sorted({listen.address for listen in configuration.listen})) or "nowhere"
    return "listens on {}, peers {}".format(listen, ", ".join(sorted(found)) or "none")


class _Pair:
    def __init__(self, ours: End, theirs: End):
        self._ours = ours
        self._theirs = theirs
        self._rows: list[Row] = []

    def rows(self) -> list[Row]:
        self._protocols()
        for protocol in self._ours.remote.acceptable:
            if protocol in self._theirs.remote.acceptable:
                mine, others = self._ours.remote.settings(protocol), self._theirs.remote.settings(protocol)
                if mine is not None and others is not None:
                    self._ike(protocol, mine, others)
        self._tunnels()
        return self._rows

    def _add(self, subject: str, ours: object, theirs: object, reason: str = "", verdict: str = DIFFER) -> None:
        """A row; without a reason the ends agree."""
        self._rows.append(Row(verdict if reason else AGREE, subject, _text(ours), _text(theirs), reason))

    def _protocols(self) -> None:
        ours, theirs = self._ours.remote.acceptable, self._theirs.remote.acceptable
        reason = ""
        for end, mine, others in ((self._ours, ours, theirs), (self._theirs, theirs, ours)):
            if not mine or mine[0] not in others:
                reason = "{} initiates {}, which the other refuses".format(end.name, mine[0] if mine else "ikev2")
        verdict = WARN if set(ours) & set(theirs) else DIFFER
        self._add("protocol", ours, theirs, reason, verdict)

    # ---- IKE ------------------------------------------------------------------------------------------------------

    def _ike(self, protocol: str, mine: IkeSettings, others: IkeSettings) -> None:
        self._add(
            "{} exchange_mode".format(protocol),
            mine.exchange_mode,
            others.exchange_mode,
            "" if mine.exchange_mode == others.exchange_mode else "the modes differ",
        )
        self._identity(protocol, self._ours, mine, others)
        self._identity(protocol, self._theirs, others, mine)
        self._common("{} kmp_enc_alg".format(protocol), ciphers(mine.encryption), ciphers(others.encryption))
        self._common("{} kmp_hash_alg".format(protocol), mine.hashes, others.hashes, needed=_needs_hash(mine, others))
        if protocol != IKEV1:
            self._common("{} kmp_prf_alg".format(protocol), mine.prfs, others.prfs)
        self._common("{} kmp_dh_group".format(protocol), mine.groups, others.groups)
        self._additional(protocol, mine.additional, others.additional)
        self._common("{} kmp_auth_method".format(protocol), mine.auth_methods, others.auth_methods)
        self._lifetime("{} kmp_sa_lifetime_time".format(protocol), protocol, mine, others)
        self._pfs(protocol, mine, others)
        self._ppk(protocol, mine, others)
        self._add(
            "{} nat_traversal".format(protocol),
            mine.nat_traversal,
            others.nat_traversal,
            "" if mine.nat_traversal == others.nat_traversal else "no tunnel through a NAT",
            WARN,
        )

    def _identity(self, protocol: str, end: End, mine: IkeSettings, others: IkeSettings) -> None:
        """What one end says it is, against what the other expects."""
        said = mine.my_ids[:1] or tuple(
            Identity("ipaddr", text) for text in sorted(addresses(end.configuration, end.remote))
        )
        wanted = others.peers_ids
        if not wanted:
            reason = "the other verifies identities and knows none" if others.verify_id else ""
            verdict = DIFFER
        else:
            reason = (
                "" if {_identity(one) for one in said} & {_identity(one) for one in wanted} else "they do not match"
            )
            verdict = DIFFER if others.verify_id else WARN
        if reason and verdict == WARN:
            reason += ": unnoticed, since verify_id is off"
        subject = "{} {}: my_id, the other's peers_id".format(protocol, end.name)
        self._add(
            subject, [_identity(one) for one in said], [_identity(one) for one in wanted] or "any", reason, verdict
        )

    def _common(self, subject: str, mine: tuple[str, ...], others: tuple[str, ...], needed: bool = True) -> None:
        common = [name for name in mine if name in others]
        self._add(subject, mine, others, "" if common or not needed else "nothing in common")

    def _additional(self, protocol: str, mine: Additional, others: Additional) -> None:
        """Additional key exchanges that only one end has, and may do without, aren't made."""
        for directive, one, two in zip_longest(ADDITIONAL_KES, mine, others, fillvalue=()):
            if one or two:
                self._level("{} {}".format(protocol, directive), one or (NO_KE,), two or (NO_KE,))

    def _level(self, subject: str, one: tuple[str, ...], two: tuple[str, ...]) -> None:
        both = [name for name in one if name in two]
        reason = "nothing in common" if not both else "it is left out" if both == [NO_KE] else ""
        self._add(subject, one, two, reason, WARN if both else DIFFER)

    def _lifetime(self, subject: str, protocol: str, mine: IkeSettings, others: IkeSettings) -> None:
        seconds = (mine.lifetime_seconds, others.lifetime_seconds)
        reason = self._lifetime_reason(protocol, seconds, (mine.proposal_check, others.proposal_check))
        self._add(subject, "{} s".format(seconds[0]), "{} s".format(seconds[1]), reason)

    def _lifetime_reason(self, protocol: str, seconds: tuple[int, int], modes: tuple[str, str]) -> str:
        """IKEv2 negotiates no lifetimes; IKEv1's responder judges the initiator's by its own proposal_check."""
        if protocol != IKEV1:
            return ""
        reasons = []
        ends = ((self._theirs, seconds[0], seconds[1], modes[1]), (self._ours, seconds[1], seconds[0], modes[0]))
        for responder, offered, configured, mode in ends:
            refused = (mode == "strict" and offered > configured) or (mode == "exact" and offered != configured)
            if refused:
                reasons.append("{} refuses {} s when the other initiates ({})".format(responder.name, offered, mode))
        return "; ".join(reasons)

    def _pfs(self, protocol: str, mine: IkeSettings, others: IkeSettings) -> None:
        reason, verdict = "", DIFFER
        if mine.need_pfs != others.need_pfs:
            if protocol == IKEV1:
                reason = self._pfs_reason(mine, others)
            else:
                reason, verdict = "the first SA comes up, its rekeying may fail", WARN
        self._add("{} need_pfs".format(protocol), mine.need_pfs, others.need_pfs, reason, verdict)

    def _ppk(self, protocol: str, mine: IkeSettings, others: IkeSettings) -> None:
        """A post-quantum key that only one end has, or calls so, is left out, unless an end insists."""
        if not mine.ppk_id and not others.ppk_id:
            return
        same, required = mine.ppk_id == others.ppk_id, mine.ppk_required or others.ppk_required
        reason = "" if same else "no IKE SA without it" if required else "the IKE SA comes up without it"
        self._add("{} ppk_id".format(protocol), mine.ppk_id, others.ppk_id, reason, DIFFER if required else WARN)

    def _pfs_reason(self, mine: IkeSettings, others: IkeSettings) -> str:
        reasons = []
        for responder, settings in ((self._theirs, others), (self._ours, mine)):
            mode = settings.proposal_check
            if mode == "exact" or (mode in ("strict", "claim") and settings.need_pfs):
                reasons.append("{} refuses the other's quick mode ({})".format(responder.name, mode))
        return "; ".join(reasons)

    # ---- Child SAs ------------------------------------------------------------------------------------------------

    def _tunnels(self) -> None:
        theirs = {tunnel.selector: tunnel for tunnel in self._theirs.tunnels()}
        for tunnel in self._ours.tunnels():
            other = theirs.pop(tunnel.selector.reversed(), None)
            if other is None:
                self._unmatched(tunnel)
            else:
                self._child(tunnel, other)
        for tunnel in theirs.values():
            mirrored = {one.selector.reversed() for one in self._ours.tunnels()}
            if tunnel.selector not in mirrored:
                self._add(
                    "selector", "none", describe(tunnel.selector), "{} has no such selector".format(self._ours.name)
                )

    def _unmatched(self, tunnel: Tunnel) -> None:
        others = "; ".join(describe(other.selector) for other in self._theirs.tunnels()[:3]) or "none"
        wanted = describe(tunnel.selector.reversed())
        self._add(
            "selector {}".format(tunnel.name),
            describe(tunnel.selector),
            others,
            "{} would need {}".format(self._theirs.name, wanted),
        )

    def _child(self, mine: Tunnel, other: Tunnel) -> None:
        subject = "selector {}".format(mine.name)
        self._add(subject, describe(mine.selector), describe(other.selector))
        self._same("{}: ipsec_mode".format(subject), mine.mode, other.mode)
        if mine.mode == "tunnel":
            self._ends(subject, mine, other)
        self._proposals(subject, mine.proposals, other.proposals)
        self._child_per(subject, mine, other)
        if IKEV1 in self._ours.remote.acceptable and IKEV1 in self._theirs.remote.acceptable:
            modes = (self._ours.remote.ikev1, self._theirs.remote.ikev1)
            checks = tuple(settings.proposal_check if settings is not None else "obey" for settings in modes)
            seconds = (mine.lifetime_seconds, other.lifetime_seconds)
            reason = self._lifetime_reason(IKEV1, seconds, checks)
            ours, theirs = ("{} s".format(value) for value in seconds)
            self._add("{}: ipsec_sa_lifetime_time".format(subject), ours, theirs, reason)

    def _child_per(self, subject: str, mine: Tunnel, other: Tunnel) -> None:
        """Where a policy has one selector only it's all the same."""
        ours = [one for one in self._ours.tunnels() if one.policy == mine.policy]
        theirs = [one for one in self._theirs.tunnels() if one.policy == other.policy]
        if (mine.shared or other.shared) and max(len(ours), len(theirs)) > 1:
            words = [PER_POLICY if one.shared else PER_SELECTOR for one in (mine, other)]
            reason = "" if mine.shared == other.shared else "only one selector's traffic gets through"
            self._add("{}: child_per".format(subject), *words, reason)

    def _ends(self, subject: str, mine: Tunnel, other: Tunnel) -> None:
        for name, one, two in (
            ("my_sa_ipaddr", mine.my_address, other.peers_address),
            ("peers_sa_ipaddr", mine.peers_address, other.my_address),
        ):
            literal = not isinstance(one, str) and not isinstance(two, str)
            self._add("{}: {}".format(subject, name), one, two, "they differ" if literal and one != two else "", WARN)

    def _proposals(self, subject: str, mine: tuple[SaProposal, ...], others: tuple[SaProposal, ...]) -> None:
        ours = {proposal.protocol: proposal for proposal in mine}
        theirs = {proposal.protocol: proposal for proposal in others}
        self._same("{}: sa_protocol".format(subject), sorted(ours), sorted(theirs))
        for protocol in ours.keys() & theirs.keys():
            one, two = ours[protocol], theirs[protocol]
            if protocol == "esp":
                self._common("{}: esp_enc_alg".format(subject), ciphers(one.encryption), ciphers(two.encryption))
            if one.integrity or two.integrity:
                name = "{}: {}_auth_alg".format(subject, protocol)
                self._common(name, one.integrity, two.integrity, needed=not _only_aead(one, two))

    def _same(self, subject: str, mine: object, others: object) -> None:
        self._add(subject, mine, others, "" if mine == others else "they differ")


def ciphers(encryption: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """A list of ciphers in the language's keywords."""
    return tuple(keyword_of(CIPHERS[name], bits) for name, bits in encryption)


def _needs_hash(mine: IkeSettings, others: IkeSettings) -> bool:
    common = set(mine.encryption) & set(others.encryption)
    return not common or not all(CIPHERS[name].aead for name, _bits in common)


def _only_aead(mine: SaProposal, others: SaProposal) -> bool:
    common = set(mine.encryption) & set(others.encryption)
    return bool(common) and all(CIPHERS[name].aead for name, _bits in common)


def _identity(identity: Identity) -> str:
    return "{} {}".format(identity.kind, identity.value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (tuple, list)):
        return ", ".join(str(element) for element in value) or "none"
    return "none" if value is None else str(value)
