# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Netlink sockets (RFC 3549): requests with their acknowledgement, dumps, and multicast events.

Only the kernel is listened to, every read is bounded, and what the kernel says about an error beyond its number
(extended acknowledgement) is kept.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

from .base import KernelError
from .cstruct import CStruct, Malformed

HEADER = CStruct(
    "nlmsghdr",
    """
    __u32 nlmsg_len;
    __u16 nlmsg_type;
    __u16 nlmsg_flags;
    __u32 nlmsg_seq;
    __u32 nlmsg_pid;
    """,
)
ATTRIBUTE = CStruct(
    "nlattr",
    """
    __u16 nla_len;
    __u16 nla_type;
    """,
)
ERROR = CStruct(
    "nlmsgerr",
    """
    int error;
    struct nlmsghdr msg;
    """,
    HEADER,
)

NLMSG_ERROR = 2
NLMSG_DONE = 3

NLM_F_REQUEST = 0x01
NLM_F_ACK = 0x04
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10  # on a reply: the table changed meanwhile
NLM_F_CAPPED = 0x100  # on an error: the request isn't repeated
NLM_F_ACK_TLVS = 0x200  # on an error: attributes follow

NLMSGERR_ATTR_MSG = 1
NLA_TYPE_MASK = 0x3FFF  # without the flags "nested" and "network byte order"

AF_NETLINK = 16  # Python has the name on Linux only
SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
SO_RCVBUFFORCE = 33

# A dump's datagram is at most 32 KiB (NLMSG_GOODSIZE and what kernels since 3.14 adapt it to).
_DATAGRAM = 65536
_EVENT_BUFFER = 2 << 20
_DATAGRAMS_PER_READ = 64
_DUMP_ATTEMPTS = 5
# The kernel answers a request while it is sent, so a wait means that something is badly wrong.
_ANSWER_SECONDS = 10


@dataclass(frozen=True)
class Message:
    """A netlink message: its type, flags and sequence number, and what follows the header."""

    type: int
    flags: int
    sequence: int
    body: bytes


def aligned(length: int) -> int:
    return (length + 3) & ~3


def build_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    header = HEADER.pack(nlmsg_len=HEADER.size + len(body), nlmsg_type=kind, nlmsg_flags=flags, nlmsg_seq=sequence)
    return header + body


def parse_messages(data: bytes) -> list[Message]:
    """The messages of one datagram; raises :class:`Malformed`."""
    messages = []
    for fields, body in _walk(data, HEADER, "nlmsg_len"):
        messages.append(Message(fields["nlmsg_type"], fields["nlmsg_flags"], fields["nlmsg_seq"], body))
    return messages


def build_attribute(kind: int, value: bytes) -> bytes:
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(nla_len=length, nla_type=kind) + value + bytes(aligned(length) - length)


def parse_attributes(data: bytes) -> dict[int, bytes]:
    """Attribute type -> value; the last of a kind counts. Raises :class:`Malformed`."""
    return {fields["nla_type"] & NLA_TYPE_MASK: value for fields, value in _walk(data, ATTRIBUTE, "nla_len")}


def _walk(data: bytes, header: CStruct, length_field: str):
    """Yield (header, body) along a chain of messages or attributes, each padded to four bytes."""
    offset = 0
    while offset < len(data):
        fields = header.unpack(data[offset : offset + header.size])
        length = fields[length_field]
        if length < header.size or offset + length > len(data):
            raise Malformed("{} {} at {} of {} bytes".format(length_field, length, offset, len(data)))
        yield fields, data[offset + header.size : offset + length]
        offset += aligned(length)


def parse_error(message: Message) -> tuple[int, str]:
    """(errno, the kernel's own words or "") of an NLMSG_ERROR; errno 0 is an acknowledgement."""
    fields = ERROR.unpack(message.body)
    if not message.flags & NLM_F_ACK_TLVS:
        return -fields["error"], ""
    offset = ERROR.size
    if not message.flags & NLM_F_CAPPED:
        repeated = HEADER.unpack(fields["msg"])["nlmsg_len"] - HEADER.size
        offset += max(0, aligned(repeated))
    words = parse_attributes(message.body[offset:]).get(NLMSGERR_ATTR_MSG, b"")
    return -fields["error"], words.rstrip(b"\0").decode("utf-8", "replace")


