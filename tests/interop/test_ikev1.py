# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 between our daemon and other people's."""

from __future__ import annotations

import pytest

from tests.interop.life import configure, eventually, in_step, live, traffic
from tests.interop.network import kernel_sas
from tests.interop.suites import AES128, AGGRESSIVE, OLD, SUITES


@pytest.fixture(params=["strongswan", "libreswan"])
def peer(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_tunnels_whole_life(pair, suite, we_begin):
    live(*pair, suite, we_begin)


def test_aggressive_mode_which_we_begin_and_never_answer(pair):
    live(*pair, AGGRESSIVE, we_begin=True)
    assert "lets anybody who sees it guess the pre-shared key" in pair[0].lines()


def test_a_peer_that_falls_silent_is_noticed_and_comes_back(pair):
    ours, peer = pair
    configure(ours, peer, AES128, we_begin=True)
    assert ours.up() == ""
    eventually(lambda: in_step(ours, peer))
    with peer.frozen():
        eventually(lambda: not ours.children(), seconds=30)
    assert "no answer to 3 R-U-THERE" in ours.lines()
    eventually(lambda: ours.children() and traffic(ours, peer, AES128), seconds=60)


def test_a_wrong_key_is_named_by_us(pair, we_begin):
    ours, peer = pair
    configure(ours, peer, OLD, we_begin, our_psk="another key")
    reason = (ours if we_begin else peer).up()
    assert reason
    assert "probably the pre-shared keys differ" in ours.lines()
    assert not we_begin or "probably the pre-shared keys differ" in reason
    assert not kernel_sas(ours.site)
