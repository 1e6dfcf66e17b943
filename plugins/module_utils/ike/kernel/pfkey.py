# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend for PF_KEY: FreeBSD's kernel, and Linux's where af_key is loaded.

PF_KEY can't report that it dropped an event. Linux's keeps larval SAs for ``net.core.xfrm_acq_expires`` seconds,
FreeBSD's for ``net.key.larval_lifetime``.
"""

from __future__ import annotations

import errno
import os
import socket as sockets

from ..policy.sa import (
    AH,
    ESP,
    FWD,
    IN,
    OUT,
    TUNNEL,
    Address,
    Policy,
    PolicyState,
    SaId,
    SaState,
    SecurityAssociation,
)
from .base import Acquire, Event, EventsLost, Expire, Kernel, KernelError
from .cstruct import Malformed
from .pfkey_dialects import this_systems_dialect
from .pfkey_messages import (
    PF_KEY_V2,
    SADB_ACQUIRE,
    SADB_ADD,
    SADB_DELETE,
    SADB_DUMP,
    SADB_EXPIRE,
    SADB_EXT_LIFETIME_HARD,
    SADB_FLUSH,
    SADB_GETSPI,
    SADB_REGISTER,
    SADB_SATYPE_UNSPEC,
    SADB_UPDATE,
    SADB_X_SPDDELETE,
    SADB_X_SPDDUMP,
    SADB_X_SPDFLUSH,
    SADB_X_SPDUPDATE,
    SATYPES,
    PfkeyMessage,
    build_message,
    parse_message,
)
from .pfkey_policy import (
    IPSEC_MANUAL_REQID_MAX,
    build_policy,
    build_policy_id,
    build_socket_policy,
    parse_acquire,
    parse_policy,
)
from .pfkey_sa import (
    UDP_ENCAP_ESPINUDP,
    Unspeakable,
    build_sa,
    build_sa_id,
    build_spi_request,
    parse_reqid,
    parse_sa,
    parse_sa_id,
    parse_supported,
)

_DATAGRAM = 65536
_BUFFER = 1 << 20
_DATAGRAMS_PER_READ = 64
# Registering makes Linux look for every algorithm's module, which can take seconds on a slow machine.
_ANSWER_SECONDS = 30

_OPENING = {
    errno.EPERM: "root or CAP_NET_ADMIN is needed",
    errno.EAFNOSUPPORT: "the kernel has no PF_KEY (Linux: module af_key; FreeBSD: module ipsec)",
}


class PfkeySocket:
    """A PF_KEY socket and the requests on it. Every answer bears our process id and the request's number."""

    def __init__(self, family: int) -> None:
        self._pid = os.getpid()
        self._sequence = 0
        try:
            self.socket = sockets.socket(family, sockets.SOCK_RAW, PF_KEY_V2)
            self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, _BUFFER)
        except OSError as error:
            number = error.errno or errno.EIO
            raise KernelError("open PF_KEY", number, _OPENING.get(number, "")) from error
        self.socket.settimeout(_ANSWER_SECONDS)

    def request(self, operation: str, kind: int, satype: int, extensions: bytes = b"") -> PfkeyMessage:
        """Send one request and return the kernel's answer; ``operation`` names it in a KernelError."""
        self._sequence += 1
        self._send(operation, kind, satype, self._sequence, extensions)
        while True:
            answer = self._receive(operation)
            if answer.pid == self._pid and answer.sequence == self._sequence and answer.type == kind:
                return _checked(operation, answer)

    def dump(self, operation: str, kind: int) -> list[PfkeyMessage]:
        """A whole table; its messages count down to number 0."""
        self._send(operation, kind, SADB_SATYPE_UNSPEC, 0, b"")
        answers: list[PfkeyMessage] = []
        while True:
            answer = self._receive(operation)
            if answer.pid != self._pid or answer.type != kind:
                continue
            if answer.errno == errno.ENOENT:
                return answers
            answers.append(_checked(operation, answer))
            if answer.sequence == 0:
                return answers

    def _send(self, operation: str, kind: int, satype: int, sequence: int, extensions: bytes) -> None:
        try:
            self.socket.send(build_message(kind, satype, sequence, self._pid, extensions))
        except OSError as error:
            # FreeBSD gives the error here and in its answer; the answer stays and is left out by its number.
            raise KernelError(operation, error.errno or errno.EIO) from error

    def _receive(self, operation: str) -> PfkeyMessage:
        try:
            return parse_message(self.socket.recv(_DATAGRAM))
        except OSError as error:
            raise KernelError(operation, error.errno or errno.ETIMEDOUT, str(error)) from error
        except Malformed as error:
            raise KernelError(operation, errno.EBADMSG, "the kernel's answer: {}".format(error)) from error


def _checked(operation: str, answer: PfkeyMessage) -> PfkeyMessage:
    if answer.errno:
        raise KernelError(operation, answer.errno)
    return answer


