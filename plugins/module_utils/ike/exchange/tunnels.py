# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each tunnel wants and has: its children, why it is down, when it is tried again.

A tunnel that was up, or that somebody asked for, comes back by itself: with back-off, and with jitter so that a
fleet doesn't knock all at once. Others wait for their first packet (the kernel's acquire).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable

from ..config.grammar import CLEAR, NEVER, RESTART, START
from ..config.settings import Remote, Tunnel
from ..policy.sa import Address, SaId
from . import events, hooks
from .child import REKEYED, UP, ChildSa
from .effects import Remove

if TYPE_CHECKING:
    from .engine import Engine

DOWN = "down"
TAKEN_DOWN = "taken down"
OVERLAP = 10.0  # seconds that a replaced child still receives
_SOON = 1.0  # the same in IKEv2, whose rekeying end knows that the other has the new child (RFC 7296 2.8)
_FORGOTTEN = 60.0  # seconds after which either end removes a replaced child
_GENERATIONS = 4  # rekeys that a late answer may lie behind
_UNDER_WAY = 2.0  # seconds that its last packets may take, after both ends have left it
_LATEST = 20.0  # the same where the other end doesn't say that it has
_FIRST_RETRY = 2.0
_LAST_RETRY = 300.0

Watcher = Callable[[bool, str], None]


@dataclass
class TunnelState:
    """One tunnel. ``leftovers`` are SAs that an earlier run of the daemon left in the kernel for it.

    ``trapped``: a packet may bring it up; else only an operator or the peer. ``started``: it was begun because its
    ``start_action`` says so, which happens once. ``taken_down_at``: since when an operator wants nothing of what is
    still being negotiated for it, what the peer had begun before included. ``begun_at``: our address in the last
    attempt, as long as we have it. ``turned``: when an attempt last went on at another address of the peer.
    """

    tunnel: Tunnel
    children: list[ChildSa] = field(default_factory=list)
    connecting: bool = False
    wanted: bool = False
    reason: str = "no packet has asked for it yet"
    failures: int = 0
    retry: Any = None
    watchers: list[Watcher] = field(default_factory=list)
    leftovers: tuple[SaId, ...] = ()
    successors: dict[int, ChildSa] = field(default_factory=dict)
    carried: list[ChildSa] = field(default_factory=list)  # children of a former configuration
    trapped: bool = True
    started: bool = False
    taken_down_at: float | None = None
    begun_at: Address | None = None
    turned: float = -math.inf

    def __post_init__(self) -> None:
        if self.tunnel.start_action == NEVER:
            self.trapped, self.reason = False, "nobody has asked for it yet"

    def goes_on(self, action: str) -> None:
        """It goes down without an operator's asking for it: ``action`` is what is to bring it back."""
        self.wanted = action == RESTART
        self.trapped = action != CLEAR

    def refuses(self, child: ChildSa) -> bool:
        """Whether this child was begun before an operator took the tunnel down; the peer may ask for it afterwards."""
        if self.taken_down_at is None:
            return False
        return child.initiated or child.since - child.took < self.taken_down_at

    @property
    def taken_down(self) -> bool:
        return self.taken_down_at is not None

    @property
    def up(self) -> bool:
        return any(child.state == UP for child in self.children)

    @property
    def youngest(self) -> ChildSa:
        """The youngest of its children, those that are up before those that were replaced."""
        up = [child for child in self.children if child.state == UP]
        return (up or self.children)[-1]

    def successor_of(self, replaced: int) -> ChildSa | None:
        """The child that was made for this one (an inbound SPI) and has stayed so far, even if it has gone since."""
        return self.successors.get(replaced)

    def remember_successor(self, child: ChildSa) -> None:
        """For an answer to a rekey that comes late, when there are children of the next generation already."""
        if child.replaces:
            self.successors[child.replaces] = child
        while len(self.successors) > _GENERATIONS:
            del self.successors[next(iter(self.successors))]

    def summary(self) -> str:
        if self.up:
            return UP
        return "connecting" if self.connecting else DOWN


