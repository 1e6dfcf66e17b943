# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend for Linux: SAs and policies over NETLINK_XFRM.

Larval SAs live for the sysctl ``net.core.xfrm_acq_expires`` (30 s by default), acquires as long: meanwhile the
kernel raises no second one for the same traffic.
"""

from __future__ import annotations

import errno
import socket as sockets
import time

from ..policy.sa import (
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
from .base import SPI_MAXIMUM, SPI_MINIMUM, Acquire, Event, EventsLost, Expire, Kernel, KernelError
from .cstruct import Malformed
from .netlink import Message, NetlinkSocket
from .xfrm_messages import (
    NETLINK_XFRM,
    USER_EXPIRE,
    USERSA_FLUSH,
    XFRM_MSG_ACQUIRE,
    XFRM_MSG_ALLOCSPI,
    XFRM_MSG_DELPOLICY,
    XFRM_MSG_DELSA,
    XFRM_MSG_EXPIRE,
    XFRM_MSG_FLUSHPOLICY,
    XFRM_MSG_FLUSHSA,
    XFRM_MSG_GETPOLICY,
    XFRM_MSG_GETSA,
    XFRM_MSG_NEWSA,
    XFRM_MSG_UPDPOLICY,
    XFRM_MSG_UPDSA,
    XFRMGRP_ACQUIRE,
    XFRMGRP_EXPIRE,
)
from .xfrm_policy import build_policy, build_policy_id, build_socket_policy, parse_acquire, parse_policy
from .xfrm_sa import UDP_ENCAP_ESPINUDP, build_sa, build_sa_id, build_spi_request, parse_sa, parse_sa_id

# Level and option of a socket's own policy, by the socket's family
_SOCKET_POLICY = {
    sockets.AF_INET: (sockets.IPPROTO_IP, 17),  # IP_XFRM_POLICY
    sockets.AF_INET6: (sockets.IPPROTO_IPV6, 35),  # IPV6_XFRM_POLICY
}
_UDP_ENCAP = 100

_HINTS = {
    errno.EPERM: "root or CAP_NET_ADMIN is needed",
    errno.ENOENT: "the kernel lacks one of the algorithms, or its random generator isn't loaded (module drbg)",
    errno.ENOSYS: "the kernel lacks one of the algorithms, or ESP or AH itself (modules esp4, esp6, ah4, ah6)",
    errno.EPROTONOSUPPORT: "the kernel has no XFRM (module xfrm_user), or no ESP or AH (esp4, esp6, ah4, ah6)",
    errno.EEXIST: "the kernel has an SA with this SPI already",
    errno.ESRCH: "the kernel has no such SA (any more)",
}


class XfrmKernel(Kernel):
    """Linux's SAD and SPD, in the network namespace of the process."""

    name = "xfrm"

    def __init__(self) -> None:
        try:
            self._events = NetlinkSocket(NETLINK_XFRM, XFRMGRP_ACQUIRE | XFRMGRP_EXPIRE)
            self._requests = NetlinkSocket(NETLINK_XFRM)
        except KernelError as error:
            raise _explained(error) from error

    # The SAD

    def allocate_spi(
        self, source: Address, destination: Address, protocol: int, reqid: int = 0, mode: str = TUNNEL
    ) -> int:
        spis = (SPI_MINIMUM, SPI_MAXIMUM)
        body = build_spi_request(source, destination, protocol, reqid, mode, spis)
        answers = self._request("allocate SPI", XFRM_MSG_ALLOCSPI, body)
        return _only_sa("allocate SPI", answers).spi

    def add_sa(self, association: SecurityAssociation) -> None:
        self._request("add SA", XFRM_MSG_NEWSA, _sa_body("add SA", association))

    def update_sa(self, association: SecurityAssociation) -> None:
        self._request("update SA", XFRM_MSG_UPDSA, _sa_body("update SA", association))

    def delete_sa(self, sa_id: SaId) -> bool:
        return self._found("delete SA", XFRM_MSG_DELSA, build_sa_id(sa_id)) is not None

    def query_sa(self, sa_id: SaId) -> SaState | None:
        answers = self._found("query SA", XFRM_MSG_GETSA, build_sa_id(sa_id))
        return None if answers is None else _only_sa("query SA", answers)

    def list_sas(self) -> list[SaState]:
        now = time.time()
        return _parsed("list SAs", self._requests.dump("list SAs", XFRM_MSG_GETSA), lambda body: parse_sa(body, now))

    def flush_sas(self) -> None:
        self._found("flush SAs", XFRM_MSG_FLUSHSA, USERSA_FLUSH.pack())

    # The SPD

    def add_policy(self, policy: Policy) -> None:
        self._request("add policy", XFRM_MSG_UPDPOLICY, build_policy(policy))

    def delete_policy(self, policy: Policy) -> bool:
        return self._found("delete policy", XFRM_MSG_DELPOLICY, build_policy_id(policy)) is not None

    def list_policies(self) -> list[PolicyState]:
        messages = self._requests.dump("list policies", XFRM_MSG_GETPOLICY)
        return [state for state in _parsed("list policies", messages, parse_policy) if state is not None]

    def flush_policies(self) -> None:
        self._found("flush policies", XFRM_MSG_FLUSHPOLICY, b"")

    # Events and sockets

    def fileno(self) -> int:
        return self._events.fileno()

    def read_events(self) -> list[Event]:
        messages, lost = self._events.read_events()
        events: list[Event] = []
        for message in messages:
            try:
                event = _parse_event(message)
            except Malformed:
                lost = True
                continue
            if event is not None:
                events.append(event)
        if lost:
            events.append(EventsLost())
        return events

    def bypass(self, socket: sockets.socket) -> None:
        level, option = _SOCKET_POLICY[socket.family]
        for direction in (IN, OUT):
            _set_option("bypass", socket, level, option, build_socket_policy(socket.family, direction))

    def encapsulate_udp(self, socket: sockets.socket) -> None:
        _set_option("encapsulate ESP in UDP", socket, sockets.IPPROTO_UDP, _UDP_ENCAP, UDP_ENCAP_ESPINUDP)

    def close(self) -> None:
        self._requests.close()
        self._events.close()

    def _request(self, operation: str, kind: int, body: bytes) -> list[Message]:
        try:
            return self._requests.request(operation, kind, body)
        except KernelError as error:
            raise _explained(error) from error

    def _found(self, operation: str, kind: int, body: bytes) -> list[Message] | None:
        """The answers, or None if the kernel doesn't have what the request names."""
        try:
            return self._request(operation, kind, body)
        except KernelError as error:
            if error.errno in (errno.ESRCH, errno.ENOENT):
                return None
            raise


