# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real kernel reports by itself: acquires, soft and hard expiries, and a queue that ran over."""

from __future__ import annotations

import ipaddress
import select
import socket
import time

import pytest

from ike.kernel.base import LARVAL_SECONDS, Acquire, EventsLost, Expire
from ike.kernel.xfrm import XfrmKernel
from ike.policy.sa import ESP, OUT, TRANSPORT, TUNNEL, Lifetime, SaId
from tests.kernel.samples import policies, transport_policies, tunnel_sa


def next_event(kernel, seconds=5):
    ready, _, _ = select.select([kernel], [], [], seconds)
    assert ready, "no event within {} s".format(seconds)
    (event,) = kernel.read_events()
    return event


def host(address):
    return ipaddress.ip_network(address)


@pytest.mark.parametrize("six", [False, True])
def test_a_ping_into_a_tunnels_policy_raises_an_acquire(sites, six):
    tokyo, _osaka = sites
    outbound, *others = policies(tokyo, reqid=16385, six=six)
    for policy in (outbound, *others):
        tokyo.kernel.add_policy(policy)
    near, far = (tokyo.lan6, tokyo.far6) if six else (tokyo.lan, tokyo.far)
    assert not tokyo.ping(far, count=1, source=near)
    acquire = next_event(tokyo.kernel)
    index = next(state.index for state in tokyo.kernel.list_policies() if state.policy.direction == OUT)
    assert acquire == Acquire(
        policy=outbound.selector,
        packet=acquire.packet,
        source=ipaddress.ip_address(tokyo.address),
        destination=ipaddress.ip_address(tokyo.peer),
        protocol=ESP,
        mode=TUNNEL,
        reqid=16385,
        policy_index=index,
        sequence=acquire.sequence,
    )
    assert (acquire.packet.source, acquire.packet.destination) == (host(near), host(far))
    assert acquire.packet.protocol == (58 if six else 1)
    assert acquire.sequence > 0


def test_an_acquire_in_transport_mode_names_the_hosts(sites):
    tokyo, _osaka = sites
    for policy in transport_policies(tokyo):
        tokyo.kernel.add_policy(policy)
    assert not tokyo.ping(tokyo.peer, count=1)
    acquire = next_event(tokyo.kernel)
    assert (str(acquire.source), str(acquire.destination)) == (tokyo.address, tokyo.peer)
    assert (acquire.mode, acquire.protocol) == (TRANSPORT, ESP)


def test_an_acquires_own_larval_state_is_listed(sites):
    tokyo, _osaka = sites
    tokyo.kernel.add_policy(policies(tokyo)[0])
    tokyo.ping(tokyo.far, count=1)
    next_event(tokyo.kernel)
    (state,) = tokyo.kernel.list_sas()
    assert (state.spi, state.state, str(state.destination)) == (0, "larval", tokyo.peer)


def test_a_policy_of_another_namespace_raises_nothing_here(sites):
    tokyo, osaka = sites
    tokyo.kernel.add_policy(policies(tokyo)[0])
    tokyo.ping(tokyo.far, count=1)
    assert osaka.kernel.read_events() == []


def test_an_sa_expires_softly_then_hard(gateways):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, reqid=9, lifetime=Lifetime(1, 3))
    tokyo.kernel.add_sa(association)
    assert next_event(tokyo.kernel) == Expire(association.id, hard=False, reqid=9)
    assert tokyo.kernel.query_sa(association.id).state == "dying"
    assert next_event(tokyo.kernel) == Expire(association.id, hard=True, reqid=9)
    assert tokyo.kernel.query_sa(association.id) is None


def test_a_limit_of_packets_expires_softly_and_then_stops_the_sa(gateways):
    tokyo, _osaka = gateways
    association = tunnel_sa(tokyo.address, tokyo.peer, 0x1234, lifetime=Lifetime(soft_packets=2, hard_packets=4))
    tokyo.kernel.add_policy(policies(tokyo)[0])
    tokyo.kernel.add_sa(association)
    tokyo.ping(tokyo.far, count=3)
    assert next_event(tokyo.kernel) == Expire(association.id, hard=False)
    tokyo.ping(tokyo.far, count=3)
    assert Expire(association.id, hard=True) in tokyo.kernel.read_events()


def acquire_seconds(site, value=""):
    """Read, or set, how long larval SAs live in a site."""
    with site.inside(), open("/proc/sys/net/core/xfrm_acq_expires", "w" if value else "r") as seconds:  # noqa: PTH123
        return seconds.write(value) if value else int(seconds.read())


def test_an_unserved_larval_sa_goes_away(gateways):
    tokyo, _osaka = gateways
    assert acquire_seconds(tokyo) == LARVAL_SECONDS
    acquire_seconds(tokyo, "1")
    try:
        destination = ipaddress.ip_address(tokyo.address)
        spi = tokyo.kernel.allocate_spi(ipaddress.ip_address(tokyo.peer), destination, ESP)
        assert next_event(tokyo.kernel) == Expire(SaId(destination, ESP, spi), hard=True)
        assert tokyo.kernel.list_sas() == []
    finally:
        acquire_seconds(tokyo, str(LARVAL_SECONDS))


def test_a_queue_that_ran_over_is_reported_once(gateways):
    tokyo, _osaka = gateways
    with tokyo.inside():
        kernel = XfrmKernel()
    kernel._events._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    for number in range(500):
        tokyo.kernel.add_sa(tunnel_sa(tokyo.address, tokyo.peer, 0x1000 + number, lifetime=Lifetime(1, 0)))
    time.sleep(2)
    reads = [kernel.read_events() for _read in range(10)]
    kernel.close()
    events = [event for read in reads for event in read]
    assert events.count(EventsLost()) == 1
    assert 0 < len(events) < 500
    assert reads[-1] == []
