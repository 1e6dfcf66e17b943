# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that cuts the controller off from a gateway: the gateway undoes it by itself."""

from __future__ import annotations

import time

import pytest

from tests.fleet import figures
from tests.fleet.fleet import ANSWER_LIMIT
from tests.fleet.test_journeys import PLAYBOOK, deploy_again, lost_of_others

SECONDS = 30  # that the gateway waits
# The controller is 10.99.255.254, the gateways are the first addresses of the other half.
CUTTING = {"hub": "10.99.128.0/17", "spoke01": "10.99.0.0/17"}


def test_a_deployment_that_nobody_can_confirm_is_undone(few):
    cut_off, others = few.spokes[0], few.spokes[1:]
    few.overrides = {
        gateway.name: {"ipsec_networks": [gateway.place.network, CUTTING[gateway.name]]}
        for gateway in (few.hub, cut_off)
    }
    with few.undisturbed(others) as streams:
        begun = time.monotonic()
        with pytest.raises(RuntimeError, match="was undone by this host: nobody confirmed it within 30 s"):
            few.play(PLAYBOOK.format("site"), cut_off, ipsec_confirm_seconds=SECONDS)
        seconds = time.monotonic() - begun
        few.overrides = {}
        with few.pings([cut_off]) as pings:
            pings.wait_for_all(ANSWER_LIMIT)
    assert pings.streams()[cut_off.name].seconds is not None
    deploy_again(few, cut_off)
    figures.add("a deployment that cuts the controller off, undone after {} s".format(SECONDS), seconds, "s")
    lost_of_others(streams)
