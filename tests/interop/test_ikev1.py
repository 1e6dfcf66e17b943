# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 between our daemon and other people's."""

from __future__ import annotations

import pytest

from tests.interop.life import configure, establish, eventually, fragmented, live, lossless, traffic
from tests.interop.network import kernel_sas
from tests.interop.suites import AGGRESSIVE, FRAGMENTS, OLD, REKEYS_V1, SILENT, SUITES


@pytest.mark.suites(*SUITES)
def test_a_tunnels_whole_life(pair, suite, we_begin):
    live(*pair, suite, we_begin)


@pytest.mark.suites(FRAGMENTS)
def test_long_messages_are_fragmented_by_both_ends(pair, suite, wire, we_begin):
    fragmented(*pair, suite, wire, we_begin)


@pytest.mark.suites(AGGRESSIVE)
def test_aggressive_mode_which_we_begin_and_never_answer(pair, suite):
    live(*pair, suite, we_begin=True)
    assert "lets anybody who sees it guess the pre-shared key" in pair[0].lines()


@pytest.mark.suites(SILENT)
def test_a_peer_that_falls_silent_is_noticed_and_comes_back(pair, suite):
    ours, peer = pair
    done = establish(ours, peer, suite, True, "noticed", "back")
    with peer.frozen():
        eventually(lambda: not ours.children(), seconds=30)
    assert "no answer to 3 R-U-THERE" in ours.lines()
    done.append("noticed")
    eventually(lambda: ours.children() and traffic(ours, peer, suite), seconds=60)
    done.append("back")


@pytest.mark.suites(REKEYS_V1)
def test_no_packet_is_lost_across_20_rekeys(pair, suite, we_begin):
    lossless(*pair, suite, we_begin)


@pytest.mark.suites(OLD)
def test_a_wrong_key_is_named_by_us(pair, suite, we_begin):
    ours, peer = pair
    configure(ours, peer, suite, we_begin, our_psk="another key")
    reason = (ours if we_begin else peer).up()
    assert reason
    assert "probably the pre-shared keys differ" in ours.lines()
    assert not we_begin or "probably the pre-shared keys differ" in reason
    assert not kernel_sas(ours.site)