class Tunnels:
    """All tunnels of an engine, by the name of their outbound selector."""

    def __init__(self, engine: Engine, tunnels: tuple[Tunnel, ...]) -> None:
        self._engine = engine
        self._host = engine.host
        self._arriving: set[SaId] = set()  # inbound SAs of children that are gone, for what is under way
        self._children: dict[SaId, ChildSa] = {}
        self._take({tunnel.name: TunnelState(tunnel) for tunnel in tunnels if tunnel.action == "ipsec"})

    def _take(self, states: dict[str, TunnelState]) -> None:
        """These are the tunnels now; the indices follow."""
        self._states = states
        self._by_reqid = {state.tunnel.reqid: state for state in reversed(list(states.values()))}
        self._by_remote: dict[str, list[TunnelState]] = {}
        for state in states.values():
            self._by_remote.setdefault(state.tunnel.remote, []).append(state)

    def __iter__(self) -> Any:
        return iter(self._states.values())

    def get(self, name: str) -> TunnelState | None:
        return self._states.get(name)

    def named(self, name: str) -> list[TunnelState]:
        """The tunnels of a selector's index (either direction) or of a policy's."""
        return [state for state in self._states.values() if name in _names(state.tunnel)]

    def of(self, remote: Remote) -> list[TunnelState]:
        return self._by_remote.get(remote.name, [])

    def by_reqid(self, reqid: int) -> TunnelState | None:
        return self._by_reqid.get(reqid)

    def children_of(self, remote: Remote) -> list[ChildSa]:
        return [child for state in self.of(remote) for child in state.children]

    # Beginnings

    def begin(self, state: TunnelState, watcher: Watcher | None = None, anew: bool = False) -> None:
        """Negotiate a child, unless that is under way; ``anew``: on an IKE SA that authenticates anew."""
        if watcher is not None:
            state.watchers.append(watcher)
        if state.taken_down:
            state.taken_down_at, state.reason = None, ""
        if state.connecting:
            return
        _cancel(state)
        state.connecting = True
        self._engine.negotiate(state, anew)

    def adopt(self, state: TunnelState, leftovers: tuple[SaId, ...]) -> None:
        """Replace what an earlier run left: it goes as soon as a new child is up."""
        state.leftovers = leftovers
        state.wanted = True
        self._retry_after(state, self._jitter(1.0))

    def start(self) -> None:
        """Begin what shall be up without anybody's asking; a moment apart, for a fleet that starts at once."""
        for state in self._states.values():
            if state.tunnel.start_action == START and not state.started:
                state.started = state.wanted = True
                if not state.connecting and state.retry is None:
                    self._retry_after(state, self._jitter(1.0))

    def hasten(self, fits: Callable[[TunnelState], bool]) -> None:
        """Try soon again what waits for its next attempt and fits: what has failed so far may not fail now."""
        for state in self._states.values():
            if state.retry is None or not fits(state):
                continue
            state.failures = 0
            delay = self._jitter(1.0)
            if self._host.now + delay < state.retry.when:
                self._retry_after(state, delay)

    def has_leftovers(self, remote: Remote) -> bool:
        return any(state.leftovers for state in self.of(remote))

    def leftovers(self, child: ChildSa) -> list[SaId]:
        """The inbound SAs of an earlier run that this child replaces."""
        state = self._states.get(child.tunnel.name)
        return [sa_id for sa_id in state.leftovers if sa_id.destination == child.local] if state else []

    # Ends

    def child_up(self, child: ChildSa) -> None:
        state = self._states.get(child.tunnel.name)
        if state is None or state.tunnel is not child.tunnel or state.refuses(child):
            self._discard(child)
            return
        older = [other for other in state.children if other.state == UP]
        state.children.append(child)
        self._children[child.inbound] = self._children[child.outbound] = child
        state.connecting = False
        state.wanted = state.trapped = True
        state.taken_down_at = None
        state.reason = ""
        state.failures = 0
        _cancel(state)
        self._drop_leftovers(state)
        self._replace(state, child, older)
        self._host.info("{}: up: {}".format(state.tunnel.name, child))
        if child.unserved:
            self._host.warning("{}: without {}: the peer left it out".format(child, ", ".join(child.unserved)))
        self._report(child, hooks.CHILD_REKEY if older else hooks.CHILD_UP)
        _tell(state, True, "")

    def failed(self, state: TunnelState, reason: str) -> None:
        """A negotiation ended without a child."""
        if state.taken_down:
            return
        state.connecting = False
        state.reason = reason
        events.child_failed(self._host, state.tunnel.remote, state.tunnel.name, reason)
        _tell(state, False, reason)
        if state.wanted:
            delay = min(_LAST_RETRY, _FIRST_RETRY * 2**state.failures)
            state.failures = min(state.failures + 1, 16)
            self._retry_after(state, self._jitter(delay))

    def child_gone(self, child: ChildSa, reason: str) -> None:
        """A child left the kernel, or has to: both of its halves go."""
        state = self._states.get(child.tunnel.name)
        if state is None or child not in state.children:
            return
        state.children.remove(child)
        self._children.pop(child.inbound, None)
        self._children.pop(child.outbound, None)
        if state.children and not any(other.sends for other in state.children):
            self._engine.nothing_else_sends(state.youngest)
        self._take_out(child, others=bool(state.children))
        self._host.info("{}: gone: {} ({})".format(state.tunnel.name, child, reason))
        if not state.up and state.children:
            last = state.youngest  # the peer settled a collision otherwise: this one still works
            last.state, last.revived = UP, True
        if not state.up:
            self._report(child, hooks.CHILD_DOWN, reason)
        if not state.up and not state.connecting:
            state.reason = reason
            if state.wanted:
                self._retry_after(state, self._jitter(1.0))

    def child_deleted(self, child: ChildSa, asking: bool) -> None:
        """The peer took a child down, and means it: the tunnel's close action says what brings it back.

        While we are ``asking`` for the next one the peer may have that already, and its answer may be under way.
        """
        state = self._states.get(child.tunnel.name)
        if state is not None and state.children == [child] and not (asking or state.connecting):
            state.goes_on(state.tunnel.close_action)
        self.child_gone(child, "deleted by the peer")

    def peer_dead(self, children: list[ChildSa]) -> None:
        """The peer of these children is gone."""
        for child in children:
            state = self._states.get(child.tunnel.name)
            if state is not None and child in state.children:
                state.goes_on(state.tunnel.dpd_action)

    def drop_revived(self, remote: Remote) -> None:
        """The peer has left: where it had just deleted the youngest child it meant them all."""
        for state in self.of(remote):
            if any(child.revived for child in state.children):
                state.wanted = False
                for child in list(state.children):
                    self.child_gone(child, "the peer has left")

    def down(self, state: TunnelState, reason: str) -> None:
        """Take a tunnel down until somebody asks for it again; who waits for it hears so."""
        state.wanted = state.connecting = False
        state.taken_down_at = self._host.now
        _cancel(state)
        for child in list(state.children):
            self.child_gone(child, reason)
        self._drop_leftovers(state)
        state.reason = reason
        _tell(state, False, reason)

    def find_child(self, remote: Remote, spi_out: int) -> ChildSa | None:
        """The child whose outbound SPI (the peer's own) this is."""
        return next((child for child in self.children_of(remote) if child.spi_out == spi_out), None)

    def child_by_id(self, sa_id: SaId) -> ChildSa | None:
        return self._children.get(sa_id)

    # Reconfiguration

    def replace(self, tunnels: tuple[Tunnel, ...], kept: set[str], renewed: set[str]) -> None:
        """Take these tunnels: the kept ones live on, and the renewed ones' children; what was up comes up again."""
        old = self._states
        states = {
            tunnel.name: old[tunnel.name] if tunnel.name in kept | renewed else TunnelState(tunnel)
            for tunnel in tunnels
            if tunnel.action == "ipsec"
        }
        self._take(states)
        for tunnel in tunnels:
            if tunnel.name in renewed:
                states[tunnel.name].tunnel = tunnel
                states[tunnel.name].carried = list(states[tunnel.name].children)
        for name, state in states.items():
            if name not in kept | renewed and name in old and old[name].wanted:
                state.wanted = True
                self.begin(state)
        self.start()

    def renew(self, names: Iterable[str]) -> None:
        """Negotiate these tunnels anew where they're wanted; whatever was under way is of their former selves."""
        for state in (self._states[name] for name in names if name in self._states):
            if state.wanted or state.connecting:
                state.connecting = False
                self.begin(state, anew=True)

    def renewing(self, remote: Remote) -> bool:
        """Whether children of a former configuration still carry traffic."""
        return any(child.state == UP for state in self.of(remote) for child in state.carried if child in state.children)

    # Inside

    def _discard(self, child: ChildSa) -> None:
        """A child of a tunnel that was reconfigured or taken down while it was negotiated."""
        self._host.info("{}: no longer wanted: {}".format(child.tunnel.name, child))
        self._engine.delete_children([child])
        self._host.perform(Remove((child.inbound, child.outbound)))

    def _replace(self, state: TunnelState, child: ChildSa, older: list[ChildSa]) -> None:
        """The young child carries the traffic; who initiated it removes the old ones after an overlap."""
        rival = state.successor_of(child.replaces)
        if rival is not None:
            self._settle_collision(child, rival)
            if child.state != UP:
                return
        state.remember_successor(child)
        for other in older:
            if other is rival:
                continue
            if _collided(child, other):
                self._settle_collision(child, other)
                continue
            self._retire(other, "replaced", child.initiated, child)

    def _settle_collision(self, one: ChildSa, other: ChildSa) -> None:
        """Both ends made a child at once, and both see which of the two loses. Who began it removes what it left."""
        loser, winner = sorted((one, other), key=_precedence)
        self._retire(loser, "lost a collision", loser.initiated, winner)
        replaced = self._children.get(SaId(winner.local, winner.inbound.protocol, winner.replaces))
        if winner.initiated and replaced is not None:
            self._remove_later(replaced, "replaced", _overlap(replaced, winner))

    def _retire(self, child: ChildSa, reason: str, ours: bool, successor: ChildSa) -> None:
        """Another child carries the traffic. Whose task it is removes this one soon; the other end, if that forgets."""
        child.state = REKEYED
        self._remove_later(child, reason, _overlap(child, successor) if ours else _FORGOTTEN)

    def _remove_later(self, child: ChildSa, reason: str, delay: float) -> None:
        def remove(now: float) -> None:
            if child.state != REKEYED or self.child_by_id(child.inbound) is not child:
                return
            if self._alone_sends(child):  # the peer may not have the other one yet
                self._remove_later(child, reason, _SOON if child.ike else OVERLAP)
                return
            self._engine.delete_children([child])
            self.child_gone(child, reason)

        self._host.timers.at(self._host.now + delay, remove)

    def _alone_sends(self, child: ChildSa) -> bool:
        """Whether nothing else of its tunnel has begun to send."""
        others = [other for other in self._states[child.tunnel.name].children if other is not child]
        return bool(others) and not any(other.sends for other in others)

    def _take_out(self, child: ChildSa, others: bool) -> None:
        """Out of the kernel; where another child carries the traffic, not before the last packets have arrived."""
        if child.state != REKEYED and not others:
            self._host.perform(Remove((child.inbound, child.outbound)))
            return
        self._host.perform(Remove((child.outbound,)))
        self._arriving.add(child.inbound)
        last = self._host.now + _LATEST

        def remove(now: float) -> None:
            if child.inbound not in self._arriving:
                return
            if now < last and self._engine.is_telling(child):  # the other end may be sending on it still
                self._host.timers.at(now + _UNDER_WAY, remove)
                return
            self._arriving.discard(child.inbound)
            self._host.perform(Remove((child.inbound,)))

        self._host.timers.at(self._host.now + _UNDER_WAY, remove)

    def close(self) -> None:
        """Wait for no more packets."""
        self._host.perform(Remove(tuple(self._arriving)))
        self._arriving.clear()

    def _report(self, child: ChildSa, kind: str, reason: str = "") -> None:
        events.child(self._host, self._engine.settings_of(child.tunnel), child, kind, reason)

    def _drop_leftovers(self, state: TunnelState) -> None:
        if state.leftovers:
            self._host.perform(Remove(state.leftovers))
            state.leftovers = ()

    def _retry_after(self, state: TunnelState, delay: float) -> None:
        _cancel(state)
        state.retry = self._host.timers.at(self._host.now + delay, lambda now: self.begin(state))

    def _jitter(self, delay: float) -> float:
        return delay * (0.75 + 0.5 * self._host.random(1)[0] / 256)


