"""This host's addresses from its kernel: what it has, and that it tells when that changes."""

from __future__ import annotations

import functools
import ipaddress
import socket
import sys

import pytest

from ike.daemon import addresses
from ike.kernel.netlink import Message, build_attribute

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="rtnetlink is Linux's")


def message(family: int, *attributes: tuple[int, str]) -> bytes:
    head = bytes([family, 32, 0, 0]) + (2).to_bytes(4, sys.byteorder)
    return head + b"".join(build_attribute(kind, ipaddress.ip_address(text).packed) for kind, text in attributes)


def test_this_hosts_own_addresses():
    watch = addresses.AddressWatch()
    assert ipaddress.ip_address("127.0.0.1") in watch.addresses
    assert not watch.changed()
    watch.close()


@pytest.mark.parametrize(
    ("body", "own"),
    [
        (message(socket.AF_INET, (1, "210.11.11.11"), (2, "210.11.11.11")), "210.11.11.11"),
        (message(socket.AF_INET, (1, "210.11.11.1"), (2, "210.11.11.11")), "210.11.11.11"),
        (message(socket.AF_INET6, (1, "2001:db8::1")), "2001:db8::1"),
    ],
    ids=["a network's", "of a point-to-point line", "IPv6"],
)
def test_which_of_a_messages_addresses_is_ours(body, own, monkeypatch):
    listed = [Message(20, 0, 1, body)]
    watch = addresses.AddressWatch()
    monkeypatch.setattr(watch._requests, "dump", lambda *_arguments: listed)
    assert watch.changed()
    assert watch.addresses == {ipaddress.ip_address(own)}
    assert not watch.changed()
    listed.clear()
    assert watch.changed()
    watch.close()


class Loop:
    """An event loop's clock, with its timers."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when, action, *arguments) -> Timer:
        timer = Timer(self, when, functools.partial(action, *arguments))
        self.timers.append(timer)
        return timer

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and min(timer.due for timer in self.timers) <= end:
            timer = min(self.timers, key=Timer.when)
            self.timers.remove(timer)
            self.now = timer.due
            timer.action()
        self.now = end


class Timer:
    def __init__(self, loop: Loop, due: float, action) -> None:
        self.loop, self.due, self.action = loop, due, action

    def when(self) -> float:
        return self.due

    def cancel(self) -> None:
        self.loop.timers.remove(self)


@pytest.fixture
def looks():
    """A loop, what tells of a change, and when somebody looked, in seconds from now."""
    loop, seen = Loop(), []
    watching = addresses.Looks(lambda: seen.append(loop.now - 1000.0))
    return loop, lambda: watching.changed(loop), seen


def test_a_change_is_looked_at_until_its_routes_must_be_there(looks):
    loop, change, seen = looks
    change()
    loop.run(600)
    assert seen == [1, 4, 15]


def test_a_change_amid_the_looks_of_another_has_its_own(looks):
    loop, change, seen = looks
    change()
    loop.run(6)
    change()
    loop.run(600)
    assert seen == [1, 4, 7, 10, 21]


def test_a_look_that_fails_is_not_the_last(looks):
    loop, _change, seen = looks
    watching = addresses.Looks(lambda: seen.append(loop.now - 1000.0) or 1 / 0)
    watching.changed(loop)
    for _look in range(3):
        with pytest.raises(ZeroDivisionError):
            loop.run(600)
    assert seen == [1, 4, 15]


def test_addresses_that_change_all_the_time_are_looked_at_all_the_same(looks):
    loop, change, seen = looks
    for _change in range(40):
        change()
        loop.run(0.25)
    assert 8 <= len(seen) <= 14
