# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An IKE SA with everything that belongs to it: exchanges, children, liveness, lifetime (RFC 7296 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...config.settings import IKEV2, IkeSettings, Remote, Tunnel
from ...crypto.v2_keys import IkeKeys
from ...policy import v2_selectors
from ...policy.sa import AH, SaId, TrafficSelector
from ...policy.v2_proposals import IkeSuite
from ...wire.cursor import WireError
from ...wire.header import NO_SPI, Header
from ...wire.v2 import Delete, Identification, Message, Notification
from ...wire.v2_numbers import Flag, Notify, Payload, Protocol, notify_name
from ..child import ChildSa
from ..errors import PeerError
from ..host import Host
from ..outbound import Outbound
from ..path import Path
from ..tunnels import TAKEN_DOWN
from . import auth, create_child, followup, fragments, informational, initial, rekey_ike, rules
from .liveness import Liveness
from .rules import CLOSED, CLOSING, CONNECTING, ESTABLISHED, REKEYED
from .runner import Runner, Steps, Task
from .succession import Succession

if TYPE_CHECKING:
    from ..engine import Engine

_HALF_OPEN = 30.0  # seconds that a responder waits for IKE_AUTH
_LINGER = 30.0  # seconds that an ended IKE SA still answers duplicates
_REDUNDANT = 60.0  # seconds between two looks whether an IKE SA without children is one too many
_REAUTHENTICATE_AGAIN = 60.0  # seconds between two attempts
_SOFT, _SOFT_JITTER = 0.8, 0.1  # of the lifetime, racoon2's: when an IKE SA is replaced

_RESPONDERS = {
    rules.CHILD_REQUEST: create_child.responder,
    rules.REKEY_REQUEST: rekey_ike.responder,
    rules.FOLLOWUP_REQUEST: followup.unasked,
    rules.INFORMATIONAL: informational.responder,
}
_CHILD = "child "
_DELETE = "delete of {:#010x}"
_SILENCES = {"IKE_INTERMEDIATE": "its long messages don't get through"}  # what else may be the reason
_PROTOCOLS = {Protocol.ESP: "esp", Protocol.AH: "ah"}


