# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The causes that the diagnosis knows: a table. Each says which symptoms it explains, how it shows, and what helps.

The order is that of certainty: what was read from files and kernels comes before what is inferred from silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..ike.config.checks.pair import DIFFER, Row, compare
from . import sanity
from .ends import USABLE, End, Pair, Sa, common_spis, lacking_policies
from .psk import compare_keys
from .sanity import FAILS
from .symptom import (
    BIG_STALL,
    LOST,
    NO_ANSWER,
    NO_CHILD,
    NO_IKE,
    NOTHING_LEAVES,
    ONE_SIDED,
    Symptom,
)

# A sign of a cause: the host where it lies, and what was seen.
Sign = tuple[str, str]
Finder = Callable[[Pair, Symptom], Iterator[Sign]]

_NEGOTIATION = (NO_IKE, NO_CHILD, ONE_SIDED)
_TRAFFIC = (NOTHING_LEAVES, LOST, NO_ANSWER)
_UNKNOWN_SPI = "XfrmInNoStates"
_CLOCK_SECONDS = 60  # what a clock may be off by before anything is said of it
_TCP_AND_IP = 40  # bytes of the two headers, which the maximum segment size leaves out


@dataclass(frozen=True)
class Cause:
    """A row of the table. ``last`` causes are inferred where nothing better explains the symptom."""

    name: str
    title: str
    explains: tuple[str, ...]
    find: Finder
    remedy: str
    last: bool = False


# ---- What files and daemons say -------------------------------------------------------------------------------------


def _daemon_dead(pair: Pair, _symptom: Symptom) -> Iterator[Sign]:
    for end in pair.ends:
        daemon = end.evidence.get("daemon")
        if daemon is not None and not daemon["answers"]:
            yield end.name, daemon["error"]


def _key_file(pair: Pair, _symptom: Symptom) -> Iterator[Sign]:
    for end in pair.ends:
        for problem in end.key().get("problems", ()):
            if "part of the key" not in problem:
                yield end.name, problem


def _keys_differ(pair: Pair, _symptom: Symptom) -> Iterator[Sign]:
    ours, theirs = pair.first.key(), pair.second.key()
    if compare_keys(ours, theirs) is not False:
        return
    for end in pair.ends:
        yield end.name, "the fingerprint of its key is {}".format(end.key()["fingerprint"])
        yield from ((end.name, problem) for problem in end.key()["problems"])


def _rows(*words: str) -> Finder:
    """A finder of what the two configurations can't agree on, by words of the comparison's subject."""

    def find(pair: Pair, _symptom: Symptom) -> Iterator[Sign]:
        for row in differences(pair):
            if any(word in row.subject for word in words) and not (words == _SELECTOR and ": " in row.subject):
                yield pair.first.name, "{}: {}".format(row.subject, row.ours)
                yield pair.second.name, "{} ({})".format(row.theirs, row.reason)

    return find


_SELECTOR = ("selector",)


def differences(pair: Pair) -> list[Row]:
    """What keeps the two configurations from agreeing; nothing where one couldn't be read."""
    ours, theirs = pair.first.configuration, pair.second.configuration
    if not ours.remotes or not theirs.remotes:
        return []
    rows = compare(ours, theirs, (pair.first.name, pair.second.name))
    return [row for row in rows if row.verdict == DIFFER]


# ---- What the hosts around the tunnel say ---------------------------------------------------------------------------


def _check(name: str) -> Finder:
    """A finder of a failed check of this name (see :mod:`.sanity`) at either end."""

    def find(pair: Pair, _symptom: Symptom) -> Iterator[Sign]:
        for end in pair.ends:
            for check in end.checks:
                if (check["name"], check["state"]) == (name, FAILS):
                    yield end.name, check["text"]

    return find


def _no_policy(pair: Pair, _symptom: Symptom) -> Iterator[Sign]:
    for sender, receiver, source, destination in pair.flows():
        for end, direction in lacking_policies(sender, receiver, source, destination):
            yield end.name, "no policy {} {} -> {} in the kernel".format(direction, source, destination)


def _one_sided(pair: Pair, symptom: Symptom) -> Iterator[Sign]:
    """An SPI that only its sender knows, or knew before the pings, which have the other end negotiate anew."""
    for sender, receiver, source, destination in pair.flows():
        sent = [sa["spi"] for sa in sender.sas("out", source, destination) if sa["state"] in USABLE]
        if receiver.seen and sent and not common_spis(sender, receiver, source, destination):
            yield sender.name, "{} -> {}: sends with SPI {}".format(source, destination, ", ".join(sent))
            yield receiver.name, "has no inbound SA with that SPI"
        else:
            yield from _was_one_sided(sender, receiver, source, destination)
    yield from _grown(pair, symptom, lambda name: name == _UNKNOWN_SPI)


