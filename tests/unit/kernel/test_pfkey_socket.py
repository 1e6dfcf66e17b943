# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PF_KEY socket against a simulated kernel: whose answers count, how a dump ends, what errors become."""

from __future__ import annotations

import errno
import os

import pytest

from ike.kernel import pfkey
from ike.kernel.base import KernelError
from ike.kernel.pfkey_messages import HEADER, SADB_ADD, SADB_DUMP, build_message

US, ANOTHER = os.getpid(), os.getpid() + 1


class Scripted:
    """The kernel's end: hands out datagrams, or raises what it finds among them."""

    def __init__(self, *datagrams):
        self.datagrams = list(datagrams)

    def setsockopt(self, *_arguments):
        pass

    def settimeout(self, _seconds):
        pass

    def send(self, data):
        self.sent = data

    def recv(self, _size):
        if not self.datagrams:
            raise TimeoutError("timed out")
        datagram = self.datagrams.pop(0)
        if isinstance(datagram, OSError):
            raise datagram
        return datagram


@pytest.fixture()
def scripted(monkeypatch):
    def start(*datagrams):
        monkeypatch.setattr(pfkey.sockets, "socket", lambda *_arguments: Scripted(*datagrams))
        return pfkey.PfkeySocket(15)

    return start


def answer(kind, sequence, pid=US, number=0):
    data = bytearray(build_message(kind, 3, sequence, pid))
    data[2] = number
    return bytes(data)


def test_only_our_own_answer_counts(scripted):
    kernel = scripted(answer(SADB_ADD, 1, ANOTHER), answer(SADB_ADD, 9), answer(SADB_DUMP, 1), answer(SADB_ADD, 1))
    assert kernel.request("add SA", SADB_ADD, 3).pid == US


def test_an_error_is_the_kernels(scripted):
    with pytest.raises(KernelError) as caught:
        scripted(answer(SADB_ADD, 1, number=errno.EEXIST)).request("add SA", SADB_ADD, 3)
    assert (str(caught.value), caught.value.errno) == ("add SA: File exists", errno.EEXIST)


def test_a_dump_counts_down_to_zero(scripted):
    kernel = scripted(answer(SADB_DUMP, 2), answer(SADB_ADD, 0, ANOTHER), answer(SADB_DUMP, 1), answer(SADB_DUMP, 0))
    assert [message.sequence for message in kernel.dump("list SAs", SADB_DUMP)] == [2, 1, 0]


def test_an_empty_dump_is_no_error(scripted):
    assert scripted(answer(SADB_DUMP, 0, number=errno.ENOENT)).dump("list SAs", SADB_DUMP) == []


def test_a_failed_dump_is_one(scripted):
    with pytest.raises(KernelError):
        scripted(answer(SADB_DUMP, 2), answer(SADB_DUMP, 0, number=errno.ENOBUFS)).dump("list SAs", SADB_DUMP)


@pytest.mark.parametrize("data", [b"", b"junk", HEADER.pack(sadb_msg_version=3, sadb_msg_len=2)])
def test_a_malformed_answer_is_an_error_and_not_a_hang(scripted, data):
    with pytest.raises(KernelError, match="add SA: the kernel's answer"):
        scripted(data).request("add SA", SADB_ADD, 3)


def test_no_answer_is_an_error(scripted):
    with pytest.raises(KernelError, match="add SA: timed out"):
        scripted().request("add SA", SADB_ADD, 3)


def test_a_kernel_without_pfkey(monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(pfkey.sockets, "socket", refuse)
    with pytest.raises(KernelError, match=r"open PF_KEY: the kernel has no PF_KEY \(Linux: module af_key"):
        pfkey.PfkeyKernel()