class Session:
    """One IKE SA. ``initiator`` is whether we began it; ``id`` is our own SPI of the two, in hexadecimal.
    ``begun`` is when its negotiation began, ``since`` when that was over.

    ``init_sent`` is our last IKE_SA_INIT datagram, which AUTH covers; ``intermediate_sent`` what it covers of our last
    IKE_INTERMEDIATE message.
    """

    version = 2

    def __init__(
        self, host: Host, engine: Engine, remote: Remote, path: Path, initiator: bool, spi_i: bytes = NO_SPI
    ) -> None:
        self.host = host
        self.engine = engine
        self.remote = remote
        self.settings: IkeSettings = remote.settings(IKEV2)
        self.path = path
        self.initiator = initiator
        self.spi_i = host.random(8) if initiator else spi_i
        self.spi_r = NO_SPI if initiator else host.random(8)
        self.state = CONNECTING
        self.suite: IkeSuite | None = None
        self.keys: IkeKeys | None = None
        self.local_id = ""
        self.peer_id = ""
        self.local_nat = False
        self.peer_nat = False
        self.fragmentation = False
        self.fragment_room = fragments.IPV4_ROOM if path.peer.version == 4 else fragments.IPV6_ROOM
        self.begun = self.since = host.now
        self.hint = ""
        self.init_sent = b""
        self.intermediate_sent = b""
        self.reauthenticate_at = 0.0
        self.liveness = Liveness(self)
        self.runner = Runner(self)
        self.outbound = Outbound(self)
        self.succession = Succession(self)
        self._first: Tunnel | None = None  # the tunnel that IKE_AUTH makes a child for
        self._waiting: list[Tunnel] = []
        self._deleting: set[SaId] = set()
        self._deleted_early: set[int] = set()
        self._timers: list[Any] = []
        self._complaints: set[str] = set()

    # What exchanges ask for

    @property
    def now(self) -> float:
        return self.host.now

    @property
    def timers(self) -> Any:
        return self.host.timers

    @property
    def id(self) -> str:
        return (self.spi_i if self.initiator else self.spi_r).hex()

    @property
    def behind_nat(self) -> bool:
        return self.local_nat or self.peer_nat

    def random(self, count: int) -> bytes:
        return self.host.random(count)

    def key_pair(self, group: Any) -> Any:
        return self.host.key_pair(group)

    def tunnels(self) -> list[Tunnel]:
        return self.engine.tunnels_of(self.remote)

    def traffic(self, tunnel: Tunnel) -> list[TrafficSelector]:
        """The traffic of a tunnel, of each of its selectors, seen from us."""
        return [v2_selectors.outbound(one.selector, self.path.local, self.path.peer) for one in tunnel.members]

    def first_tunnel(self) -> Tunnel | None:
        """The tunnel that IKE_AUTH makes a child for: the first that waits."""
        self._first = self._waiting.pop(0) if self._waiting else None
        return self._first

    def initial_contact(self) -> list[Notification]:
        """INITIAL_CONTACT, where we hold nothing else with this peer (RFC 7296 2.4)."""
        return [Notification(Notify.INITIAL_CONTACT)] if self.engine.first_contact(self) else []

    def protect(self, suite: IkeSuite, keys: IkeKeys) -> None:
        """Seal and open messages from here on."""
        self.suite = suite
        self.keys = keys

    def learn(self, message: Message) -> None:
        """What the peer says in IKE_SA_INIT that it can."""
        self.fragmentation = message.notified(Notify.IKEV2_FRAGMENTATION_SUPPORTED) is not None

    def float_ports(self) -> None:
        """Move to port 4500 once IKE_SA_INIT has shown a NAT (RFC 7296 2.23)."""
        if self.behind_nat:
            self.path = self.path.floated()

    def choose_remote(self, identity: Identification) -> None:
        """Several remotes may serve one address: the one that knows this identity does."""
        if auth.knows(self.settings, identity):
            return
        for remote in self.engine.remotes_at(self.path.peer, IKEV2):
            if auth.knows(remote.settings(IKEV2), identity):
                self.engine.session_moved(self, remote)
                self.settings = remote.settings(IKEV2)
                return

    def established(self, message: Message) -> None:
        """Both ends are authenticated."""
        self.start()
        self.host.info(
            "{}: IKE SA established with {} ({}), {}".format(self, self.peer_id, self.path, self.suite.describe())
        )
        if message.notified(Notify.INITIAL_CONTACT) is not None:
            self.engine.initial_contact(self)
        self.engine.session_up(self)
        if not self.initiator:
            self._doubt_others()
        self._first = None
        waiting, self._waiting = self._waiting, []
        for tunnel in waiting:
            self.negotiate(tunnel)

    def _doubt_others(self) -> None:
        """A peer that authenticates anew may have lost what it had with us, though it doesn't say so (2.4)."""
        for other in self.engine.established_with(self.remote):
            if other is not self and other.version == self.version and other.peer_id == self.peer_id:
                other.liveness.doubt()

    def start(self) -> None:
        """Live from here on: lifetime and liveness begin."""
        self.state = ESTABLISHED
        self.since = self.now
        self.stop_timers()
        self._schedule_expiry(self.suite.lifetime_seconds)
        self.after(_REDUNDANT, self._end_if_redundant)
        self._schedule_reauthentication()
        self.liveness.start()

    def after(self, delay: float, action: Any) -> None:
        """Call ``action`` so many seconds from now, unless this IKE SA has ended before."""
        self._timers.append(self.timers.at(self.now + delay, action))

    def stop_timers(self) -> None:
        """Wait for nothing more: neither lifetime nor liveness."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.liveness.stop()

    # Children

    def children(self) -> list[ChildSa]:
        return [child for child in self.engine.children_of(self.remote) if child.ike == self.id]

    def owns(self, child: ChildSa) -> bool:
        return child.ike == self.id

    def child_of(self, tunnel: Tunnel) -> ChildSa | None:
        """The child that a new one would replace."""
        return next((child for child in self.children() if child.tunnel is tunnel and child.state == "up"), None)

    def child_by_peers_spi(self, protocol: int, spi: bytes) -> ChildSa | None:
        number, name = int.from_bytes(spi, "big"), _PROTOCOLS.get(protocol)
        return next((one for one in self.children() if (one.spi_out, one.protocol) == (number, name)), None)

    def child_up(self, child: ChildSa) -> None:
        self.engine.child_up(self, child)

    def child_failed(self, name: str, error: Exception) -> None:
        """The negotiation of a tunnel's child failed; the IKE SA lives on."""
        self.host.warning("{}: {}child SA failed: {}".format(self, name and name + ": ", error))
        self.engine.child_failed(self, name, str(error))

    def child_lost(self, child: ChildSa) -> None:
        """The peer says that it no longer has it."""
        self.engine.child_lost(child, "the peer no longer has it")

    def child_deleted(self, child: ChildSa) -> None:
        """The peer deleted it."""
        self.engine.child_deleted(self, child.spi_out, self.making_child)

    def deleted_early(self, spi: bytes) -> None:
        """The peer deleted what we don't know yet: the answer that made it may be on its way."""
        if self.making_child:
            self._deleted_early.add(int.from_bytes(spi, "big"))

    def was_deleted(self, spi_out: int) -> bool:
        """Whether the peer deleted a child before its answer arrived."""
        early, self._deleted_early = self._deleted_early, set()
        return spi_out in early

    def is_deleting(self, child: ChildSa) -> bool:
        return child.inbound in self._deleting

    def hand_over(self, successor: Session) -> None:
        """Give children and what waits to the IKE SA that replaces this one."""
        for child in self.children():
            child.ike = successor.id
        self.outbound.hand_over(successor.outbound)
        successor._deleting, self._deleting = self._deleting, set()
        self.runner.hand_over(successor.runner)
        self.stop_timers()

    # From the engine

    def open(self) -> None:
        """Begin IKE_SA_INIT."""
        self.host.info("{}: initiating IKEv2 to {}".format(self, self.path.peer))
        self.runner.ask(Task("initial exchanges", initial.initiator, Session._initial_failed))

    def accept(self, header: Header, datagram: bytes) -> None:
        """Answer a peer's first message, which the entrance has let in."""
        message = Message.clear(header, datagram)
        self.after(_HALF_OPEN, self._half_open_too_long)
        self.runner.accept(header, datagram, self.path, initial.responder(self, message))

    def receive(self, header: Header, datagram: bytes, path: Path) -> None:
        """A datagram that carries this session's SPIs."""
        from_initiator = bool(header.flags & Flag.INITIATOR)
        if from_initiator == self.initiator:
            self.drop("a message of our own side")
            return
        self.runner.receive(header, datagram, path)

    def negotiate(self, tunnel: Tunnel) -> None:
        """Make a child for a tunnel: with IKE_AUTH, or as soon as nothing else is being asked."""
        if self.state == CONNECTING:
            if tunnel not in self._waiting and tunnel is not self._first:
                self._waiting.append(tunnel)
            return

        def failed(session: Session, error: Exception) -> None:
            session.child_failed(tunnel.name, error)

        self.runner.ask(Task(_CHILD + tunnel.name, lambda session: create_child.initiator(session, tunnel), failed))

    def forgo(self, tunnel: Tunnel) -> None:
        """Wait no more to make a child for a tunnel; where nobody has answered, an attempt for that alone ends.

        Once somebody has, IKE_AUTH needs a child, whoever wants it (RFC 7296 1.2).
        """
        if tunnel not in self._waiting or self.keys is not None:
            return
        self._waiting.remove(tunnel)
        if not self._waiting:
            self.ended(TAKEN_DOWN)

    def delete_children(self, children: list[ChildSa]) -> None:
        """Tell the peer that these children go."""
        self._deleting.update(child.inbound for child in children)
        for child in children:
            self.delete_spi_at_peer(child.inbound)

    def delete_spi_at_peer(self, inbound: SaId) -> None:
        """Delete a child at the peer by our SPI, whether or not we have it."""
        protocol = Protocol.AH if inbound.protocol == AH else Protocol.ESP
        self._tell(_DELETE.format(inbound.spi), [Delete(protocol, (inbound.spi.to_bytes(4, "big"),))])

    def is_telling(self, child: ChildSa) -> bool:
        """Whether the peer has yet to answer the delete of a child."""
        return _DELETE.format(child.spi_in) in self.runner.labels()

    def probe(self) -> None:
        """Ask whether the peer is there."""
        settings = self.settings
        self._tell("liveness", [], patience=(settings.dpd_retry, settings.dpd_maxfail))

    def _tell(self, label: str, payloads: list, patience: tuple[int, int] | None = None) -> None:
        def failed(session: Session, error: Exception) -> None:
            session.host.debug("{}: {}: {}".format(session, label, error))

        self.runner.ask(
            Task(label, lambda session: informational.initiator(session, payloads), failed, patience, again=True)
        )

    def close(self, reason: str) -> None:
        """End the IKE SA, and say so to the peer where it can understand us."""
        if self.state not in (ESTABLISHED, REKEYED):
            self.ended(reason)
            return
        self.state = CLOSING
        self._lose_children(reason)
        self.runner.preempt(
            Task(
                "delete of the IKE SA",
                lambda session: informational.last_word(session, reason),
                lambda session, error: session.ended(reason),
            )
        )

    def abandon(self, reason: str) -> None:
        """End the IKE SA without a word: the peer wouldn't understand."""
        self.ended(reason)

    # Exchanges

    def responder(self, rule: rules.Rule, message: Message) -> Steps:
        """The generator that answers a request of an established peer."""
        self.outbound.send_now()
        if not _ends(message):
            self.succession.used()
        return _RESPONDERS[rule](self, message)

    def drop(self, reason: str) -> None:
        """Count a datagram that we don't take; the first of its kind is worth a line."""
        self.host.count("dropped")
        if reason not in self._complaints:
            self._complaints.add(reason)
            self.host.debug("{}: dropped a message: {}".format(self, reason))

    def heard(self, path: Path) -> None:
        """An authentic message. Behind NAT the peer is wherever its messages come from (RFC 7296 2.23)."""
        if self.keys is None:
            return
        self.liveness.heard()
        if path != self.path and (self.peer_nat or self.state == CONNECTING):
            self.path = path
            if self.state != CONNECTING:
                self.engine.session_moves(self)

    def unfit(self, message: Message, complaint: str) -> None:
        """An answer in clear that doesn't fit: anybody could have written it, but it may explain a silence."""
        try:
            refusal = message.refusal()
        except WireError:
            refusal = None
        text = notify_name(refusal.kind) if refusal is not None else complaint
        self.drop("IKE_SA_INIT response: {}".format(text))
        if not self.hint and refusal is not None:
            self.hint = "{} says {} (unauthenticated)".format(self.path.peer, text)
            self.host.warning("{}: {}".format(self, self.hint))
            self.engine.session_hint(self, self.hint)

    def unprotected(self, header: Header, datagram: bytes) -> None:
        """An answer in clear where it should be sealed changes nothing; INVALID_IKE_SPI makes us ask (2.21.4)."""
        self.drop("an unprotected response")
        try:
            refusal = Message.clear(header, datagram).refusal()
        except WireError:
            refusal = None
        if refusal is not None and refusal.kind == Notify.INVALID_IKE_SPI and self.state == ESTABLISHED:
            self.host.complain(self.path.peer, "{}: INVALID_IKE_SPI (unauthenticated): is the peer there?".format(self))
            self.liveness.doubt()

    def misled(self) -> bool:
        """Whether nobody has answered where we have begun, and the peer's name leads elsewhere by now.

        The tunnel that we began for says so: others of the same peer may have had another address from the beginning.
        """
        unheard = self.initiator and self.keys is None
        return unheard and any(self.engine.elsewhere(self, one) for one in self._waiting[:1])

    def silent(self, task: Task) -> None:
        """The peer answered none of a request's retransmissions: it is gone (RFC 7296 2.4)."""
        reason = self.hint or "no answer from {}".format(self.path.peer)
        if self.state != CONNECTING:
            self.engine.peer_dead(self, reason)
            return
        if not self.hint and self.keys is None:
            reason += ": unreachable, filtered, or not configured for us"
        elif not self.hint:
            exchange = self.runner.exchange
            other = _SILENCES.get(exchange, "not configured for us")
            reason += " in {}: port {} filtered, or {}".format(exchange, self.path.peer_port, other)
        led_elsewhere: list[Tunnel] = []
        if self.misled():
            led_elsewhere, self._waiting = self._waiting, []
        self.runner.withdraw(PeerError(reason))
        self.ended(reason)
        self.engine.begin_elsewhere(led_elsewhere)

    def request_failed(self, error: Exception) -> None:
        """A peer's request that we didn't carry out."""
        if self.state == CONNECTING:
            self.ended(str(error))
            return
        self.host.warning("{}: {}".format(self, error))
        self.engine.session_hint(self, str(error))

    @property
    def making_child(self) -> bool:
        """Whether we are waiting for the answer to a request for a child."""
        return self.runner.asking.startswith(_CHILD)

    def check_free(self, message: Message) -> None:
        """Refuse for now what would cross with the end or the replacement of this IKE SA (RFC 7296 2.25)."""
        child = message.has(Payload.TSI)
        rekeying = self.succession.asking
        if self.state != ESTABLISHED or (child and rekeying) or (not child and self.making_child):
            raise PeerError("a request that crosses with the end of this IKE SA", Notify.TEMPORARY_FAILURE)

    # Ends

    def ended(self, reason: str) -> None:
        """The IKE SA is over. It still answers duplicates for a while."""
        if self.state == CLOSED:
            return
        self.succession.take_rival()
        connecting = self.state == CONNECTING
        self.state = CLOSED
        self.stop_timers()
        tasks = self.runner.stop()
        self._say_ended("failed" if connecting else "closed", reason)
        self._lose_children(reason)
        waiting = ([self._first] if self._first else []) + self._waiting
        self._first, self._waiting = None, []
        linger = _LINGER if self.keys is not None else 0.0
        self.engine.session_down(self, waiting, reason, connecting, linger)
        for task in tasks:
            task.failed(self, PeerError(reason))

    def _say_ended(self, how: str, reason: str) -> None:
        text = "{}: IKE SA {}: {}".format(self, how, reason)
        if how == "closed":
            self.host.info(text)
        elif self.initiator:
            self.host.warning(text)
        else:
            self.host.complain(self.path.peer, text)

    def _lose_children(self, reason: str) -> None:
        for child in self.children():
            self.engine.child_lost(child, reason)

    def _initial_failed(self, error: Exception) -> None:
        """The initial exchanges failed; a responder that we don't believe is told so (RFC 7296 2.21.2)."""
        if self.state == ESTABLISHED:
            self.close(str(error))
            return
        notify = getattr(error, "notify", 0)
        if notify and self.keys is not None and self.state == CONNECTING:
            self.runner.say([Notification(notify)])
        self.ended(str(error))

    def _half_open_too_long(self, now: float) -> None:
        if self.state == CONNECTING:
            self.ended("{} fell silent before IKE_AUTH".format(self.path.peer))

    def _end_if_redundant(self, now: float) -> None:
        """Both ends had begun at once, and the other IKE SA's child has stayed."""
        if not self.children() and self.engine.has_another(self):
            self.close("the peer has another IKE SA with us")
        else:
            self._timers = [timer for timer in self._timers if timer.pending]
            self.after(_REDUNDANT, self._end_if_redundant)

    def _schedule_expiry(self, lifetime: int) -> None:
        if not lifetime:
            return
        share = _SOFT + _SOFT_JITTER * self.random(1)[0] / 256
        self.after(lifetime * share, self._soft_expired)
        self.after(lifetime, self._hard_expired)

    def _schedule_reauthentication(self) -> None:
        """Rekeying doesn't put it off: a successor keeps the time (RFC 7296 2.8.3)."""
        seconds = self.settings.reauth_seconds
        if not seconds:
            return
        if not self.reauthenticate_at:
            self.reauthenticate_at = self.now + seconds * (1 - _SOFT_JITTER * self.random(1)[0] / 256)
        self.after(max(0.0, self.reauthenticate_at - self.now), self._reauthenticate)

    def _reauthenticate(self, now: float) -> None:
        """Success moves the children to another IKE SA, and this one ends; until then it is tried again."""
        if self.state != ESTABLISHED:
            return
        if self.children():
            self.engine.session_reauthenticates(self)
            self.after(_REAUTHENTICATE_AGAIN, self._reauthenticate)
        else:
            self.close("it is time to authenticate anew")

    def _soft_expired(self, now: float) -> None:
        self.succession.begin()

    def _hard_expired(self, now: float) -> None:
        self.close("its lifetime is over")

    def __str__(self) -> str:
        return self.remote.name


def _ends(message: Message) -> bool:
    """Whether a request deletes the IKE SA that it came on."""
    try:
        return any(one.protocol == Protocol.IKE for one in message.all(Delete))
    except WireError:
        return False
