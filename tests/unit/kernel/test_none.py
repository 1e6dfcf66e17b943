# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import ipaddress
import select
import socket

import pytest

from ike.kernel.base import LARVAL_SECONDS, Acquire, Expire, KernelError
from ike.kernel.none import NoneKernel
from ike.policy.sa import ESP, OUT, Policy, SaId, SecurityAssociation, TrafficSelector

TOKYO, OSAKA = ipaddress.ip_address("210.11.11.11"), ipaddress.ip_address("210.22.22.22")
OUTBOUND = SecurityAssociation(TOKYO, OSAKA, ESP, 0x1234, "tunnel", "aes_gcm", bytes(20), reqid=4)
SELECTOR = TrafficSelector(ipaddress.ip_network("192.168.10.0/24"), ipaddress.ip_network("192.168.20.0/24"))


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture()
def clock():
    return Clock()


@pytest.fixture()
def kernel(clock):
    numbers = iter(range(0x1000, 0x2000))
    opened = NoneKernel(spis=lambda: next(numbers), clock=clock)
    yield opened
    opened.close()


def test_an_spi_becomes_an_sa(kernel):
    spi = kernel.allocate_spi(OSAKA, TOKYO, ESP, reqid=4)
    sa_id = SaId(TOKYO, ESP, spi)
    assert (spi, kernel.query_sa(sa_id).state) == (0x1000, "larval")
    inbound = SecurityAssociation(OSAKA, TOKYO, ESP, spi, "tunnel", "aes_gcm", bytes(20), reqid=4)
    kernel.update_sa(inbound)
    assert kernel.query_sa(sa_id).state == "mature"
    assert kernel.installed == {sa_id: inbound}


def test_a_larval_sa_times_out(kernel, clock):
    spi = kernel.allocate_spi(OSAKA, TOKYO, ESP)
    clock.now += LARVAL_SECONDS + 1
    with pytest.raises(KernelError) as caught:
        kernel.update_sa(SecurityAssociation(OSAKA, TOKYO, ESP, spi, "tunnel", "aes_gcm", bytes(20)))
    assert caught.value.errno == errno.ESRCH
    assert kernel.list_sas() == []


def test_what_is_reported_is_what_was_asked_for(kernel):
    kernel.add_sa(OUTBOUND)
    (state,) = kernel.list_sas()
    assert (state.encryption, state.encryption_bits, state.icv_bits, state.reqid) == ("aes_gcm", 128, 128, 4)
    with pytest.raises(KernelError, match="add SA: File exists"):
        kernel.add_sa(OUTBOUND)
    assert kernel.delete_sa(OUTBOUND.id) is True
    assert kernel.delete_sa(OUTBOUND.id) is False


def test_policies_replace_each_other_by_selector_and_direction(kernel):
    kernel.add_policy(Policy(SELECTOR, OUT, "discard", name="first"))
    kernel.add_policy(Policy(SELECTOR, OUT, "bypass", name="second"))
    assert [state.policy.name for state in kernel.list_policies()] == ["second"]
    assert kernel.delete_policy(Policy(SELECTOR, OUT)) is True
    assert kernel.delete_policy(Policy(SELECTOR, OUT)) is False


def test_it_fails_where_it_is_told_to_and_only_once(kernel):
    kernel.fail("add_sa", errno.ENOBUFS)
    with pytest.raises(KernelError) as caught:
        kernel.add_sa(OUTBOUND)
    assert (caught.value.operation, caught.value.errno) == ("add sa", errno.ENOBUFS)
    assert kernel.installed == {}
    kernel.add_sa(OUTBOUND)


def test_it_can_fail_at_a_later_call(kernel):
    kernel.fail("add_policy", after=1)
    kernel.add_policy(Policy(SELECTOR, OUT))
    with pytest.raises(KernelError):
        kernel.add_policy(Policy(SELECTOR.reversed(), OUT))


def test_a_failure_of_an_operation_that_does_not_exist_is_a_mistake_of_the_test(kernel):
    with pytest.raises(AttributeError):
        kernel.fail("add_sas")


def test_injected_events_make_the_descriptor_readable(kernel):
    kernel.add_sa(OUTBOUND)
    acquire = Acquire(SELECTOR, SELECTOR, TOKYO, OSAKA, ESP)
    assert kernel.read_events() == []
    kernel.inject(acquire)
    kernel.inject(Expire(OUTBOUND.id, hard=True))
    assert select.select([kernel], [], [], 0)[0] == [kernel]
    assert kernel.read_events() == [acquire, Expire(OUTBOUND.id, hard=True)]
    assert select.select([kernel], [], [], 0)[0] == []
    assert kernel.query_sa(OUTBOUND.id) is None


def test_an_event_that_came_before_anybody_waited_is_seen(kernel):
    acquire = Acquire(SELECTOR, SELECTOR, TOKYO, OSAKA, ESP)
    kernel.inject(acquire)
    assert select.select([kernel], [], [], 0)[0] == [kernel]
    assert kernel.read_events() == [acquire]
    kernel.close()


def test_flushes(kernel):
    kernel.add_sa(OUTBOUND)
    kernel.add_policy(Policy(SELECTOR, OUT))
    kernel.flush_sas()
    kernel.flush_policies()
    assert (kernel.list_sas(), kernel.list_policies(), kernel.installed) == ([], [], {})


def test_socket_options_are_recorded(kernel):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        kernel.bypass(port)
        kernel.encapsulate_udp(port)
        assert kernel.log == [("bypass", port.fileno()), ("encapsulate_udp", port.fileno())]


def test_keys_do_not_show(kernel):
    kernel.add_sa(SecurityAssociation(TOKYO, OSAKA, ESP, 1, "tunnel", "aes_gcm", b"very secret key 1234"))
    assert "secret" not in repr((kernel.log, kernel.installed, kernel.list_sas()))
