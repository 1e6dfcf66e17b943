# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of its addresses a real kernel would send from, and when that is none to begin IKE at."""

from __future__ import annotations

import ipaddress

import pytest

from ike.daemon.rim import Rim
from ike.exchange.effects import SourceAddress
from ike.exchange.errors import LocalError
from ike.kernel.none import NoneKernel
from tests.kernel.conftest import Namespace
from tests.namespaces import run


def source(host: Namespace, peer: str) -> str:
    with host.inside():
        return str(Rim(NoneKernel()).perform(SourceAddress(ipaddress.ip_address(peer))))


def test_it_is_the_address_that_the_route_gives(sites):
    tokyo, _osaka = sites
    assert source(tokyo, tokyo.peer) == tokyo.address
    assert source(tokyo, tokyo.peer6) == tokyo.address6


@pytest.fixture
def link(sites):
    """A host that has a link-local address only, on a link with a prefix of its own."""
    host = Namespace("host")
    run("ip", "netns", "add", host.name)
    host.run("ip link add name cable type veth peer name end")
    for command in (
        "ip link set cable addrgenmode none",
        "ip link set end up",
        "ip link set cable up",
        "ip -6 address add fe80::77/64 dev cable nodad",
        "ip -6 route add 2001:db8:77::/64 dev cable",
    ):
        host.run(command)
    yield host
    run("ip", "netns", "delete", host.name)


def test_a_peer_on_the_link_is_not_asked_from_a_link_local_address(link):
    """So it is for a moment where the link's prefix is there before the address in it, which is still being checked."""
    with pytest.raises(LocalError, match="no address here but fe80::77, which is link-local, leads to 2001:db8:77::2"):
        source(link, "2001:db8:77::2")
    link.run("ip -6 address add 2001:db8:77::1/64 dev cable nodad")
    assert source(link, "2001:db8:77::2") == "2001:db8:77::1"