class PfkeyKernel(Kernel):
    """The SAD and SPD behind PF_KEY."""

    name = "pfkey"
    # The upper part of those that PF_KEY lets us choose: small numbers are what people give by hand.
    reqids = range(0x1000, IPSEC_MANUAL_REQID_MAX + 1)

    def __init__(self) -> None:
        self._dialect = this_systems_dialect()
        self.forwards = FWD in self._dialect.directions
        self.largest_window = self._dialect.largest_window
        self._requests = PfkeySocket(self._dialect.family)
        self._events = PfkeySocket(self._dialect.family)
        registered = [self._events.request("register", SADB_REGISTER, SATYPES[protocol]) for protocol in (ESP, AH)]
        self._supported = _parsed("register", lambda: parse_supported(self._dialect, registered[0]))
        self._events.socket.setblocking(False)

    def supports(self, algorithm: str) -> bool:
        """Whether ESP can have a cipher or an integrity algorithm (names of the registry) in this kernel."""
        return algorithm in self._supported

    # The SAD

    def allocate_spi(
        self, source: Address, destination: Address, protocol: int, reqid: int = 0, mode: str = TUNNEL
    ) -> int:
        body = build_spi_request(self._dialect, source, destination, reqid, mode)
        answer = self._requests.request("allocate SPI", SADB_GETSPI, SATYPES[protocol], body)
        return _parsed("allocate SPI", lambda: parse_sa_id(self._dialect, answer)).spi

    def add_sa(self, association: SecurityAssociation) -> None:
        self._install("add SA", SADB_ADD, association)

    def update_sa(self, association: SecurityAssociation) -> None:
        self._install("update SA", SADB_UPDATE, association)

    def delete_sa(self, sa_id: SaId) -> bool:
        state = self.query_sa(sa_id)
        if state is None:
            return False
        return self._found("delete SA", SADB_DELETE, SATYPES[sa_id.protocol], build_sa_id(self._dialect, state))

    def query_sa(self, sa_id: SaId) -> SaState | None:
        # SADB_GET wants the source address too, which an id doesn't have.
        return next((state for state in self.list_sas() if state.id == sa_id), None)

    def list_sas(self) -> list[SaState]:
        answers = self._requests.dump("list SAs", SADB_DUMP)
        return _parsed("list SAs", lambda: [parse_sa(self._dialect, answer) for answer in answers])

    def flush_sas(self) -> None:
        self._requests.request("flush SAs", SADB_FLUSH, SADB_SATYPE_UNSPEC)

    # The SPD

    def add_policy(self, policy: Policy) -> None:
        body = _spoken("add policy", lambda: build_policy(self._dialect, policy))
        self._requests.request("add policy", SADB_X_SPDUPDATE, SADB_SATYPE_UNSPEC, body)

    def delete_policy(self, policy: Policy) -> bool:
        body = _spoken("delete policy", lambda: build_policy_id(self._dialect, policy))
        return self._found("delete policy", SADB_X_SPDDELETE, SADB_SATYPE_UNSPEC, body)

    def list_policies(self) -> list[PolicyState]:
        answers = self._requests.dump("list policies", SADB_X_SPDDUMP)
        states = _parsed("list policies", lambda: [parse_policy(self._dialect, answer) for answer in answers])
        return [state for state in states if state is not None]

    def flush_policies(self) -> None:
        self._requests.request("flush policies", SADB_X_SPDFLUSH, SADB_SATYPE_UNSPEC)

    # Events and sockets

    def fileno(self) -> int:
        return self._events.socket.fileno()

    def read_events(self) -> list[Event]:
        events: list[Event] = []
        for _datagram in range(_DATAGRAMS_PER_READ):
            try:
                event = self._parse_event(parse_message(self._events.socket.recv(_DATAGRAM)))
            except BlockingIOError:
                break
            except Malformed:
                event = EventsLost()
            except OSError as error:
                raise KernelError("read events", error.errno or errno.EIO) from error
            if event is not None:
                events.append(event)
        return events

    def _parse_event(self, message: PfkeyMessage) -> Acquire | Expire | None:
        if message.type == SADB_ACQUIRE and not message.errno:
            return parse_acquire(self._dialect, message, self.list_policies())
        if message.type != SADB_EXPIRE:
            return None
        sa_id = parse_sa_id(self._dialect, message)
        if sa_id.spi == 0:
            return None  # an acquire that nobody served in time
        return Expire(sa_id, SADB_EXT_LIFETIME_HARD in message.extensions, parse_reqid(message))

    def bypass(self, socket: sockets.socket) -> None:
        level, option = self._dialect.socket_policy[socket.family]
        for direction in (IN, OUT):
            _set_option("bypass", socket, level, option, build_socket_policy(self._dialect, direction))

    def encapsulate_udp(self, socket: sockets.socket) -> None:
        option = self._dialect.udp_encap
        _set_option("encapsulate ESP in UDP", socket, sockets.IPPROTO_UDP, option, UDP_ENCAP_ESPINUDP)

    def close(self) -> None:
        self._requests.socket.close()
        self._events.socket.close()

    def _install(self, operation: str, kind: int, association: SecurityAssociation) -> None:
        body = _spoken(operation, lambda: build_sa(self._dialect, association))
        self._requests.request(operation, kind, SATYPES[association.protocol], body)

    def _found(self, operation: str, kind: int, satype: int, body: bytes) -> bool:
        """Send a request; False if the kernel doesn't have what it names."""
        try:
            self._requests.request(operation, kind, satype, body)
        except KernelError as error:
            if error.errno in (errno.ESRCH, errno.ENOENT):
                return False
            raise
        return True


def _spoken(operation: str, build) -> bytes:
    try:
        return build()
    except Unspeakable as error:
        raise KernelError(operation, errno.EOPNOTSUPP, str(error)) from error


def _parsed(operation: str, parse):
    try:
        return parse()
    except Malformed as error:
        raise KernelError(operation, errno.EBADMSG, "the kernel's answer: {}".format(error)) from error


def _set_option(operation: str, socket: sockets.socket, level: int, option: int, value: int | bytes) -> None:
    try:
        socket.setsockopt(level, option, value)
    except OSError as error:
        raise KernelError(operation, error.errno or errno.EIO) from error