class NetlinkSocket:
    """A socket of one netlink family. With ``groups`` (a bit mask) it is for events, else for requests."""

    def __init__(self, family: int, groups: int = 0) -> None:
        self._sequence = 0
        try:
            self._socket = socket.socket(AF_NETLINK, socket.SOCK_RAW, family)
        except OSError as error:
            raise KernelError("open netlink socket", error.errno) from error
        try:
            self._set_up(groups)
        except OSError as error:
            self._socket.close()
            raise KernelError("open netlink socket", error.errno) from error

    def _set_up(self, groups: int) -> None:
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        # Without it the kernel's error would repeat the request, with the keys in it.
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.bind((0, groups))
        if groups:
            self._socket.setblocking(False)
            self._widen_buffer()
        else:
            self._socket.settimeout(_ANSWER_SECONDS)

    def _widen_buffer(self) -> None:
        """Room for the expiries of some thousand SAs at once; less where the sysctl rmem_max can't be passed over."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _EVENT_BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _EVENT_BUFFER)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def request(self, operation: str, kind: int, body: bytes) -> list[Message]:
        """Send one request and return what the kernel answers before its acknowledgement.

        ``operation`` names it in a :class:`KernelError`.
        """
        return self._exchange(operation, kind, NLM_F_REQUEST | NLM_F_ACK, body)

    def dump(self, operation: str, kind: int, body: bytes = b"") -> list[Message]:
        """A whole table. It is read anew when the kernel says that it changed meanwhile."""
        for _attempt in range(_DUMP_ATTEMPTS):
            messages = self._exchange(operation, kind, NLM_F_REQUEST | NLM_F_DUMP, body)
            if not any(message.flags & NLM_F_DUMP_INTR for message in messages):
                break
        return [message for message in messages if message.type != NLMSG_DONE]

    def read_events(self) -> tuple[list[Message], bool]:
        """(events that wait, whether the kernel dropped some). Reads a bounded number of datagrams."""
        messages: list[Message] = []
        lost = False
        for _datagram in range(_DATAGRAMS_PER_READ):
            try:
                messages += self._receive()
            except BlockingIOError:
                break
            except Malformed:
                lost = True
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise KernelError("read events", error.errno) from error
                lost = True
        return messages, lost

    def _exchange(self, operation: str, kind: int, flags: int, body: bytes) -> list[Message]:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        try:
            self._socket.sendto(build_message(kind, flags, self._sequence, body), (0, 0))
            return self._answers(operation)
        except OSError as error:
            raise KernelError(operation, error.errno or errno.ETIMEDOUT, str(error)) from error
        except Malformed as error:
            raise KernelError(operation, errno.EBADMSG, "the kernel's answer: {}".format(error)) from error

    def _answers(self, operation: str) -> list[Message]:
        answers: list[Message] = []
        while True:
            for message in self._receive():
                if message.sequence != self._sequence:
                    continue  # left over from a request that was given up
                if message.type == NLMSG_ERROR:
                    number, words = parse_error(message)
                    if number:
                        raise KernelError(operation, number, _in_words(number, words))
                    return answers
                answers.append(message)
                if message.type == NLMSG_DONE:
                    return answers

    def _receive(self) -> list[Message]:
        data, _ancillary, flags, (sender, _groups) = self._socket.recvmsg(_DATAGRAM)
        if sender != 0:
            return []  # another process, not the kernel
        if flags & socket.MSG_TRUNC:
            raise Malformed("a datagram of more than {} bytes".format(_DATAGRAM))
        return parse_messages(data)


def _in_words(number: int, words: str) -> str:
    text = os.strerror(number)
    return "{} ({})".format(text, words) if words else text
