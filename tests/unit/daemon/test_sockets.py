"""IKE's sockets on loopback, which has all of 127/8; FreeBSD's control messages by their bytes."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from contextlib import closing

import pytest

from ike.daemon.socket_options import FREEBSD, LINUX
from ike.daemon.sockets import Listener, find
from ike.exchange.path import NAT_PORT, Path
from ike.kernel.base import KernelError
from ike.kernel.none import NoneKernel

PORT = 15000 + os.getpid() % 20000
TOKYO, OSAKA = ipaddress.ip_address("127.0.0.11"), ipaddress.ip_address("127.0.0.22")


def received(listener: Listener) -> list:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        datagrams = list(listener.receive())
        if datagrams:
            return datagrams
        time.sleep(0.01)
    return []


@pytest.mark.parametrize("bound", ["127.0.0.22", "0.0.0.0"])
def test_a_datagram_goes_from_the_paths_address_and_tells_where_it_came(bound):
    kernel = NoneKernel()
    with (
        closing(Listener(ipaddress.ip_address(bound), PORT, kernel)) as osaka,
        closing(Listener(TOKYO, PORT, kernel)) as tokyo,
    ):
        osaka.send(Path(OSAKA, TOKYO, PORT, PORT), b"hello")
        (there,) = received(tokyo)
        assert there.path == Path(TOKYO, OSAKA, PORT, PORT) and there.data == b"hello"
        tokyo.send(there.path, b"answer")
        (back,) = received(osaka)
        assert back.path == Path(OSAKA, TOKYO, PORT, PORT) and back.data == b"answer"


def test_those_whom_we_know_come_before_those_who_begin():
    beginning, known = b"initiato" + bytes(8), b"initiatorspondr."
    with (
        closing(Listener(OSAKA, PORT, NoneKernel())) as osaka,
        closing(Listener(TOKYO, PORT, NoneKernel())) as tokyo,
    ):
        for number, datagram in enumerate([beginning, known, beginning, known]):
            osaka.send(Path(OSAKA, TOKYO, PORT, PORT), datagram + bytes([number]))
        time.sleep(0.2)
        assert [datagram.data[16] for datagram in received(tokyo)] == [1, 3, 0, 2]


def test_ipv6_tells_the_address_too():
    here = ipaddress.ip_address("::1")
    try:
        listener = Listener(ipaddress.ip_address("::"), PORT, NoneKernel())
    except OSError:
        pytest.skip("this host has no IPv6")
    with closing(listener):
        listener.send(Path(here, here, PORT, PORT), b"hello")
        (datagram,) = received(listener)
    assert datagram.path == Path(here, here, PORT, PORT)


def test_an_address_that_isnt_up_yet_can_be_bound():
    address = ipaddress.ip_address("192.0.2.77")
    with closing(Listener(address, PORT, NoneKernel())) as listener:
        assert find([listener], Path(address, OSAKA, PORT, PORT)) is listener


@pytest.mark.parametrize(("address", "refused"), [("127.0.0.11", True), ("::1", False)])
def test_a_kernel_without_nat_traversal_over_ipv6_serves_ike_there(address, refused, monkeypatch):
    kernel = NoneKernel()
    kernel.fail("encapsulate_udp")
    monkeypatch.setattr(socket.socket, "bind", lambda self, address: None)
    if refused:
        with pytest.raises(KernelError):
            Listener(ipaddress.ip_address(address), NAT_PORT, kernel)
    else:
        Listener(ipaddress.ip_address(address), NAT_PORT, kernel).close()


def test_freebsd_says_addresses_as_its_headers_have_them():
    """struct in_addr under IP_RECVDSTADDR, which is IP_SENDSRCADDR too: 7 (netinet/in.h)."""
    assert FREEBSD.learn_address(4) == (0, 7)
    assert FREEBSD.send_from(TOKYO) == (0, 7, bytes([127, 0, 0, 11]))
    assert FREEBSD.arrived_at([(0, 7, OSAKA.packed)]) == OSAKA
    assert FREEBSD.bind_any == {4: (0, 24), 6: (41, 64)}


@pytest.mark.parametrize("options", [LINUX, FREEBSD], ids=["linux", "freebsd"])
def test_what_says_nothing_of_the_address_is_passed_over(options):
    assert options.arrived_at([(socket.SOL_SOCKET, 29, bytes(16))]) is None