def _names(tunnel: Tunnel) -> set[str]:
    """What an operator may call it: a selector's index in either direction, or its policy's."""
    return {tunnel.policy}.union(*((member.name, member.inbound) for member in tunnel.members))


def _overlap(child: ChildSa, successor: ChildSa) -> float:
    """Seconds that two children are kept.

    In IKEv2 the peer sends on the successor once the other is deleted: at once where our policies lead elsewhere by
    now, unless that happens again and again. In IKEv1 the peer may have the successor later than our delete.
    """
    if not child.ike:
        return OVERLAP
    return _SOON if child.leads_as(successor) or successor.since - child.since < OVERLAP else 0.0


def _collided(young: ChildSa, old: ChildSa) -> bool:
    """Whether the two were negotiated at the same time, one by either end."""
    return not young.replaces and young.initiated != old.initiated and old.since >= young.since - young.took


def _precedence(child: ChildSa) -> tuple[bytes, int]:
    """What both ends see alike: IKEv2's nonces (RFC 7296 2.8.1), else the pair of SPIs."""
    return child.precedence, min(child.spi_in, child.spi_out)


def _cancel(state: TunnelState) -> None:
    if state.retry is not None:
        state.retry.cancel()
        state.retry = None


def _tell(state: TunnelState, success: bool, reason: str) -> None:
    watchers, state.watchers = state.watchers, []
    for watcher in watchers:
        watcher(success, reason)
