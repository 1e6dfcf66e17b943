# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: all of IKE without I/O. Datagrams, kernel events and time go in; datagrams and effects come out.

engine.receive(datagram, path, now)     engine.outbox        (path, datagram) pairs to send
engine.acquire(reqid, now)              engine.deadline()    when run_timers wants to be called
engine.up(name, now, watcher)           engine.status(now)   what is configured and what is up
engine.expire(sa_id, hard, now)
engine.addresses_changed(addresses, now)
engine.run_timers(now)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Callable, Union

from ..config.settings import IKEV1, IKEV2, Effective, IkeSettings, Remote, Tunnel
from ..policy.sa import Address, SaId, SaState
from ..policy.shared import gathered
from ..wire.cursor import WireError
from ..wire.header import NO_SPI, Header, decode_header
from . import events, hooks, reconfiguration, status, trace_text
from .child import UP, ChildSa
from .effects import SourceAddress
from .errors import LocalError
from .host import Host
from .path import Path
from .peers import Peers
from .sessions import SessionTable
from .tunnels import OVERLAP, TAKEN_DOWN, Tunnels, TunnelState, Watcher
from .v1.entrance import Entrance as V1Entrance
from .v1.session import CONNECTING, ESTABLISHED
from .v1.session import Session as V1Session
from .v2.entrance import Entrance as V2Entrance
from .v2.session import Session as V2Session

Session = Union[V1Session, V2Session]

_SUPERSEDED = OVERLAP + 3.0  # seconds from a renewed tunnel's new child until its old IKE SA goes, after the children
_TURNS = 300.0  # seconds between two changes of address in the middle of an attempt
_STOPPING = "the daemon stops"
_RECONFIGURED = "its configuration changed"
_NOT_LISTENING = "we no longer listen at {}"
_ADDRESS_LOST = "this host no longer has the address {}"
_SESSIONS = {IKEV1: V1Session, IKEV2: V2Session}