def _was_one_sided(sender: End, receiver: End, source: Any, destination: Any) -> Iterator[Sign]:
    """The same before the pings. An SPI that the receiver has now was only not there yet when it was looked at."""
    sent = sender.spis_before("out", source, destination)
    known = {sa["spi"] for sa in receiver.sas("in", destination, source)}
    if not sent or not known.isdisjoint(sent) or not receiver.before.get("directions"):
        return
    if not receiver.spis_before("in", destination, source):
        yield sender.name, "{} -> {}: sent with SPI {} before the pings".format(source, destination, ", ".join(sent))
        yield receiver.name, "had no inbound SA of {} then".format(sender.name)


def _kernel_refuses(pair: Pair, symptom: Symptom) -> Iterator[Sign]:
    for end in pair.ends:
        errors = end.integrity_errors()
        if errors:
            yield end.name, "{} packets failed the SA's integrity check: the keys of the SA differ".format(errors)
    yield from _grown(pair, symptom, lambda name: name.startswith("XfrmIn") and name != _UNKNOWN_SPI)


def _grown(pair: Pair, symptom: Symptom, wanted: Callable[[str], bool]) -> Iterator[Sign]:
    """Counters that grew. They count for the whole host, so they're a sign only where traffic stops."""
    if symptom.stage not in (NO_IKE, *_TRAFFIC):
        return
    for end in pair.ends:
        for name, growth, meaning in end.grown():
            if wanted(name):
                yield end.name, "{} grew by {}: {}".format(name, growth, meaning)


# ---- What silence says ----------------------------------------------------------------------------------------------


def _rp_filter(pair: Pair, symptom: Symptom) -> Iterator[Sign]:
    yield from _check(sanity.RP_FILTER)(pair, symptom)
    yield from _grown(pair, symptom, lambda name: name == "IPReversePathFilter")


def _ike_unreachable(pair: Pair, symptom: Symptom) -> Iterator[Sign]:
    answer = all(end.evidence.get("daemon", {}).get("answers") for end in pair.ends)
    if symptom.stage not in (NO_IKE, ONE_SIDED) or not answer:
        return
    unheard = list(_unheard(pair))
    yield from unheard
    if unheard:
        yield from _captured(pair, "udp 500", "udp 4500")


def _unheard(pair: Pair) -> Iterator[Sign]:
    """Who has heard whom, by the half-open IKE SAs that a first message leaves at its receiver."""
    for end in pair.ends:
        peer = pair.peer_of(end)
        tried = end.half_open("initiator") or "no answer" in " ".join(end.reasons())
        heard = peer.half_open("responder")
        if tried and not heard:
            yield (
                peer.name,
                "has heard nothing of {}'s attempts: {} to {} is blocked".format(
                    end.name, end.expected.local, end.expected.peer
                ),
            )
        elif tried:
            yield (
                end.name,
                "{} has answered, and nothing came: {} to {} is blocked".format(
                    peer.name, end.expected.peer, end.expected.local
                ),
            )


def _udp4500_lost(pair: Pair, symptom: Symptom) -> Iterator[Sign]:
    """What a capture saw leave on UDP 4500, and the other end's saw nothing of."""
    if symptom.stage not in (NO_IKE, ONE_SIDED, LOST):
        return
    for end in pair.ends:
        peer = pair.peer_of(end)
        left, came = end.captured("udp 4500", "out"), peer.captured("udp 4500", "in")
        if left and came == 0:
            yield end.name, "{} packets of UDP 4500 left for {}".format(left, end.expected.peer)
            yield peer.name, "none of them came; of UDP 500 {} did".format(peer.captured("udp 500", "in"))


def _captured(pair: Pair, *kinds: str) -> Iterator[Sign]:
    """What passed the outside devices of both ends meanwhile."""
    for end in pair.ends:
        yield from ((end.name, text) for text in end.passed(*kinds))


def _esp_lost(pair: Pair, symptom: Symptom) -> Iterator[Sign]:
    if symptom.stage != LOST:
        return
    sender, receiver = symptom.sender, symptom.receiver
    left = sender.moved("out", symptom.source, symptom.destination)
    yield sender.name, "{} packets left in ESP for {}".format(left, sender.expected.peer)
    yield receiver.name, "none came in by the SA, and no counter of refused packets moved"
    yield from _captured(pair, "esp", "udp 4500")


def _big_packets(pair: Pair, _symptom: Symptom) -> Iterator[Sign]:
    for end in pair.ends:
        for probe in end.probes:
            if probe["big"] is False:
                text = "{} -> {}: {} bytes pass, {} don't, and nobody said so: TCP's MSS may be {} at most"
                fits = probe["largest"]
                yield (
                    end.name,
                    text.format(probe["source"], probe["target"], fits, probe["path_mtu"], fits - _TCP_AND_IP),
                )


