# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner: it drives an IKE SA's exchanges, and owns everything that the diagrams leave out (RFC 7296 2.1 to 2.3).

Message ids and a window of one both ways, the queue of what we still have to ask, retransmission with back-off,
the one cached answer, protection and fragments, the rule that each message has to fit, and every exchange's end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from ...crypto.sk_cipher import IntegrityError
from ...wire.chain import NO_NEXT_PAYLOAD
from ...wire.cursor import WireError
from ...wire.header import HEADER_SIZE, NO_SPI, Header
from ...wire.numbers import name_of
from ...wire.v2 import Envelope, Message, Notification, covered, encode_chain, encode_clear, envelope, sealed_head
from ...wire.v2_numbers import Exchange, Flag, Notify, Payload
from ..effects import Await, Final, Reply, Request
from ..errors import LocalError, PeerError
from ..path import Path
from . import fragments
from .rules import ALLOWED, CHILD_REQUEST, CLOSED, CONNECTING, REKEY_REQUEST, Rule, request_rule

if TYPE_CHECKING:
    from .session import Session

Steps = Generator[Any, Any, None]

_LONGEST_WAIT = 64.0  # seconds between two retransmissions, racoon2's limit
_MAX_REPEATS = 64  # answers to duplicates of one request: a loop of two peers ends here
_PATIENCE = 60.0  # seconds that a half-made SA waits for the exchanges that follow


@dataclass(frozen=True)
class Task:
    """Something that we ask of the peer: ``begin`` makes its generator, when its turn has come.

    ``label`` tells tasks apart: of two alike only one waits. ``patience`` is (seconds, retries) of steady
    retransmission, where the settings' back-off isn't wanted. ``again``: it does no harm to ask the successor of an
    IKE SA as well, when the answer is still due.
    """

    label: str
    begin: Callable[[Session], Steps]
    failed: Callable[[Session, Exception], None]
    patience: tuple[int, int] | None = None
    again: bool = False