class Engine:
    """Sessions, tunnels, and who talks to whom."""

    def __init__(self, configuration: Effective, host: Host) -> None:
        self.configuration = configuration = gathered(configuration)
        self.host = host
        self.tunnels = Tunnels(self, configuration.tunnels)
        self._peers = Peers(configuration, host)
        host.trace.configure(self._peers.addresses())
        self._sessions = SessionTable()
        self._announced: set[Session] = set()  # established, and their scripts know
        self._entrances = {1: V1Entrance(), 2: V2Entrance(host, self._sessions)}  # by the header's major version

    # In

    def receive(self, datagram: bytes, path: Path, now: float) -> None:
        """A datagram from the network, without non-ESP marker."""
        self.host.now = now
        self.host.count("received")
        self.host.trace.received(path, datagram, now)
        try:
            header = decode_header(datagram)
        except WireError as error:
            self._drop(path, str(error))
            return
        session = self._sessions.find(header, path.peer)
        if session is not None:
            session.receive(header, datagram, path)
        elif header.spi_r == NO_SPI:
            self._accept(header, datagram, path)
        else:
            self._drop(path, "no IKE SA has these SPIs")
            self._answer_stray(header, path)

    def acquire(self, reqid: int, now: float) -> None:
        """A packet met the policy of this reqid and found no SA."""
        self.host.now = now
        state = self.tunnels.by_reqid(reqid)
        if state is None:
            self.host.debug("a packet asks for reqid {}, which is no tunnel's".format(reqid))
            return
        if not state.trapped:
            self.host.debug("{}: a packet asks for it, but only an operator or the peer may".format(state.tunnel.name))
            return
        if state.up and self._sends_at_last(state.youngest):
            return
        self.host.debug("{}: a packet asks for it".format(state.tunnel.name))
        self.tunnels.begin(state)

    def expire(self, sa_id: SaId, hard: bool, now: float) -> None:
        """An SA met its soft limit (make the next one) or its hard one (the kernel has removed it)."""
        self.host.now = now
        child = self.tunnels.child_by_id(sa_id)
        if child is None:
            return
        if hard:
            self.delete_children([child])
            self.tunnels.child_gone(child, "its lifetime is over")
        elif child.state == UP:
            self.tunnels.begin(self.tunnels.get(child.tunnel.name))

    def up(self, name: str, now: float, watcher: Watcher) -> int:
        """Bring up the tunnels of a name, and tell the watcher of each one's end. How many there are."""
        self.host.now = now
        states = self.tunnels.named(name)
        for state in states:
            state.wanted = True
            if state.up:
                watcher(True, "")
            else:
                self.tunnels.begin(state, watcher)
        return len(states)

    def down(self, name: str, now: float) -> int:
        """Take down the tunnels of a name until somebody asks for them. How many there are."""
        self.host.now = now
        states = self.tunnels.named(name)
        for state in states:
            self._end(state, TAKEN_DOWN)
            for session in self.sessions:
                session.forgo(state.tunnel)
        return len(states)

    def rekey(self, name: str, now: float, watcher: Watcher) -> int:
        """Make a fresh child for the tunnels of a name. How many there are."""
        self.host.now = now
        states = self.tunnels.named(name)
        for state in states:
            self.tunnels.begin(state, watcher)
        return len(states)

    def reauthenticate(self, name: str, now: float, watcher: Watcher) -> int:
        """Authenticate anew with the peers of a name's tunnels, and make fresh children there. How many there are.

        Make before break: where it fails, a rotated key that differs for one, what is up stays up.
        """
        self.host.now = now
        states = self.tunnels.named(name)
        for state in states:
            self.tunnels.begin(state, watcher, anew=True)
        return len(states)

    def start(self, now: float) -> None:
        """Begin the tunnels that are to be up from the start."""
        self.host.now = now
        self.tunnels.start()

    def adopt(self, found: Iterable[SaState], now: float) -> None:
        """Take over the SAs that an earlier run left in the kernel: their tunnels are made anew at once."""
        self.host.now = now
        by_reqid: dict[int, list[SaState]] = {}
        for one in found:
            by_reqid.setdefault(one.reqid, []).append(one)
        for state in self.tunnels:
            left = by_reqid.get(state.tunnel.reqid)
            if left:
                self.tunnels.adopt(state, tuple(one.id for one in left))

    def compare(self, present: Iterable[SaId], now: float) -> None:
        """Forget the children that the kernel no longer has; for when its events were lost."""
        self.host.now = now
        known = set(present)
        gone = [
            child
            for child in self._children()
            if child.inbound not in known or (child.sends and child.outbound not in known)
        ]
        self.delete_children(gone)
        for child in gone:
            self.tunnels.child_gone(child, "the kernel no longer has it")

    def addresses_changed(self, addresses: Collection[Address], now: float) -> None:
        """This host may have other addresses than before: leave those that it has no more, and begin at new ones.

        May be called again without a change: the routes that belong to an address follow it.
        """
        self.host.now = now

        def left(remote: Remote, path: Path) -> bool:
            return path.local not in addresses and self._would_leave(remote, path)

        for session in self.sessions:
            if left(session.remote, session.path):
                reason = _ADDRESS_LOST.format(session.path.local)
                events.ike_sa(self.host, session, events.ADDRESS_CHANGED, reason)
                session.abandon(reason)
        self._drop_children(left, _ADDRESS_LOST)
        for state in self.tunnels:
            if state.begun_at not in addresses:
                state.begun_at = None
        self.tunnels.hasten(lambda state: self._begins_elsewhere(state, addresses))

    def reconfigure(self, configuration: Effective, now: float, dry_run: bool = False) -> dict[str, list[str]]:
        """Apply another configuration by its difference; the names of tunnels by what happens to them.

        What didn't change keeps its SAs, its SPIs, and what it is just negotiating. A renewed tunnel keeps its SAs, and
        the IKE SA that they belong to, until new ones are up; the peer may be reconfigured much later.
        """
        self.host.now = now
        configuration = reconfiguration.reusing(gathered(configuration), self.configuration)
        changes = reconfiguration.changes(self.configuration, configuration)
        if dry_run:
            return changes
        self._leave_unheard(configuration)
        for name in changes["removed"] + changes["changed"]:
            self._take_down(name)
        self.configuration = configuration
        self._peers = Peers(configuration, self.host)
        self.host.trace.configure(self._peers.addresses())
        self.tunnels.replace(configuration.tunnels, set(changes["kept"]), set(changes["renewed"]))
        self._close_superseded()
        self.tunnels.renew(changes["renewed"])
        return changes

    def run_timers(self, now: float) -> None:
        self.host.now = now
        self.host.timers.run(now)

    def close(self, now: float) -> None:
        """End everything in good order: deletes go out, SAs leave the kernel."""
        self.host.now = now
        for state in self.tunnels:
            self._end(state, _STOPPING)
        for session in self._sessions:
            session.close(_STOPPING)
        self.tunnels.close()

    # Out

    @property
    def outbox(self) -> Any:
        return self.host.outbox

    def deadline(self) -> float | None:
        return self.host.timers.deadline()

    @property
    def sessions(self) -> list[Session]:
        return list(self._sessions)

    def status(self, now: float) -> dict:
        """The status document: see docs/control.md."""
        return status.document(self, now)

    def trace(self, name: str, now: float) -> list[dict] | None:
        """The last packets of a remote, or of an address as text, decoded; None where it is neither."""
        addresses = self._peers.addresses_of(name)
        if addresses is None:
            return None
        seen = [one.path.peer for one in self._sessions if one.remote.name == name]
        packets = [one for address in dict.fromkeys(addresses + seen) for one in self.host.trace.of(address)]
        return [trace_text.packet(one, now - one.when) for one in sorted(packets, key=lambda one: one.when)]

    # What sessions report

    def tunnels_of(self, remote: Remote) -> list[Tunnel]:
        return [state.tunnel for state in self.tunnels.of(remote)]

    def settings_of(self, tunnel: Tunnel) -> IkeSettings | None:
        """How we talk to a tunnel's peer; None without a remote for it."""
        remote = self._peers.named(tunnel.remote)
        return remote.settings(remote.acceptable[0]) if remote and remote.acceptable else None

    def children_of(self, remote: Remote) -> list[ChildSa]:
        return self.tunnels.children_of(remote)

    def first_contact(self, session: Session) -> bool:
        """Whether we hold nothing with this peer but the session that asks."""
        others = [one for one in self._sessions.of(session.remote) if one is not session]
        return not others and not self.children_of(session.remote)

    def remotes_at(self, address: Address, protocol: str) -> list[Remote]:
        return self._peers.all_at(protocol, address)

    def carrying(self, tunnel: Tunnel) -> ChildSa | None:
        """The child that carries a tunnel's traffic now."""
        state = self.tunnels.get(tunnel.name)
        up = [child for child in state.children if child.state == UP] if state is not None else []
        return up[-1] if up else None

    def is_up(self, tunnel: Tunnel) -> bool:
        return self.tunnels.get(tunnel.name).up

    def has(self, child: ChildSa) -> bool:
        return self.tunnels.child_by_id(child.inbound) is child

    def has_another(self, session: Session) -> bool:
        """Whether another session with this peer has children."""
        return any(one.children() for one in self._sessions.of(session.remote) if one is not session)

    def established_with(self, remote: Remote) -> list[Session]:
        return [one for one in self._sessions.of(remote) if one.state == ESTABLISHED]

    def session_made(self, session: Session) -> None:
        """An IKE SA that replaces another: established from its beginning."""
        self._sessions.add(session, half_open=False)

    def session_moved(self, session: Session, remote: Remote) -> None:
        """The peer's identity is another remote's."""
        self._sessions.move(session, remote)

    def session_up(self, session: Session) -> None:
        self._sessions.close_half_open(session)
        self._announced.add(session)
        events.ike_sa(self.host, session, hooks.IKE_SA_UP)

    def session_hint(self, session: Session, hint: str) -> None:
        """Something that explains why this peer's tunnels are down."""
        for state in self.tunnels.of(session.remote):
            if not state.up and not state.taken_down:
                state.reason = hint

    def session_replaced(self, session: Session, successor: Session) -> None:
        """A rekey: what scripts and watchers know of the one is the other's."""
        self._announced.discard(session)
        self._announced.add(successor)
        events.ike_sa(self.host, successor, hooks.IKE_SA_REKEY)

    def session_moves(self, session: Session) -> None:
        """The peer's messages come from elsewhere, as after a NAT began anew: fresh children go there too."""
        events.ike_sa(self.host, session, events.ADDRESS_CHANGED)
        self._renew_children(session)

    def session_down(
        self, session: Session, waiting: list[Tunnel], reason: str, connecting: bool, linger: float = 0.0
    ) -> None:
        """A session has ended, or failed while ``connecting``; for ``linger`` seconds it answers what comes again."""
        if linger:
            self._sessions.retire(session)
            self.host.timers.at(self.host.now + linger, lambda now: self._sessions.remove(session))
        else:
            self._sessions.remove(session)
        if session in self._announced:
            self._announced.remove(session)
            events.ike_sa(self.host, session, hooks.IKE_SA_DOWN, reason)
        elif connecting and (session.initiator or self.host.is_news(session.path.peer, "IKE SA failed: " + reason)):
            events.ike_sa(self.host, session, events.IKE_SA_FAILED, reason)
        for tunnel in waiting:
            self.child_failed(session, tunnel.name, reason)

    def session_expiring(self, session: Session) -> None:
        """Make the next IKE SA before this one ends, where something needs it."""
        remote = self._peers.named(session.remote.name)
        if remote is not None and any(child.state == UP for child in self.children_of(remote)):
            self._open(remote, session.path)

    def session_reauthenticates(self, session: Session) -> None:
        """Make what a session holds anew on another one, which authenticates first."""
        self._renew_children(session, anew=True)

    def elsewhere(self, session: Session, tunnel: Tunnel) -> bool:
        """Whether a tunnel would now be begun at another address than this session, the only one with its peer.

        A name that leads to several in turn is followed now and then only: there is a back-off for what doesn't answer.
        """
        state = self.tunnels.get(tunnel.name)
        if state is None or self.host.now < state.turned + _TURNS or self._youngest(session.remote) is not session:
            return False
        try:
            return self._peers.path(tunnel, session.remote).peer != session.path.peer
        except LocalError:
            return False

    def begin_elsewhere(self, tunnels: Iterable[Tunnel]) -> None:
        """What waited for a session that has ended leads to another address by now: nobody need hear of a failure."""
        for tunnel in tunnels:
            state = self.tunnels.get(tunnel.name)
            if state is None or state.tunnel is not tunnel or state.taken_down:
                continue
            state.turned = self.host.now
            state.connecting = False
            self.tunnels.begin(state)

    def peer_dead(self, session: Session, reason: str) -> None:
        """The peer has forgotten us, or can't be reached: start over."""
        events.ike_sa(self.host, session, events.PEER_DEAD, reason)
        children = session.children()
        self.tunnels.peer_dead(children)
        session.abandon(reason)
        for child in children:
            self.tunnels.child_gone(child, reason)

    def initial_contact(self, session: Session) -> None:
        """The peer holds nothing with us from before this session (RFC 2407 4.6.3.3, RFC 7296 2.4)."""
        for other in self._sessions.of(session.remote):
            if other is not session and other.state == ESTABLISHED and other.peer_id == session.peer_id:
                other.abandon("the peer started anew")
        for child in session.children():
            self.tunnels.child_gone(child, "the peer started anew")

    def child_up(self, session: Session, child: ChildSa) -> None:
        self.tunnels.child_up(child)
        if any(one.remote is not session.remote for one in self._sessions.named(session.remote)):
            self.host.timers.at(self.host.now + _SUPERSEDED, lambda now: self._close_superseded())

    def child_failed(self, session: Session, name: str, reason: str) -> None:
        """The negotiation of a tunnel's child failed; ``name`` is no tunnel's where the peer had begun it."""
        state = self.tunnels.get(name)
        if state is not None:
            self.tunnels.failed(state, reason)
            return
        events.child_failed(self.host, session.remote.name, "", reason)
        self.session_hint(session, reason)

    def child_deleted(self, session: Session, spi: int, asking: bool = False) -> None:
        """The peer deleted the child of this outbound SPI; ``asking``: while the session asks for a child."""
        child = self.tunnels.find_child(session.remote, spi)
        if child is None:
            return
        for other in self._sessions.named(session.remote):
            other.outbound.replaced_is_gone(child)
        self.tunnels.child_deleted(child, asking)

    def nothing_else_sends(self, child: ChildSa) -> None:
        """All other children of its tunnel that we could send on are gone."""
        remote = self._peers.named(child.tunnel.remote)
        for session in self._sessions.named(remote) if remote is not None else ():
            session.outbound.nothing_else_sends(child)

    def _sends_at_last(self, child: ChildSa) -> bool:
        """Whether a child has only waited to send, and does so now that its tunnel has no other outbound SA."""
        if child.sends:
            return False
        self.nothing_else_sends(child)
        return child.sends

    def is_telling(self, child: ChildSa) -> bool:
        """Whether the peer has yet to answer that it knows of this child's end."""
        remote = self._peers.named(child.tunnel.remote)
        return remote is not None and any(one.is_telling(child) for one in self._sessions.named(remote))

    def peer_left(self, remote: Remote) -> None:
        """The peer deleted an ISAKMP SA (RFC 2408 3.15: its children may stay)."""
        if not self.established_with(remote):
            self.tunnels.drop_revived(remote)

    def child_lost(self, child: ChildSa, reason: str) -> None:
        """A child can't stay, though nobody took it down: it comes back."""
        self.tunnels.child_gone(child, reason)

    # What tunnels ask for

    def negotiate(self, state: TunnelState, anew: bool = False) -> None:
        """Make a child for a tunnel, on the youngest IKE SA with its peer; without one, or ``anew``, on a new one."""
        state.begun_at = None
        try:
            remote = self._peers.of(state.tunnel)
            youngest = self._youngest(remote)
            path = youngest.path if youngest else self._peers.path(state.tunnel, remote)
            state.begun_at = path.local
            session = self._beginning(remote) if anew else youngest
        except LocalError as error:
            self.host.warning("{}: {}".format(state.tunnel.name, error))
            self.tunnels.failed(state, str(error))
            return
        if session is not None:
            session.negotiate(state.tunnel)
        else:
            self._open(remote, path, state.tunnel)

    def delete_children(self, children: list[ChildSa]) -> None:
        """Tell the peers that these children go."""
        for child in children:
            remote = self._peers.named(child.tunnel.remote)
            session = self._youngest(remote, child) if remote else None
            if session is not None and session.state == ESTABLISHED:
                session.delete_children([child])

    # Inside

    def _children(self) -> list[ChildSa]:
        return [child for state in self.tunnels for child in state.children]

    def _renew_children(self, session: Session, anew: bool = False) -> None:
        """Make the next one of each child that carries traffic; ``anew``: on an IKE SA that authenticates first."""
        for child in session.children():
            state = self.tunnels.get(child.tunnel.name)
            if state is not None and child.state == UP:
                self.tunnels.begin(state, anew=anew)

    def _would_leave(self, remote: Remote, path: Path) -> bool:
        """Whether this path, begun now, would have another address of ours, which no tunnel of its peer fixes."""
        if any(not isinstance(tunnel.my_address, str) for tunnel in self.tunnels_of(remote)):
            return False
        try:
            return self.host.perform(SourceAddress(path.peer)) != path.local
        except LocalError:
            return False

    def _begins_elsewhere(self, state: TunnelState, addresses: Collection[Address]) -> bool:
        """Whether a tunnel would now be begun at another address of ours than last time, or at one that came back."""
        try:
            remote = self._peers.of(state.tunnel)
            youngest = self._youngest(remote)
            local = (youngest.path if youngest else self._peers.path(state.tunnel, remote)).local
        except LocalError:
            return False
        return local in addresses and local != state.begun_at

    def _leave_unheard(self, configuration: Effective) -> None:
        """Leave what is at addresses of ours where this configuration no longer listens, without a word."""

        def unheard(_remote: Remote, path: Path) -> bool:
            return not any(one.hears(path.local) for one in configuration.listen)

        for session in self.sessions:
            if unheard(session.remote, session.path):
                session.abandon(_NOT_LISTENING.format(session.path.local))
        self._drop_children(unheard, _NOT_LISTENING)

    def _drop_children(self, lost: Callable[[Remote, Path], bool], reason: str) -> None:
        """Forget the children at addresses of ours that are lost; in IKEv1 they may be there without any IKE SA."""
        for child in self._children():
            remote = self._peers.named(child.tunnel.remote)
            if remote is not None and lost(remote, child.path):
                self.tunnels.child_gone(child, reason.format(child.local))

    def _close_superseded(self) -> None:
        """Close the sessions of a former configuration that carry nothing any more."""
        remotes = [*self.configuration.remotes, self.configuration.default]
        for session in self.sessions:
            if any(session.remote is remote for remote in remotes):
                continue
            if session.state != ESTABLISHED or not self.tunnels.renewing(session.remote):
                session.close(_RECONFIGURED)

    def _take_down(self, name: str) -> None:
        """Remove the children of a tunnel that is about to be replaced; whether it was wanted stays known."""
        state = self.tunnels.get(name)
        if state is not None:
            wanted = state.wanted
            self._end(state, _RECONFIGURED)
            state.wanted = wanted

    def _end(self, state: TunnelState, reason: str) -> None:
        """Take a tunnel down at both ends."""
        self.delete_children(state.children)
        self.tunnels.down(state, reason)

    def _drop(self, path: Path, reason: str) -> None:
        """Count a datagram that we don't take, and say so."""
        self.host.count("dropped")
        self.host.complain(path.peer, "dropped a datagram from {}: {}".format(path.peer, reason))

    def _answer_stray(self, header: Header, path: Path) -> None:
        """Only peers that we know are told."""
        if header.major == 2 and self._peers.at(IKEV2, path.peer) is not None:
            self._entrances[2].answer_stray(header, path)

    def _accept(self, header: Header, datagram: bytes, path: Path) -> None:
        """A new peer's first message."""
        entrance = self._entrances.get(header.major)
        if entrance is None or not entrance.begins(header):
            self._drop(path, "version {:#x} exchange {} begins nothing here".format(header.version, header.exchange))
            return
        if self._sessions.crowded(path.peer):
            self.host.count("refused_half_open")
            return
        remote = self._peers.at(entrance.protocol, path.peer)
        if remote is None:
            self._drop(path, "no remote has this address")
            return
        if not entrance.admits(header, datagram, path, remote):
            return
        session = _SESSIONS[entrance.protocol](self.host, self, remote, path, initiator=False, spi_i=header.spi_i)
        self._sessions.add(session, half_open=True)
        session.accept(header, datagram)

    def _youngest(self, remote: Remote, child: ChildSa | None = None) -> Session | None:
        """The session that new exchanges with a peer go to, or those about a child: established before connecting,
        young before old.
        """
        sessions = [
            one
            for one in (self._sessions.of(remote) if child is None else self._sessions.named(remote))
            if (one.state == ESTABLISHED or (one.state == CONNECTING and one.initiator))
            and (child is None or one.owns(child))
        ]
        return max(sessions, key=lambda one: (one.state == ESTABLISHED, one.since), default=None)

    def _beginning(self, remote: Remote) -> Session | None:
        """An IKE SA that we have just begun with this remote."""
        return next((one for one in self._sessions.of(remote) if one.initiator and one.state == CONNECTING), None)

    def _open(self, remote: Remote, path: Path, *tunnels: Tunnel) -> None:
        """Begin an IKE SA, and then children for these tunnels."""
        session = _SESSIONS[remote.acceptable[0]](self.host, self, remote, path, initiator=True)
        self._sessions.add(session, half_open=False)
        for tunnel in tunnels:
            session.negotiate(tunnel)
        session.open()