def _daemon_says(pair: Pair, symptom: Symptom) -> Iterator[Sign]:
    if symptom.stage in _NEGOTIATION:
        for end in pair.ends:
            yield from ((end.name, reason) for reason in end.reasons())


def _clock(pair: Pair, _symptom: Symptom) -> Iterator[Sign]:
    """Both ends were looked at before the pings and after them: by clocks that agree, these two spans overlap."""
    for end in pair.ends:
        peer = pair.peer_of(end)
        ahead = end.before.get("time", 0) - peer.evidence.get("time", 0)
        if peer.evidence and ahead > _CLOCK_SECONDS:
            yield end.name, "its clock is at least {:.0f} s ahead of {}'s".format(ahead, peer.name)
        for sa in end.evidence.get("sas", ()):
            if _overdue(sa) and (sa["source"], sa["destination"]) in end.outer():
                text = "SA {} is {} s old by the clock, and expires after {} s: the clock was set"
                yield end.name, text.format(sa["spi"], sa["age"], sa["lifetime"]["hard_seconds"])


def _overdue(sa: Sa) -> bool:
    """Beyond its hard lifetime by more than the kernel takes to remove it."""
    hard = sa["lifetime"]["hard_seconds"]
    return bool(hard) and (sa["age"] or 0) > hard + _CLOCK_SECONDS


def _target_silent(_pair: Pair, symptom: Symptom) -> Iterator[Sign]:
    if symptom.stage == NO_ANSWER:
        came = symptom.receiver.moved("in", symptom.destination, symptom.source)
        yield symptom.receiver.name, "{} packets came in by the SA, and no answer went back".format(came)


