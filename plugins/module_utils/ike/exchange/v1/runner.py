# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner: it drives one exchange's generator, and owns everything that the diagrams leave out.

Retransmission with back-off, duplicates answered from memory, encryption with its chain of IVs, the rule that
the next message has to fit, and the end of an exchange, however it comes.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ...crypto.v1_keys import Phase1Keys
from ...wire.cursor import WireError
from ...wire.header import HEADER_SIZE, Header
from ...wire.v1 import Message, encode_chain, encode_clear, encode_encrypted_header
from ...wire.v1_numbers import Flag
from ..effects import Final, Reply, Request
from ..errors import LocalError, PeerError
from ..path import Path
from .rules import Rule

if TYPE_CHECKING:
    from .session import Session

_BACK_OFF = 1.5
_LINGER = 30.0  # seconds that an ended exchange still answers duplicates
_MAX_REPEATS = 16  # answers to duplicates of one message: a loop of two peers ends here


class Exchange:
    """One exchange in progress, with its message id (0 for phase 1) and exchange type."""

    def __init__(self, session: Session, kind: int, message_id: int, label: str) -> None:
        self.session = session
        self.kind = kind
        self.message_id = message_id
        self.label = label
        self.finished = False
        self.iv = b""
        self._generator: Generator[Any, Any, None] | None = None
        self._rule: Rule | None = None
        self._sent = b""
        self._sent_path: Path | None = None
        self._answers = False  # whether what we sent answers what came last: duplicates of that get it again
        self._answered = b""
        self._repeats = 0
        self._retries_left = 0
        self._wait = 0.0
        self._timer: Any = None

    # From the session

    def start(self, generator: Generator[Any, Any, None], datagram: bytes = b"") -> None:
        """Run the generator up to its first message; ``datagram`` is the one that it answers."""
        self._generator = generator
        self._answered = datagram
        self._advance(lambda: next(generator))

    def receive(self, header: Header, datagram: bytes, path: Path) -> None:
        """A datagram of this exchange: a duplicate, the message that we wait for, or one to drop."""
        if datagram == self._answered:
            self._repeat()
            return
        if self.finished or self._rule is None:
            self.session.drop("no message was expected in {}".format(self.label))
            return
        message = self.open(header, datagram, self._rule)
        if message is None:
            return
        self.session.heard_on(header, path)
        self._answered = datagram
        self._answers = False
        self._repeats = 0
        self._cancel()
        self._advance(lambda: self._generator.send(message))

    def open(self, header: Header, datagram: bytes, rule: Rule) -> Message | None:
        """The message in a datagram if it fits the rule; the chain of IVs moves on only then."""
        if bool(header.flags & Flag.ENCRYPTION) != rule.encrypted:
            self.session.drop("{} expected {}".format(rule.name, "encrypted" if rule.encrypted else "in clear"))
            return None
        complaint = ""
        for keys in self.session.candidates if rule.encrypted else (None,):
            message, complaint = self._read(header, datagram, rule, keys)
            if message is None:
                continue
            if keys is not None:
                self.session.opened_with(keys)
                self.iv = datagram[-len(self.iv) :]
                self.session.host.trace.opened(datagram, header.next_payload, message.content[: message.end])
            return message
        self.session.unfit(self, rule, complaint)
        return None

    def _read(self, header: Header, datagram: bytes, rule: Rule, keys: Phase1Keys | None) -> tuple[Message | None, str]:
        """The message if it fits the rule, else what is wrong with it. ``keys`` None: it came in clear."""
        try:
            message = Message.clear(header, datagram) if keys is None else self._decrypted(header, datagram, keys)
            complaint = rule.complaint(message.types())
        except WireError as error:
            return None, str(error)
        return (None, complaint) if complaint else (message, "")

    def abandon(self) -> None:
        """Stop for good; what the generator holds in the kernel it gives back."""
        self._cancel()
        if self._generator is not None and not self.finished:
            self.finished = True
            self._unwind(LocalError("the IKE SA has ended"))

    def waits_for(self, rule: Rule) -> bool:
        return not self.finished and self._rule is rule

    def proceed(self) -> None:
        """What this exchange waited for came outside of it."""
        self._cancel()
        self._advance(lambda: self._generator.send(None))

    def refused(self, error: Exception) -> None:
        """The peer ended this exchange from outside of it."""
        self._cancel()
        self.finished = True
        self._unwind(error)
        self.session.exchange_failed(self, error)
        self.session.forget_exchange(self)

    # The generator

    def _advance(self, step: Any) -> None:
        """Answer the generator's effects until it waits for a message or ends."""
        try:
            effect = step()
            while True:
                if isinstance(effect, (Request, Reply)):
                    self._send(effect)
                    return
                if isinstance(effect, Final):
                    self._send_final(effect)
                    step = self._resume(None)
                else:
                    step = self._perform(effect)
                effect = step()
        except StopIteration:
            self._end()
        except (PeerError, LocalError) as error:
            self._fail(error)
        except WireError as error:
            self._fail(PeerError("{}: {}".format(self.label, error)))

    def _resume(self, value: Any) -> Any:
        return lambda: self._generator.send(value)

    def _perform(self, effect: Any) -> Any:
        """The next step, after an effect: its answer, or the error that it ended in."""
        try:
            answer = self.session.host.perform(effect)
        except LocalError as error:
            return lambda error=error: self._generator.throw(error)
        return self._resume(answer)

    def _unwind(self, error: Exception) -> None:
        """Throw an error into the generator and answer only what it cleans up."""
        try:
            effect = self._generator.throw(error)
            while True:
                effect = self._generator.send(self.session.host.perform(effect))
        except (StopIteration, PeerError, LocalError):
            return

    def _end(self) -> None:
        self.finished = True
        self._cancel()
        self._timer = self.session.timers.at(self.session.now + _LINGER, self._forget)

    def _fail(self, error: Exception) -> None:
        if self.finished:
            return
        self.finished = True
        self._cancel()
        self.session.exchange_failed(self, error)
        if not self.session.closed:
            self._timer = self.session.timers.at(self.session.now + _LINGER, self._forget)

    def _forget(self, now: float) -> None:
        self.session.forget_exchange(self)

    # Datagrams

    def _send(self, effect: Any) -> None:
        self._rule = effect.expect
        self._transmit(effect)
        settings = self.session.settings
        insists = isinstance(effect, Request) or effect.insist
        self._retries_left = settings.retries if insists else 0
        self._wait = float(settings.interval) if insists else float(settings.child_negotiation_limit)
        self._schedule()

    def _send_final(self, effect: Final) -> None:
        self._rule = None
        self._transmit(effect)

    def _transmit(self, effect: Any) -> None:
        self._answers = not isinstance(effect, Request)
        self._sent = self.seal(effect.payloads) if effect.encrypted else self._clear(effect.payloads)
        self._sent_path = self.session.path
        self._transmit_again()

    def _transmit_again(self) -> None:
        for _copy in range(max(1, self.session.settings.times_per_send)):
            self.session.transmit(self._sent_path, self._sent)

    def _repeat(self) -> None:
        """Answer a duplicate as we answered its original, one datagram for one. A request has its own timer."""
        self.session.host.count("duplicates")
        if self._answers and self._repeats < _MAX_REPEATS:
            self._repeats += 1
            self.session.outbound.repeated()
            self.session.transmit(self._sent_path, self._sent)

    def _schedule(self) -> None:
        jitter = 1 + 0.1 * (self.session.random(1)[0] / 128 - 1)
        self._timer = self.session.timers.at(self.session.now + self._wait * jitter, self._on_timer)

    def _on_timer(self, now: float) -> None:
        if self._retries_left == 0:
            self.refused(PeerError(self.session.silence(self)))
            return
        self._retries_left -= 1
        self._wait *= _BACK_OFF
        self._transmit_again()
        self.session.host.count("retransmissions")
        self._schedule()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _clear(self, payloads: list) -> bytes:
        session = self.session
        return encode_clear(session.spi_i, session.spi_r, self.kind, self.message_id, payloads)

    def seal(self, payloads: list) -> bytes:
        """An encrypted datagram; the chain of IVs moves on."""
        session = self.session
        first, chain = encode_chain(payloads)
        fill = session.random if session.settings.random_pad_content else bytes
        padding = fill(-len(chain) % len(self.iv))  # to whole blocks; receivers go by payload lengths
        ciphertext = session.keys.cipher.encrypt(self.iv, chain + padding)
        self.iv = ciphertext[-len(self.iv) :]
        datagram = encode_encrypted_header(session.spi_i, session.spi_r, self.kind, self.message_id, first, ciphertext)
        session.host.trace.sealed(datagram, first, chain)
        return datagram

    def _decrypted(self, header: Header, datagram: bytes, keys: Phase1Keys) -> Message:
        ciphertext = datagram[HEADER_SIZE:]
        if not ciphertext or len(ciphertext) % len(self.iv):
            raise WireError("{} bytes are no whole blocks".format(len(ciphertext)))
        return Message(header, keys.cipher.decrypt(self.iv, ciphertext))
