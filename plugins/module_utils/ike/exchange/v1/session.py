# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ISAKMP SA with everything that runs under it: exchanges, liveness, lifetime (RFC 2408, RFC 2409)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...config.settings import IkeSettings, Remote, Tunnel
from ...crypto.v1_keys import Phase1Keys
from ...policy.sa import ESP, SaId, TrafficSelector
from ...policy.v1_proposals import Phase1Suite
from ...policy.v1_selectors import configured, host_traffic
from ...wire.cursor import WireError
from ...wire.header import NO_SPI, Header, decode_header
from ...wire.numbers import Protocol, name_of
from ...wire.v1 import Delete, Message, Notification
from ...wire.v1_numbers import LAST_ERROR_NOTIFY, Flag, Notify
from ...wire.v1_numbers import Exchange as Kind
from ..child import ChildSa
from ..errors import PeerError
from ..host import Host
from ..outbound import Outbound
from ..path import Path
from ..tunnels import OVERLAP, TAKEN_DOWN
from . import aggressive_mode, fragments, informational, main_mode, quick_mode, rules, vendor
from .liveness import Liveness
from .runner import Exchange

if TYPE_CHECKING:
    from ..engine import Engine

CONNECTING = "connecting"
ESTABLISHED = "established"
CLOSED = "closed"

_PHASE1 = 0  # the message id of phase 1
_MODES = {
    "main": (Kind.MAIN_MODE, main_mode, "main mode"),
    "aggressive": (Kind.AGGRESSIVE, aggressive_mode, "aggressive mode"),
}
_MAX_MESSAGE_IDS = 10000  # remembered against replays; a session that used so many is replaced
_MAX_COMPLAINTS = 100  # lines about messages that were dropped
_MAX_FAILURES = 3  # quick modes in a row
_SOFT = 0.85  # of the lifetime: when the initiator makes the next ISAKMP SA
_SOFT_JITTER = 0.05
_AT_ONCE = 30.0  # ISAKMP SAs that are not further apart, in seconds, were begun by both ends