CAUSES: tuple[Cause, ...] = (
    Cause(
        "daemon_dead",
        "the IKE daemon doesn't answer",
        _NEGOTIATION,
        _daemon_dead,
        "systemctl status tanuki-iked; journalctl -u tanuki-iked says why it ended",
    ),
    Cause(
        "key_file",
        "the daemon refuses the key file",
        _NEGOTIATION,
        _key_file,
        "the file belongs to root and has mode 0600; deploy again",
    ),
    Cause(
        "psk_differs",
        "the pre-shared keys differ",
        _NEGOTIATION,
        _keys_differ,
        "deploy both ends from the same key store; a file's newline counts as part of the key",
    ),
    Cause(
        "ids_differ",
        "an end calls itself something else than the other expects",
        _NEGOTIATION,
        _rows("my_id"),
        "make my_id of the one end peers_id of the other",
    ),
    Cause(
        "ike_proposal",
        "no common proposal for the IKE SA",
        _NEGOTIATION,
        _rows("kmp_", "exchange_mode", "protocol"),
        "the same profile at both ends",
    ),
    Cause(
        "esp_proposal",
        "no common proposal for the SAs of the traffic",
        _NEGOTIATION,
        _rows("esp_enc_alg", "_auth_alg", "sa_protocol", "ipsec_mode", "ipsec_sa_lifetime"),
        "the same profile at both ends",
    ),
    Cause(
        "pfs_differs",
        "one end wants perfect forward secrecy and the other doesn't",
        _NEGOTIATION,
        _rows("need_pfs"),
        "need_pfs alike at both ends",
    ),
    Cause(
        "selectors_differ",
        "the ends protect different networks",
        _NEGOTIATION,
        _rows(*_SELECTOR),
        "the networks of the two ends mirror each other: correct the inventory, or the foreign end, and deploy",
    ),
    Cause(
        "ike_filter",
        "a gateway's own packet filter drops IKE",
        (NO_IKE,),
        _check(sanity.IKE_FILTER),
        "accept UDP 500 and 4500 from and to the peer",
    ),
    Cause(
        "rp_filter",
        "the reverse path filter drops what comes from the peer",
        (NO_IKE, *_TRAFFIC),
        _rp_filter,
        "sysctl net.ipv4.conf.all.rp_filter=2, or route the peer by the device that its packets come from",
    ),
    Cause(
        "policy_missing",
        "the kernel lacks a policy of the tunnel",
        (*_NEGOTIATION, *_TRAFFIC),
        _no_policy,
        "systemctl reload tanuki-iked puts the daemon's policies back; find who removed them (ip xfrm monitor)",
    ),
    Cause(
        sanity.SHADOWED,
        "another policy wins over the tunnel's",
        (*_NEGOTIATION, *_TRAFFIC),
        _check(sanity.SHADOWED),
        "remove it (ip xfrm policy delete), or whatever installs it",
    ),
    Cause(
        sanity.ROUTE,
        "a route takes the traffic away, or there is none",
        (*_NEGOTIATION, *_TRAFFIC),
        _check(sanity.ROUTE),
        "remove the route; the far network needs none of its own, the default route will do",
    ),
    Cause(
        sanity.NO_XFRM,
        "IPsec is switched off for the device that the traffic leaves by",
        (*_NEGOTIATION, NOTHING_LEAVES),
        _check(sanity.NO_XFRM),
        "sysctl net.ipv4.conf.DEVICE.disable_xfrm=0",
    ),
    Cause(
        sanity.MASQUERADE,
        "NAT rewrites the traffic before its policy sees it",
        _TRAFFIC,
        _check(sanity.MASQUERADE),
        "systemctl restart tanuki-ipsec-gateway, which exempts the tunnels' traffic; a rule that is still ahead of it: "
        "move it behind, or have it pass over the networks",
    ),
    Cause(
        sanity.ESP_FILTER,
        "a gateway's own packet filter drops ESP",
        _TRAFFIC,
        _check(sanity.ESP_FILTER),
        "accept protocol 50 from and to the peer",
    ),
    Cause(
        sanity.FORWARDING,
        "a gateway doesn't forward",
        (NO_ANSWER,),
        _check(sanity.FORWARDING),
        "sysctl net.ipv4.ip_forward=1 (the role sets it; find who resets it)",
    ),
    Cause(
        sanity.FORWARD_FILTER,
        "a gateway's packet filter drops what it forwards between the networks",
        (NO_ANSWER,),
        _check(sanity.FORWARD_FILTER),
        "accept both networks, both ways, in the forward chain",
    ),
    Cause(
        "udp4500_lost",
        "UDP 4500 doesn't get through between the gateways",
        (NO_IKE, ONE_SIDED, LOST),
        _udp4500_lost,
        "open UDP 4500 at every firewall on the way: behind a NAT, IKE's last messages and all ESP go by it",
    ),
    Cause(
        "ike_unreachable",
        "IKE doesn't get through between the gateways",
        (NO_IKE, ONE_SIDED),
        _ike_unreachable,
        "open UDP 500 and 4500 at every firewall on the way; tcpdump -n udp port 500 or udp port 4500 at both ends",
    ),
    Cause(
        "one_sided",
        "an end has lost its SAs, by a restart or a reboot, and the other still uses them",
        (*_NEGOTIATION, *_TRAFFIC),
        _one_sided,
        "ike ctl down NAME; ike ctl up NAME. With dead peer detection it passes by itself",
    ),
    Cause(
        "kernel_refuses",
        "a kernel refuses what arrives",
        _TRAFFIC,
        _kernel_refuses,
        "the counter says why; fresh SAs (ike ctl rekey NAME) help where keys or SPIs differ",
    ),
    Cause(
        "esp_lost",
        "ESP doesn't get through between the gateways, although IKE does",
        (LOST,),
        _esp_lost,
        "open protocol 50 on the way (UDP 4500 where the SA is encapsulated)",
        last=True,
    ),
    Cause(
        "mtu",
        "big packets vanish on the way, and the messages that would say so do too",
        (BIG_STALL,),
        _big_packets,
        "set ipsec_path_mtu to what the path carries and deploy, and TCP's segments fit; for all else let ICMP "
        "'fragmentation needed' through",
    ),
    Cause(
        sanity.TRANSLATED,
        "a connection is still translated, as it was when it began",
        (),
        _check(sanity.TRANSLATED),
        "conntrack -D -s NETWORK -d FAR, or let it end; a new connection isn't translated",
    ),
    Cause(
        sanity.LEFTOVER,
        "a tunnel device of an earlier setup is left over",
        (),
        _check(sanity.LEFTOVER),
        "ip link delete DEVICE, and what makes it at boot",
    ),
    Cause(
        "clock",
        "the clocks of the two ends differ, or one was set",
        (),
        _clock,
        "timedatectl set-ntp true at both ends. Pre-shared keys don't depend on clocks; the kernel's lifetimes do when "
        "a clock is set, and logs can't be compared",
    ),
    Cause(
        "negotiation",
        "the negotiation fails",
        _NEGOTIATION,
        _daemon_says,
        "journalctl -u tanuki-iked at both ends",
        last=True,
    ),
    Cause(
        "target_silent",
        "the probed address doesn't answer, or its answer doesn't come back to the gateway",
        (NO_ANSWER,),
        _target_silent,
        "ping it from its own gateway; its route back must lead to that gateway",
        last=True,
    ),
)


def table() -> list[dict[str, Any]]:
    """The table for people: what the documentation shows."""
    return [{"cause": one.name, "title": one.title, "explains": one.explains, "remedy": one.remedy} for one in CAUSES]