class Runner:
    """Both directions of one IKE SA's exchanges. ``first_id`` is -1 where IKE_SA_INIT is over already (a rekey)."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._queue: deque[Task] = deque()
        self._task: Task | None = None
        self._asking: Steps | None = None
        self._expect: Rule | None = None
        self._request_id = -1
        self._sent: list[bytes] = []
        self._retries_left = 0
        self._wait = 0.0
        self._timer: Any = None
        self._serving: Steps | None = None  # a responder that waits for the exchange that follows
        self._awaited: Rule | None = None  # that exchange's request
        self._expected_id = 0
        self._answered = b""
        self._answer: list[bytes] = []
        self._answer_path: Path | None = None
        self._repeats = 0
        self._incoming = {True: fragments.Reassembly(), False: fragments.Reassembly()}

    # From the session

    def ask(self, task: Task) -> None:
        """Ask as soon as nothing else is being asked."""
        if task.label not in self.labels():
            self._queue.append(task)
            self._next()

    def preempt(self, task: Task) -> None:
        """Ask at once, instead of everything else: for the last word."""
        given_up = self.stop()
        self.ask(task)
        for one in given_up:
            one.failed(self.session, LocalError("the IKE SA ends"))

    def labels(self) -> list[str]:
        """What is being asked and what waits."""
        asked = [self._task.label] if self._task else []
        return asked + [task.label for task in self._queue]

    @property
    def asking(self) -> str:
        return self._task.label if self._task else ""

    @property
    def exchange(self) -> str:
        """The exchange whose answer is due; "" for none."""
        return self._expect.exchange.name if self._expect is not None else ""

    def hand_over(self, successor: Runner) -> None:
        """Give what still waits to the IKE SA that replaces this one: the peer may end this one before it answers."""
        due = [self._task] if self._task is not None and self._task.again else []
        waiting, self._queue = list(self._queue), deque()
        for task in due + waiting:
            successor.ask(task)

    def accept(self, header: Header, datagram: bytes, path: Path, generator: Steps) -> None:
        """Answer the request that made the session."""
        self._begin_answer(header, datagram, path)
        self._serve(header, generator, lambda: next(generator), Notify.INVALID_SYNTAX)

    def receive(self, header: Header, datagram: bytes, path: Path) -> None:
        if header.flags & Flag.RESPONSE:
            self._receive_answer(header, datagram, path)
        else:
            self._receive_request(header, datagram, path)

    def withdraw(self, error: Exception) -> None:
        """Give up what is being asked and what is being answered; what they hold in the kernel they give back."""
        self._cancel()
        self._expect = None
        self._task = None
        asking, self._asking = self._asking, None
        serving, self._serving = self._serving, None
        for generator in (asking, serving):
            if generator is not None:
                self._unwind(generator, error)

    def stop(self) -> list[Task]:
        """End for good; duplicates are still answered. What was being asked and what waited."""
        tasks = ([self._task] if self._task else []) + list(self._queue)
        self._queue.clear()
        self.withdraw(LocalError("the IKE SA has ended"))
        return tasks

    def say(self, payloads: list) -> None:
        """Send an INFORMATIONAL request once, and wait for nothing: for the word after which we are gone."""
        self._request_id += 1
        for datagram in self._sealed(Exchange.INFORMATIONAL, 0, self._request_id, payloads):
            self.session.host.send(self.session.path, datagram)

    # Requests of ours

    def _next(self) -> None:
        if self._task is None and self._queue and self.session.state != CLOSED:
            self._task = self._queue.popleft()
            self._asking = self._task.begin(self.session)
            self._advance(lambda generator=self._asking: next(generator))

    def _advance(self, step: Callable[[], Any]) -> None:
        """Let the task go on until it asks again or ends."""
        task, generator = self._task, self._asking
        try:
            effect = self._drive(generator, step)
        except (PeerError, LocalError) as error:
            self._end_task(task, error)
        except WireError as error:
            self._end_task(task, PeerError("{}: {}".format(task.label, error)))
        else:
            if effect is None:
                self._end_task(task, None)
            elif self._task is task:
                self._send_request(effect)

    def _end_task(self, task: Task, error: Exception | None) -> None:
        if self._task is task:
            self._cancel()
            self._task = self._asking = self._expect = None
        if error is not None:
            task.failed(self.session, error)
        self._next()

    def _send_request(self, effect: Request) -> None:
        settings = self.session.settings
        initial = effect.expect.exchange == Exchange.IKE_SA_INIT
        self._request_id = 0 if initial else self._request_id + 1
        self._expect = effect.expect
        self._sent = self._sealed(effect.expect.exchange, 0, self._request_id, effect.payloads)
        if initial:
            self.session.init_sent = self._sent[0]
        self._wait, self._retries_left = self._task.patience or (settings.interval, settings.retries)
        self._transmit()
        self._schedule()

    def _transmit(self) -> None:
        for _copy in range(max(1, self.session.settings.times_per_send)):
            for datagram in self._sent:
                self.session.host.send(self.session.path, datagram)

    def _schedule(self) -> None:
        jitter = 1 + 0.1 * (self.session.random(1)[0] / 128 - 1)
        self._timer = self.session.timers.at(self.session.now + self._wait * jitter, self._on_timer)

    def _on_timer(self, now: float) -> None:
        if self._retries_left == 0 or self.session.misled():
            self._cancel()
            self.session.silent(self._task)
            return
        self._retries_left -= 1
        if self._task.patience is None:
            self._wait = min(self._wait * 2, _LONGEST_WAIT)
        self.session.host.count("retransmissions")
        self._transmit()
        self._schedule()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _receive_answer(self, header: Header, datagram: bytes, path: Path) -> None:
        rule = self._expect
        if rule is None or header.message_id != self._request_id or header.exchange != rule.exchange:
            self.session.drop("a response that answers nothing")
            return
        if header.next_payload == Payload.NOTIFY and rule.exchange != Exchange.IKE_SA_INIT:
            self.session.unprotected(header, datagram)
            return
        message = self._open(header, datagram)
        if message is None:
            return
        complaint = self._complaint(rule, message)
        if header.exchange == Exchange.IKE_SA_INIT and complaint:
            self.session.unfit(message, complaint)  # anybody can write that: the right answer may still come
            return
        self.session.heard(path)
        self._cancel()
        self._expect = None
        if complaint:
            error = PeerError("{}: {}".format(rule.name, complaint))
            self._advance(lambda: self._asking.throw(error))
        else:
            self._advance(lambda: self._asking.send(message))

    # Requests of the peer

    def _receive_request(self, header: Header, datagram: bytes, path: Path) -> None:
        if datagram == self._answered:
            self._repeat(path)
            return
        if header.message_id != self._expected_id:
            self.session.drop("a request outside of the window")
            return
        if header.exchange not in ALLOWED[self.session.state]:
            self.session.drop("{} while {}".format(name_of(Exchange, header.exchange), self.session.state))
            return
        message = self._open(header, datagram)
        if message is None:
            return
        self.session.heard(path)
        self._begin_answer(header, message.datagram or datagram, path)
        self._dispatch(header, message)

    def _begin_answer(self, header: Header, datagram: bytes, path: Path) -> None:
        self._expected_id = header.message_id + 1
        self._answered = datagram
        self._answer = []
        self._answer_path = path
        self._repeats = 0

    def _dispatch(self, header: Header, message: Message) -> None:
        """Let the exchange that this request belongs to answer it."""
        critical = message.unknown_critical()
        if critical is not None:
            self._refuse(header, Notify.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([critical]))
            return
        rule = request_rule(message)
        try:
            complaint = rule.complaint(message)
        except WireError as error:
            complaint = str(error)
        if complaint:
            self.session.drop("{}: {}".format(rule.name, complaint))
            self._refuse(header, Notify.INVALID_SYNTAX)
            self.session.request_failed(PeerError("{}: {}".format(rule.name, complaint)))
            return
        waiting = self._serving
        if waiting is not None and rule == self._awaited:
            self._serving = None
            self._serve(header, waiting, lambda: waiting.send(message), rule.failure)
        elif self.session.state == CONNECTING:
            awaited = self._awaited.name if self._awaited else "nothing"
            error = PeerError("{}, where {} is due".format(rule.name, awaited), Notify.INVALID_SYNTAX)
            self._fail_request(header, error, rule.failure)
        else:
            if rule in (CHILD_REQUEST, REKEY_REQUEST):
                self._forget(waiting)
            steps = self.session.responder(rule, message)
            self._serve(header, steps, lambda: next(steps), rule.failure)

    def _serve(self, header: Header, steps: Steps, step: Callable[[], Any], failure: Notify) -> None:
        """Let a responder go on until it has answered and waits for what follows, or has ended."""
        try:
            effect = self._drive(steps, step)
            while isinstance(effect, Final):
                self._send_answer(header, effect.payloads)
                effect = self._drive(steps, lambda: next(steps))
        except (PeerError, LocalError, WireError) as error:
            self._fail_request(header, error, failure)
            return
        if isinstance(effect, Reply):
            self._send_answer(header, effect.payloads)
        if effect is not None:
            self._wait_for(steps, effect.expect)

    def _wait_for(self, steps: Steps, expect: Rule) -> None:
        self._serving, self._awaited = steps, expect
        if self.session.state != CONNECTING:
            self.session.after(_PATIENCE, lambda now: self._forget(steps))

    def _forget(self, steps: Steps | None) -> None:
        """Give up what waits for an exchange that doesn't follow: the peer has begun anew, or fell silent."""
        if steps is not None and self._serving is steps:
            self._serving = None
            self._unwind(steps, PeerError("the peer doesn't go on"))

    def _fail_request(self, header: Header, error: Exception, failure: Notify) -> None:
        if isinstance(error, WireError):
            error = PeerError(str(error), Notify.INVALID_SYNTAX)
        notify = getattr(error, "notify", failure)
        if notify and not self._answer:
            self._refuse(header, notify, getattr(error, "data", b""))
        self.session.request_failed(error)

    def _refuse(self, header: Header, notify: int, data: bytes = b"") -> None:
        if header.exchange == Exchange.IKE_SA_INIT:
            # Nothing is left to be named by an SPI of ours.
            datagram = encode_clear(
                header.spi_i, NO_SPI, header.exchange, Flag.RESPONSE, 0, [Notification(notify, data)]
            )
            self.session.host.send(self._answer_path, datagram)
            return
        self._send_answer(header, [Notification(notify, data)])

    def _send_answer(self, header: Header, payloads: list) -> None:
        self._answer = self._sealed(header.exchange, Flag.RESPONSE, header.message_id, payloads)
        if header.exchange == Exchange.IKE_SA_INIT:
            self.session.init_sent = self._answer[0]
        self._transmit_answer()

    def _transmit_answer(self) -> None:
        for datagram in self._answer:
            self.session.host.send(self._answer_path, datagram)

    def _repeat(self, path: Path) -> None:
        """Answer a duplicate as we answered its original, to where it came from."""
        self.session.host.count("duplicates")
        if self._repeats < _MAX_REPEATS:
            self._repeats += 1
            self.session.outbound.repeated()
            self._answer_path = path
            self._transmit_answer()

    # Generators

    def _drive(self, generator: Steps, step: Callable[[], Any]) -> Any:
        """Answer effects until there is a message to send (that effect), or the end (None)."""
        try:
            effect = step()
            while not isinstance(effect, (Request, Reply, Final, Await)):
                try:
                    answer = self.session.host.perform(effect)
                except LocalError as error:
                    effect = generator.throw(error)
                else:
                    effect = generator.send(answer)
        except StopIteration:
            return None
        return effect

    def _unwind(self, generator: Steps, error: Exception) -> None:
        """Throw an error into a generator and answer only what it cleans up; one that ends its own session goes on."""
        if generator.gi_running:
            return
        try:
            effect = generator.throw(error)
            while True:
                effect = generator.send(self.session.host.perform(effect))
        except (StopIteration, PeerError, LocalError):
            return

    # Datagrams

    def _complaint(self, rule: Rule, message: Message) -> str:
        critical = message.unknown_critical()
        if critical is not None:
            return "payload {} is critical and unknown".format(critical)
        try:
            return rule.complaint(message)
        except WireError as error:
            return str(error)

    def _open(self, header: Header, datagram: bytes) -> Message | None:
        """The message in a datagram; None while fragments are missing, or where it isn't authentic."""
        try:
            if header.exchange == Exchange.IKE_SA_INIT:
                return Message.clear(header, datagram)
            return self._opened(header, datagram)
        except (WireError, IntegrityError) as error:
            self.session.drop("{}: {}".format(name_of(Exchange, header.exchange), error))
            return None

    def _opened(self, header: Header, datagram: bytes) -> Message | None:
        keys = self.session.keys
        if keys is None:
            raise WireError("sealed, before there are keys")
        around = envelope(header, datagram)
        content = keys.incoming.open(datagram, around.at)
        if around.total == 1:
            self.session.host.trace.opened(datagram, around.first, content)
            return Message.opened(header, around.first, content)
        assembly = self._incoming[bool(header.flags & Flag.RESPONSE)]
        whole = assembly.add(header.message_id, around, content, datagram)
        if whole is None:
            return None
        self.session.host.trace.opened(datagram, assembly.first, whole)
        return Message.opened(header, assembly.first, whole, assembly.opening)

    def _sealed(self, exchange: int, flags: int, message_id: int, payloads: list) -> list[bytes]:
        """The datagrams of a message: one, or as many as its fragments are."""
        session = self.session
        flags |= Flag.INITIATOR if session.initiator else 0
        if exchange == Exchange.IKE_SA_INIT:
            return [encode_clear(session.spi_i, session.spi_r, exchange, flags, message_id, payloads)]
        first, content = encode_chain(payloads) if payloads else (NO_NEXT_PAYLOAD, b"")
        if exchange == Exchange.IKE_INTERMEDIATE:
            session.intermediate_sent = covered(
                session.spi_i, session.spi_r, exchange, flags, message_id, first, content
            )
        key = session.keys.outgoing
        parts = [(Envelope(first, 0), content)]
        room = session.fragment_room - HEADER_SIZE - 8
        if session.fragmentation and key.size(len(content)) > room:
            parts = fragments.split(first, content, room - key.size(0) - 16)  # 16: CBC's padding
        datagrams = [
            key.seal(
                sealed_head(session.spi_i, session.spi_r, exchange, flags, message_id, around, key.size(len(part))),
                part,
            )
            for around, part in parts
        ]
        session.host.trace.sealed(datagrams[-1], first, content)
        return datagrams