def _explained(error: KernelError) -> KernelError:
    hint = _HINTS.get(error.errno)
    return KernelError(error.operation, error.errno, "{}: {}".format(error.text, hint)) if hint else error


def _sa_body(operation: str, association: SecurityAssociation) -> bytes:
    try:
        return build_sa(association)
    except ValueError as error:
        raise KernelError(operation, errno.EINVAL, str(error)) from error


def _only_sa(operation: str, answers: list[Message]) -> SaState:
    now = time.time()
    states = _parsed(operation, answers, lambda body: parse_sa(body, now))
    if len(states) != 1:
        raise KernelError(operation, errno.EBADMSG, "the kernel answered with {} SAs".format(len(states)))
    return states[0]


def _parsed(operation: str, messages: list[Message], parse) -> list:
    try:
        return [parse(message.body) for message in messages]
    except Malformed as error:
        raise KernelError(operation, errno.EBADMSG, "the kernel's answer: {}".format(error)) from error


def _parse_event(message: Message) -> Acquire | Expire | None:
    if message.type == XFRM_MSG_ACQUIRE:
        return parse_acquire(message.body)
    if message.type == XFRM_MSG_EXPIRE:
        return _parse_expire(message.body)
    return None


def _parse_expire(body: bytes) -> Expire | None:
    fields = USER_EXPIRE.unpack(body)
    sa_id, reqid = parse_sa_id(fields["state"])
    if sa_id.spi == 0:
        return None  # an acquire that nobody served in time
    return Expire(sa_id, bool(fields["hard"]), reqid)


def _set_option(operation: str, socket: sockets.socket, level: int, option: int, value: int | bytes) -> None:
    try:
        socket.setsockopt(level, option, value)
    except OSError as error:
        raise _explained(KernelError(operation, error.errno)) from error