class Session:
    """One ISAKMP SA. ``spi_i`` and ``spi_r`` are the cookies; ``id`` is ours of the two, in hexadecimal."""

    version = 1

    def __init__(
        self, host: Host, engine: Engine, remote: Remote, path: Path, initiator: bool, spi_i: bytes = NO_SPI
    ) -> None:
        self.host = host
        self.engine = engine
        self.remote = remote
        self.settings: IkeSettings = remote.ikev1
        self.path = path
        self.initiator = initiator
        self.spi_i = self.random(8) if initiator else spi_i
        self.spi_r = NO_SPI if initiator else self.random(8)
        self.state = CONNECTING
        self.suite: Phase1Suite | None = None
        self.keys: Phase1Keys | None = None
        self.candidates: tuple[Phase1Keys, ...] = ()
        self.local_id = ""
        self.peer_id = ""
        self.vendors: set[bytes] = set()
        self.local_nat = False
        self.peer_nat = False
        self.since = host.now
        self.hint = ""
        self.liveness = Liveness(self)
        self.outbound = Outbound(self)
        self._last_block = b""
        self._exchanges: dict[int, Exchange] = {}
        self._message_ids: set[int] = set()
        self._waiting: list[Tunnel] = []
        self._expiry: list[Any] = []
        self._complaints: set[str] = set()
        self._fragments = fragments.Reassembly()
        self._fragment_id = 0
        self._failures = 0

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
    def closed(self) -> bool:
        return self.state == CLOSED

    @property
    def behind_nat(self) -> bool:
        return self.local_nat or self.peer_nat

    def random(self, count: int) -> bytes:
        return self.host.random(count)

    def key_pair(self, group: Any) -> Any:
        return self.host.key_pair(group)

    def tunnels(self) -> list[Tunnel]:
        return self.engine.tunnels_of(self.remote)

    def children(self) -> list[ChildSa]:
        """What the peer holds with us: in IKEv1 children outlive the ISAKMP SA that made them."""
        return self.engine.children_of(self.remote)

    def owns(self, child: ChildSa) -> bool:
        return child.tunnel.remote == self.remote.name

    def first_contact(self) -> bool:
        """Whether to say INITIAL-CONTACT: not where an earlier run's SAs still carry traffic until new ones do."""
        return self.engine.first_contact(self) and not self.engine.tunnels.has_leftovers(self.remote)

    def selector(self, tunnel: Tunnel) -> TrafficSelector:
        """The traffic that quick mode negotiates for a tunnel."""
        return configured(tunnel.selector) or host_traffic(self.path.local, self.path.peer)

    def protect(self, suite: Phase1Suite, *candidates: Phase1Keys) -> None:
        """Encrypt phase 1 from here on. Of several candidates, what the peer encrypts will show the right ones.

        Their first IV is the same: it doesn't depend on the pre-shared key (RFC 2409 5).
        """
        self.suite = suite
        self.keys = candidates[0]
        self.candidates = candidates
        self._exchanges[_PHASE1].iv = self.keys.iv

    def opened_with(self, keys: Phase1Keys) -> None:
        """These of the candidates are the right ones."""
        if keys is not self.keys:
            self.host.info("{}: the peer has proven the other key of a rotation".format(self))
        self.keys = keys
        self.candidates = (keys,)

    def float_ports(self) -> None:
        """Move to port 4500 once phase 1 has shown a NAT (RFC 3947 4)."""
        if self.behind_nat:
            self.path = self.path.floated()

    def established(self, notifications: set[int]) -> None:
        """Phase 1 is authenticated: what waited for it may begin."""
        self.state = ESTABLISHED
        self.since = self.now
        self.keys.forget_phase1()
        self._last_block = self._exchanges[_PHASE1].iv
        self.host.info(
            "{}: ISAKMP SA established with {} ({}), {}".format(
                self, self.peer_id, self.path, "/".join(self.suite.names().values())
            )
        )
        if Notify.INITIAL_CONTACT in notifications:
            self.engine.initial_contact(self)
        self._schedule_expiry(self.suite.lifetime_seconds)
        self.liveness.start()
        waiting, self._waiting = self._waiting, []
        self.engine.session_up(self)
        self._replace_older()
        for tunnel in waiting:
            self._start_quick_mode(tunnel)

    def child_up(self, child: ChildSa) -> None:
        self._failures = 0
        leftovers = self.engine.tunnels.leftovers(child)
        self.engine.child_up(self, child)
        for sa_id in leftovers:
            self.delete(sa_id)

    def is_telling(self, child: ChildSa) -> bool:
        """IKEv1's deletes aren't answered."""
        return False

    # From the engine

    def open(self) -> None:
        """Begin phase 1."""
        kind, mode, label = _MODES[self.settings.exchange_mode]
        self.host.info("{}: initiating {} to {}".format(self, label, self.path.peer))
        self._new_exchange(kind, _PHASE1, label).start(mode.initiator(self))

    def accept(self, header: Header, datagram: bytes) -> None:
        """Answer a peer's first message, which made this session."""
        exchange = self._new_exchange(Kind.MAIN_MODE, _PHASE1, "main mode")
        message = exchange.open(header, datagram, rules.SA)
        if message is None:
            self._close("its first message doesn't fit")
            return
        exchange.start(main_mode.responder(self, message), datagram)

    def receive(self, header: Header, datagram: bytes, path: Path) -> None:
        """A datagram that carries this session's cookies."""
        if fragments.is_fragment(header):
            self._receive_fragment(header, datagram, path)
            return
        exchange = self._exchanges.get(header.message_id)
        if header.exchange == Kind.INFORMATIONAL:
            self._receive_informational(header, datagram, path)
        elif exchange is not None and exchange.kind == header.exchange:
            if self.spi_r == NO_SPI:
                self.spi_r = header.spi_r
            exchange.receive(header, datagram, path)
        elif header.exchange == Kind.QUICK_MODE and exchange is None:
            self._accept_quick_mode(header, datagram, path)
        else:
            self.drop("exchange type {} fits nothing".format(name_of(Kind, header.exchange)))

    def negotiate(self, tunnel: Tunnel) -> None:
        """Make a child SA for a tunnel: now, or as soon as phase 1 is done."""
        if self.state == CONNECTING:
            if tunnel not in self._waiting:
                self._waiting.append(tunnel)
        else:
            self._start_quick_mode(tunnel)

    def forgo(self, tunnel: Tunnel) -> None:
        """Wait no more to make a child for a tunnel; where nobody has answered, an attempt for that alone ends."""
        if tunnel not in self._waiting:
            return
        self._waiting.remove(tunnel)
        if not self._waiting and self.spi_r == NO_SPI:
            self._close(TAKEN_DOWN)

    def delete_children(self, children: list[ChildSa]) -> None:
        """Tell the peer that these children are gone."""
        for child in children:
            self.delete(child.inbound)

    def delete(self, inbound: SaId) -> None:
        """Tell the peer that we no longer receive on an SA."""
        if self.state == ESTABLISHED:
            protocol = Protocol.V1_ESP if inbound.protocol == ESP else Protocol.V1_AH
            self.inform([Delete(protocol, (inbound.spi.to_bytes(4, "big"),))])

    def close(self, reason: str) -> None:
        """End the session, and say so to the peer where it can understand us."""
        if self.state == ESTABLISHED:
            self.inform([Delete(Protocol.ISAKMP, (self.spi_i + self.spi_r,))])
        self._close(reason)

    def abandon(self, reason: str) -> None:
        """End the session without a word: the peer wouldn't understand."""
        self._close(reason)

    # Exchanges

    def transmit(self, path: Path, datagram: bytes) -> None:
        """Send a datagram, in fragments where it is long and the peer can join them."""
        if len(datagram) <= fragments.LIMIT or vendor.FRAGMENTATION not in self.vendors:
            self.host.send(path, datagram)
            return
        self._fragment_id = self._fragment_id % 0xFFFF + 1
        for piece in fragments.split(datagram, self.spi_i, self.spi_r, self._fragment_id):
            self.host.send(path, piece)

    def inform(self, payloads: list) -> None:
        """Send an informational exchange: one message, for which nobody answers."""
        message_id = self._fresh_message_id()
        exchange = Exchange(self, Kind.INFORMATIONAL, message_id, "informational")
        exchange.iv = self.keys.phase2_iv(self._last_block, message_id)
        self.transmit(self.path, exchange.seal(informational.authenticated(self, message_id, payloads)))

    def drop(self, reason: str) -> None:
        """Count a datagram that we don't take; the first of its kind is worth a line."""
        self.host.count("dropped")
        if len(self._complaints) < _MAX_COMPLAINTS and reason not in self._complaints:
            self._complaints.add(reason)
            self.host.debug("{}: dropped a message: {}".format(self, reason))

    def unfit(self, exchange: Exchange, rule: rules.Rule, complaint: str) -> None:
        """A message that doesn't fit its rule. In phase 1's last step that is how another key looks."""
        self.drop("{}: {}".format(rule.name, complaint))
        if rule is rules.IDENTITY and not self.hint:
            self.hint = "message can't be decrypted: probably the pre-shared keys differ"
            self.host.warning("peer {}: {}".format(self.path.peer, self.hint))
            self.engine.session_hint(self, self.hint)

    def heard_on(self, header: Header, path: Path) -> None:
        """A message fitted. Behind NAT the peer's address is wherever its decryptable messages come from."""
        encrypted = header.flags & Flag.ENCRYPTION
        ports = (self.path.peer_port, self.path.local_port) != (path.peer_port, path.local_port)
        if ports or (path.peer != self.path.peer and encrypted and self.peer_nat):
            self.path = path
            if self.state == ESTABLISHED:
                self.engine.session_moves(self)
        if encrypted:
            self.liveness.heard()

    def silence(self, exchange: Exchange) -> str:
        """Why an exchange ended without an answer, as well as we can tell."""
        if self.hint:
            return self.hint
        if exchange.message_id != _PHASE1:
            return "no answer from {} in quick mode".format(self.path.peer)
        if self.keys is not None and self.initiator:
            return "{} fell silent when it had to check our proof: probably the pre-shared keys differ".format(
                self.path.peer
            )
        if self.spi_r != NO_SPI:
            return "{} fell silent in main mode".format(self.path.peer)
        return "no answer from {}: unreachable, filtered, or not configured for us".format(self.path.peer)

    def exchange_failed(self, exchange: Exchange, error: Exception) -> None:
        """An exchange ended without success: phase 1's end is the session's."""
        notify = getattr(error, "notify", 0)
        if notify:
            self._notify(exchange, notify)
        if exchange.message_id == _PHASE1:
            self._close(str(error))
        else:
            self.host.warning("{}: {} failed: {}".format(self, exchange.label, error))
            self.engine.child_failed(self, exchange.label, str(error))
            self._count_failure()

    def _count_failure(self) -> None:
        """An ISAKMP SA under which nothing succeeds gives way to a new one: what it learnt of the peer may be wrong."""
        self._failures += 1
        if self._failures >= _MAX_FAILURES and not self.engine.children_of(self.remote):
            self.close("{} negotiations under it failed".format(self._failures))

    def forget_exchange(self, exchange: Exchange) -> None:
        self._exchanges.pop(exchange.message_id, None)

    def notified(self, notification: Notification) -> None:
        """An authenticated notification from the peer."""
        text = name_of(Notify, notification.kind)
        if notification.kind <= LAST_ERROR_NOTIFY:
            self.host.warning("{}: the peer says {}".format(self, text))
            self._fail_quick_modes(notification, "the peer refused: {}".format(text))
        elif notification.kind == Notify.INITIAL_CONTACT:
            self.engine.initial_contact(self)
        elif notification.kind == Notify.CONNECTED:
            self._committed()
        else:
            self.liveness.notified(notification)

    def deleted(self, delete: Delete) -> None:
        """An authenticated delete from the peer."""
        if delete.protocol == Protocol.ISAKMP:
            if self.spi_i + self.spi_r in delete.spis:
                self._close("deleted by the peer")
                self.engine.peer_left(self.remote)
            return
        for spi in delete.spis:
            self.engine.child_deleted(self, int.from_bytes(spi, "big"))

    def __str__(self) -> str:
        return self.remote.name

    # Inside

    def _new_exchange(self, kind: int, message_id: int, label: str) -> Exchange:
        exchange = Exchange(self, kind, message_id, label)
        self._exchanges[message_id] = exchange
        self._message_ids.add(message_id)
        return exchange

    def _fresh_message_id(self) -> int:
        """A message id that this session never used (RFC 2408 3.1)."""
        while True:
            message_id = int.from_bytes(self.random(4), "big")
            if message_id not in self._message_ids:
                self._message_ids.add(message_id)
                return message_id

    def _start_quick_mode(self, tunnel: Tunnel) -> None:
        message_id = self._fresh_message_id()
        exchange = self._new_exchange(Kind.QUICK_MODE, message_id, tunnel.name)
        exchange.iv = self.keys.phase2_iv(self._last_block, message_id)
        exchange.start(quick_mode.initiator(self, message_id, tunnel))

    def _accept_quick_mode(self, header: Header, datagram: bytes, path: Path) -> None:
        if not self._may_begin(header):
            return
        exchange = Exchange(self, Kind.QUICK_MODE, header.message_id, "quick mode")
        exchange.iv = self.keys.phase2_iv(self._last_block, header.message_id)
        message = exchange.open(header, datagram, rules.QUICK)
        if message is None:
            return
        self.heard_on(header, path)
        self._message_ids.add(header.message_id)
        self._exchanges[header.message_id] = exchange
        exchange.start(quick_mode.responder(self, header.message_id, message), datagram)

    def _may_begin(self, header: Header) -> bool:
        """Whether the peer may begin an exchange now, with a message id that it never used."""
        if self.state != ESTABLISHED:
            self.drop("{} before phase 1 is done".format(name_of(Kind, header.exchange)))
            return False
        if header.message_id in self._message_ids or len(self._message_ids) > _MAX_MESSAGE_IDS:
            self.drop("a message id that was used before")
            return False
        return True

    def _receive_fragment(self, header: Header, datagram: bytes, path: Path) -> None:
        """A piece of a message from a peer that knows that we can join it; the last one gives the message."""
        if not self.initiator and vendor.FRAGMENTATION not in self.vendors:
            self.drop("a fragment from a peer that didn't announce fragmentation")
            return
        try:
            whole = self._fragments.add(header, datagram)
            joined = decode_header(whole) if whole is not None else None
        except WireError as error:
            self.drop("fragment: {}".format(error))
            return
        if joined is None:
            return
        if fragments.is_fragment(joined) or (joined.spi_i, joined.spi_r) != (header.spi_i, header.spi_r):
            self.drop("fragments that make no message of this session")
            return
        self.receive(joined, whole, path)

    def _receive_informational(self, header: Header, datagram: bytes, path: Path) -> None:
        if not header.flags & Flag.ENCRYPTION:
            self._hear_unauthenticated(header, datagram)
            return
        if not self._may_begin(header):
            return
        exchange = Exchange(self, Kind.INFORMATIONAL, header.message_id, "informational")
        exchange.iv = self.keys.phase2_iv(self._last_block, header.message_id)
        message = exchange.open(header, datagram, rules.INFORMATIONAL)
        if message is None or not informational.authentic(self, message):
            return
        self.heard_on(header, path)
        self._message_ids.add(header.message_id)
        try:
            informational.handle(self, message)
        except WireError as error:
            self.drop("informational: {}".format(error))

    def _hear_unauthenticated(self, header: Header, datagram: bytes) -> None:
        """Anybody can write an error in clear: it ends nothing, but it may explain a silence."""
        if self.state != CONNECTING or not self.initiator or self.hint:
            self.drop("an informational exchange in clear")
            return
        try:
            kinds = [one.kind for one in Message.clear(header, datagram).all(Notification)]
        except WireError as error:
            self.drop("an informational exchange in clear: {}".format(error))
            return
        if kinds:
            self.hint = "{} says {} (unauthenticated)".format(self.path.peer, name_of(Notify, kinds[0]))
            self.host.warning("{}: {}".format(self, self.hint))

    def _notify(self, exchange: Exchange, kind: int) -> None:
        """Tell the peer why we stop: protected once phase 1 is done, in clear only as an answer before keys."""
        notification = Notification(Protocol.ISAKMP, kind, self.spi_i + self.spi_r)
        if self.state == ESTABLISHED:
            self.inform([notification])
        elif self.keys is None and not self.initiator:
            self.host.send(self.path, informational.in_clear(self, self._fresh_message_id(), notification))

    def _fail_quick_modes(self, notification: Notification, reason: str) -> None:
        """An error notification ends the quick mode that it names by SPI, or the only one there is."""
        running = [one for one in self._exchanges.values() if one.kind == Kind.QUICK_MODE and not one.finished]
        if len(running) == 1:
            running[0].refused(PeerError(reason))

    def _committed(self) -> None:
        """CONNECTED in an informational exchange ends the wait of the only quick mode that its peer holds back."""
        waiting = [one for one in self._exchanges.values() if one.waits_for(rules.CONNECTED)]
        if len(waiting) == 1:
            waiting[0].proceed()

    def _schedule_expiry(self, lifetime: int) -> None:
        if not lifetime:
            return
        share = _SOFT + _SOFT_JITTER * self.random(1)[0] / 256
        if self.initiator:
            self._expiry.append(self.timers.at(self.now + lifetime * share, self._soft_expired))
        self._expiry.append(self.timers.at(self.now + lifetime, self._hard_expired))

    def _soft_expired(self, now: float) -> None:
        self.engine.session_expiring(self)

    def _hard_expired(self, now: float) -> None:
        self.close("its lifetime is over")

    def _say_closed(self, how: str, reason: str) -> None:
        text = "{}: ISAKMP SA {}: {}".format(self, how, reason)
        if how == "closed":
            self.host.info(text)
        elif self.initiator:
            self.host.warning(text)
        else:
            self.host.complain(self.path.peer, text)

    def _replace_older(self) -> None:
        """Close what this ISAKMP SA renews, for the peer may have forgotten it. Of two at once both may stay."""
        for other in self.engine.established_with(self.remote):
            if other is not self and self.now - other.since > _AT_ONCE:
                self.timers.at(self.now + OVERLAP, lambda now, other=other: other.close("a younger one is there"))

    def _close(self, reason: str) -> None:
        if self.state == CLOSED:
            return
        connecting = self.state == CONNECTING
        self.state = CLOSED
        for timer in self._expiry:
            timer.cancel()
        self.liveness.stop()
        self.outbound.send_now()
        unfinished = [one for one in self._exchanges.values() if not one.finished]
        for exchange in unfinished:
            exchange.abandon()
        self._say_closed("failed" if connecting else "closed", reason)
        waiting, self._waiting = self._waiting, []
        self.engine.session_down(self, waiting, reason, connecting)
        for exchange in unfinished:
            if exchange.kind == Kind.QUICK_MODE:
                self.engine.child_failed(self, exchange.label, reason)
