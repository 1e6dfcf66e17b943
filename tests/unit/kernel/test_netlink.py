# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.kernel.base import KernelError
from ike.kernel.cstruct import Malformed
from ike.kernel.netlink import (
    ERROR,
    HEADER,
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSGERR_ATTR_MSG,
    Message,
    NetlinkSocket,
    build_attribute,
    build_message,
    parse_attributes,
    parse_error,
    parse_messages,
)

numbers = st.integers(0, 0xFFFF)


@given(st.lists(st.builds(Message, numbers, numbers, st.integers(0, 0xFFFFFFFF), st.binary(max_size=40))))
def test_messages_round_trip(messages):
    data = b""
    for message in messages:
        data += build_message(message.type, message.flags, message.sequence, message.body)
        data += bytes(-len(data) % 4)
    assert parse_messages(data) == messages


@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40)))
def test_attributes_round_trip(attributes):
    data = b"".join(build_attribute(kind, value) for kind, value in attributes.items())
    assert parse_attributes(data) == attributes


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_malformed(data):
    for parse in (parse_messages, parse_attributes):
        try:
            parse(data)
        except Malformed:
            pass


@pytest.mark.parametrize("length", [0, 15, 17, 0xFFFFFFFF])
def test_a_length_that_leads_outside(length):
    with pytest.raises(Malformed):
        parse_messages(HEADER.pack(nlmsg_len=length))


def error_message(number, flags, rest):
    header = HEADER.pack(nlmsg_len=HEADER.size + 8)
    return Message(NLMSG_ERROR, flags, 1, ERROR.pack(error=-number, msg=header) + rest)


def test_an_error_with_the_kernels_words():
    words = build_attribute(NLMSGERR_ATTR_MSG, b"Invalid key\0")
    assert parse_error(error_message(22, 0, b"")) == (22, "")
    assert parse_error(error_message(22, NLM_F_ACK_TLVS | NLM_F_CAPPED, words)) == (22, "Invalid key")
    assert parse_error(error_message(22, NLM_F_ACK_TLVS, b"repeated" + words)) == (22, "Invalid key")
    assert parse_error(error_message(0, NLM_F_CAPPED, b"")) == (0, "")


class Scripted:
    """A simulated kernel end of a netlink socket: hands out datagrams, or raises what it finds among them."""

    def __init__(self, *datagrams, sender=0, flags=0):
        self.datagrams = list(datagrams)
        self.sender, self.flags = sender, flags

    def sendto(self, data, address):
        self.sent = data

    def recvmsg(self, size):
        if not self.datagrams:
            raise BlockingIOError
        datagram = self.datagrams.pop(0)
        if isinstance(datagram, OSError):
            raise datagram
        return datagram, [], self.flags, (self.sender, 0)


@pytest.fixture()
def scripted():
    opened = NetlinkSocket(socket.NETLINK_ROUTE)
    opened.close()

    def start(*datagrams, **how):
        opened._socket = Scripted(*datagrams, **how)
        return opened

    return start


def answer(kind, sequence, body=b""):
    return build_message(kind, 0, sequence, body)


ACKNOWLEDGED = ERROR.pack(error=0)


def test_answers_come_before_the_acknowledgement_and_others_are_left_out(scripted):
    kernel = scripted(answer(16, 7, b"stale"), answer(16, 1, b"mine") + answer(NLMSG_ERROR, 1, ACKNOWLEDGED))
    assert [message.body for message in kernel.request("try", 16, b"")] == [b"mine"]


def test_a_dump_ends_with_done_and_is_repeated_when_it_was_interrupted(scripted):
    interrupted = build_message(16, 0x10, 1, b"old!") + answer(NLMSG_DONE, 1, bytes(4))
    kernel = scripted(interrupted, answer(16, 2, b"new!"), answer(NLMSG_DONE, 2, bytes(4)))
    assert [message.body for message in kernel.dump("list", 18)] == [b"new!"]


def test_a_malformed_answer_is_an_error_and_not_a_hang(scripted):
    with pytest.raises(KernelError, match="try: the kernel's answer"):
        scripted(b"\x01\x02\x03").request("try", 16, b"")


def test_no_answer_is_an_error(scripted):
    with pytest.raises(KernelError, match="try: timed out"):
        scripted(TimeoutError("timed out")).request("try", 16, b"")


def test_only_the_kernel_is_listened_to(scripted):
    assert scripted(answer(23, 0, b"forged"), sender=4711).read_events() == ([], False)


def test_events_that_were_dropped_or_cut_short_are_reported(scripted):
    lost = OSError(105, "No buffer space available")
    messages, dropped = scripted(lost, answer(23, 0, b"next")).read_events()
    assert ([message.body for message in messages], dropped) == ([b"next"], True)
    assert scripted(answer(23, 0), flags=socket.MSG_TRUNC).read_events() == ([], True)
    assert scripted(b"junk").read_events() == ([], True)


def test_a_flood_of_events_is_read_in_bounded_parts(scripted):
    kernel = scripted(*[answer(23, 0)] * 1000)
    messages, _lost = kernel.read_events()
    assert 0 < len(messages) < 1000


def test_another_error_while_reading_events_is_raised(scripted):
    with pytest.raises(KernelError, match="read events"):
        scripted(OSError(9, "Bad file descriptor")).read_events()


def test_a_family_that_the_kernel_lacks():
    with pytest.raises(KernelError, match="open netlink socket: Protocol not supported"):
        NetlinkSocket(31)
