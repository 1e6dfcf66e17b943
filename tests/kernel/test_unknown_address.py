# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""osaka's address isn't known at tokyo, and becomes another one: what each kernel holds back, and where it leads."""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import replace

import pytest

from ike.config.build import LocalEnd, PeerEnd, site_configuration
from ike.config.grammar import TANUKI
from ike.config.render import render
from tests.kernel.test_daemons import ESP_PACKET, IKE_PACKET, SUITES, Daemon, until
from tests.kernel.test_traffic import Wire

pytestmark = pytest.mark.usefixtures("no_module_loading")

PROFILE = replace(SUITES["modern"], dpd_delay=60)  # who waits for silence is too late here
OTHER = "198.51.100.77"  # osaka's, after a while
TOKYO_ID, OSAKA_ID = ("fqdn", "tokyo"), ("fqdn", "osaka")


def networks(site):
    return [(ipaddress.ip_interface(lan + "/24").network,) for lan in (site.lan, site.far)]


def tokyos(site, profile, directory):
    local = LocalEnd(ipaddress.ip_address(site.address), str(directory))
    peer = PeerEnd("peer", None, TOKYO_ID, OSAKA_ID, *networks(site), profile)
    return render(site_configuration(local, [peer], TANUKI))


def osakas(site, profile, directory):
    local = LocalEnd(None, str(directory), families=(4,), unknown=True)
    peer = PeerEnd("peer", ipaddress.ip_address(site.peer), OSAKA_ID, TOKYO_ID, *networks(site), profile)
    return render(site_configuration(local, [peer], TANUKI))


def leads(site) -> set[tuple[str, str]]:
    """Between which ends the site's outbound policies lead."""
    return {
        (str(template.source), str(template.destination))
        for state in site.kernel.list_policies()
        for template in state.policy.templates
        if state.policy.direction == "out"
    }


@contextlib.contextmanager
def moved(tokyo, osaka):
    """osaka has another address, and later its own again."""
    old = "{}/32 peer {}/32".format(osaka.address, osaka.peer)
    new = "{}/32 peer {}/32".format(OTHER, osaka.peer)
    far = "{}/32 via {} src {}".format(osaka.far, osaka.peer, osaka.lan)
    back = "ip route {} {} dev cable"

    def change(leaves, comes):
        osaka.run("ip address del {} dev cable".format(leaves))
        osaka.run("ip address add {} dev cable".format(comes))
        osaka.run("ip route replace {}".format(far))

    tokyo.run(back.format("add", OTHER))
    change(old, new)
    yield
    change(new, old)
    tokyo.run(back.format("del", OTHER))


def test_traffic_waits_for_the_peer_and_follows_its_address(gateways, tmp_path):
    with contextlib.ExitStack() as cleanup:
        configurations = (tokyos, osakas)
        tokyo, osaka = (Daemon(one, "xfrm", PROFILE, tmp_path, how) for one, how in zip(gateways, configurations))
        wire = Wire(gateways)
        cleanup.callback(wire.close)

        tokyo.start()
        cleanup.callback(tokyo.stop)
        assert leads(tokyo.site) == {(tokyo.site.address, "0.0.0.0")}
        assert not tokyo.site.ping(tokyo.site.far, count=2)
        assert wire.seen() == set()

        osaka.start()
        cleanup.callback(osaka.stop)
        until(lambda: osaka.children() and tokyo.children(), osaka.log.read_text)
        assert tokyo.site.ping(tokyo.site.far) and osaka.site.ping(osaka.site.far)
        assert leads(tokyo.site) == {(tokyo.site.address, osaka.site.address)}

        with moved(tokyo.site, osaka.site):
            until(lambda: osaka.site.ping(osaka.site.far, count=1), osaka.log.read_text)
            until(lambda: tokyo.site.ping(tokyo.site.far, count=1), tokyo.log.read_text)
            assert leads(tokyo.site) == {(tokyo.site.address, OTHER)}
            assert leads(osaka.site) == {(OTHER, tokyo.site.address)}

            tokyo.kill()
            tokyo.start()
            assert leads(tokyo.site) == {(tokyo.site.address, OTHER)}
            assert tokyo.site.ping(tokyo.site.far) and osaka.site.ping(osaka.site.far)
        assert wire.seen() <= {ESP_PACKET, IKE_PACKET}
