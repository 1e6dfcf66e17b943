# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer that somebody else configures: the hub gets its end as any other, the peer what was handed over."""

from __future__ import annotations

import pytest

from tests.fleet import figures
from tests.fleet.fleet import ANSWER_LIMIT
from tests.fleet.network import Place
from tests.fleet.partner import PARTNERS
from tests.fleet.test_journeys import PLAYBOOK, deploy, deploy_again, lost_of_others

NUMBER = 200  # of the first one's place: no spoke's


@pytest.fixture(params=range(len(PARTNERS)), ids=[kind.title.replace(" ", "-") for kind in PARTNERS])
def partner(few, request):
    """It's connected, in the inventory, and has nothing yet."""
    kind = PARTNERS[request.param]
    place = Place(kind.title.replace(" ", "-").lower(), NUMBER + request.param)
    one = kind(place, few.controller.directory / place.name)
    one.connect()
    profiles = few.variables.get("ipsec_tunnel_profiles", {})
    few.variables["ipsec_tunnel_profiles"] = {**profiles, "hub--{}".format(place.name): kind.profile}
    few.variables["ipsec_profiles"] = kind.profiles
    few.unmanaged.append(place)
    yield one
    few.unmanaged.clear()
    few.variables["ipsec_tunnel_profiles"] = profiles
    del few.variables["ipsec_profiles"]
    one.stop()


def test_a_peer_from_its_hand_over_sheet(few, partner):
    """Its LAN reaches the hub's, and the spokes' tunnels stay as they are."""
    with few.undisturbed(few.spokes) as streams:
        run = deploy(few)
        few.play(PLAYBOOK.format("handover"))
        partner.take(few.controller.directory / "handover" / partner.place.name)
        with few.pings_from([partner.place]) as pings:
            pings.wait_for_all(ANSWER_LIMIT)
            pings.settle()
    stream = pings.streams()[partner.place.name]
    assert stream.seconds is not None, partner.log.read_text()[-8000:]
    assert len(few.hub.place.spis(partner.place)) == 2
    assert few.hub.place.spis(partner.place) == partner.place.spis(few.hub.place)
    deploy_again(few)
    title = "add an unmanaged {} to {} spokes, {}".format(partner.title, len(few.spokes), partner.profile)
    figures.add(title, run.seconds, "s")
    figures.add("... its first ping, after it took its sheet", stream.seconds, "s")
    lost_of_others(streams)
