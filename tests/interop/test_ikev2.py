# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2 between our daemon and other people's."""

from __future__ import annotations

import pytest

from tests.interop.life import (
    begin,
    configure,
    establish,
    eventually,
    fragmented,
    live,
    lossless,
    rekey,
    take_down,
    traffic,
)
from tests.interop.network import kernel_sas
from tests.interop.suites import (
    COOKIES,
    GCM,
    IKEV2_FRAGMENTS,
    IKEV2_SUITES,
    NARROWED,
    PEER_REKEYS_IKE,
    PEER_REKEYS_MULTI_KE,
    REKEYS,
    SEVERAL,
    SHARED,
    WE_REKEY_IKE,
    WE_REKEY_MULTI_KE,
)
from tests.interop.wire import demands_a_cookie


@pytest.mark.suites(*IKEV2_SUITES)
def test_a_tunnels_whole_life(pair, suite, we_begin):
    live(*pair, suite, we_begin)


@pytest.mark.suites(GCM)
def test_a_wrong_key_is_named_by_us(pair, suite, we_begin):
    ours, peer = pair
    configure(ours, peer, suite, we_begin, our_psk="another key")
    reason = (ours if we_begin else peer).up()
    assert "AUTHENTICATION_FAILED" in reason or not we_begin
    assert "probably the pre-shared keys differ" in ours.lines()
    assert not kernel_sas(ours.site)


@pytest.mark.suites(IKEV2_FRAGMENTS)
def test_long_messages_are_fragmented_by_both_ends(pair, suite, wire, we_begin):
    fragmented(*pair, suite, wire, we_begin)


@pytest.mark.suites(SHARED)
def test_one_child_sa_carries_several_networks_and_is_rekeyed_by_either_end(pair, suite, we_begin):
    ours, peer = pair
    done = establish(ours, peer, suite, we_begin, "ping", "we rekey", "ping", "deleted")
    assert traffic(ours, peer, suite)
    done.append("ping")
    rekey(ours, ours, suite)
    done.append("we rekey")
    assert traffic(ours, peer, suite)
    done.append("ping")
    take_down(ours, peer, peer if we_begin else ours)
    done.append("deleted")


@pytest.mark.suites(SEVERAL, NARROWED)
def test_several_networks_share_an_ike_sa_and_wider_ones_are_narrowed(pair, suite, we_begin):
    ours, peer = pair
    done = establish(ours, peer, suite, we_begin, "ping", "deleted")
    assert len(ours.established()) == 1
    assert traffic(ours, peer, suite)
    done.append("ping")
    take_down(ours, peer, peer if we_begin else ours)
    done.append("deleted")


@pytest.mark.suites(WE_REKEY_IKE, WE_REKEY_MULTI_KE)
def test_we_rekey_the_ike_sa_when_its_lifetime_says_so(pair, suite, we_begin):
    _rekey_ike(*pair, suite, we_begin, "initiator")


@pytest.mark.suites(PEER_REKEYS_IKE, PEER_REKEYS_MULTI_KE)
def test_the_peer_rekeys_the_ike_sa(pair, suite, we_begin):
    _rekey_ike(*pair, suite, we_begin, "responder")


def _rekey_ike(ours, peer, suite, we_begin, role):
    """The new IKE SA's initiator is who rekeyed. The child lives on with its SPIs."""
    done = establish(ours, peer, suite, we_begin, "rekeyed", "ping")
    before = ours.established()[0]["spi_i"]
    child = ours.children()[0]["spi_in"]
    if role == "responder":
        assert peer.rekey_ike() == ""
    eventually(lambda: before not in [one["spi_i"] for one in ours.established()])
    assert [one["role"] for one in ours.established()] == [role]
    done.append("rekeyed")
    assert child in [one["spi_in"] for one in ours.children()]
    assert traffic(ours, peer, suite)
    done.append("ping")


@pytest.mark.suites(COOKIES)
def test_cookies_are_demanded_and_given(pair, suite, wire, we_begin):
    """We begin: the peer demands them. It begins: we do."""
    ours, peer = pair
    configure(ours, peer, suite, we_begin)
    if we_begin:
        peer.demand_cookies()
    done = begin(ours, peer, suite, we_begin, "demanded", "ping")
    assert any(map(demands_a_cookie, wire[peer.site if we_begin else ours.site].messages()))
    done.append("demanded")
    assert traffic(ours, peer, suite)
    done.append("ping")


@pytest.mark.suites(REKEYS)
def test_no_packet_is_lost_across_20_rekeys(pair, suite, we_begin):
    if pair[1].deletes_first:
        pytest.skip("its rekeys lose packets, whatever we do")
    lossless(*pair, suite, we_begin)
