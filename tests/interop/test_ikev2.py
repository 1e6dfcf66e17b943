# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2 between our daemon and other people's."""

from __future__ import annotations

import subprocess

import pytest

from tests.interop.life import configure, eventually, in_step, live
from tests.interop.network import kernel_sas
from tests.interop.suites import GCM, IKEV2_SUITES


@pytest.fixture(params=["strongswan"])
def peer(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("suite", IKEV2_SUITES, ids=lambda suite: suite.name)
def test_a_tunnels_whole_life(pair, suite, we_begin):
    live(*pair, suite, we_begin)


def test_a_wrong_key_is_named_by_us(pair, we_begin):
    ours, peer = pair
    configure(ours, peer, GCM, we_begin, our_psk="another key")
    reason = (ours if we_begin else peer).up()
    assert "AUTHENTICATION_FAILED" in reason or not we_begin
    assert "probably the pre-shared keys differ" in ours.lines()
    assert not kernel_sas(ours.site)


def test_no_packet_is_lost_across_rekeys_by_either_end(pair, we_begin):
    ours, peer = pair
    configure(ours, peer, GCM, we_begin)
    assert (ours if we_begin else peer).up() == ""
    eventually(lambda: in_step(ours, peer))
    pings = ours.site.inside("ping", "-q", "-i", "0.01", "-c", "1500", "-I", ours.site.host(), peer.site.host())
    with subprocess.Popen(pings, stdout=subprocess.PIPE, text=True) as process:
        for end in (ours, peer) * 5:
            before = ours.children()[0]["spi_in"]
            assert end.rekey() == ""
            eventually(lambda before=before: ours.children()[0]["spi_in"] != before)
        summary = process.stdout.read()
    assert "1500 received" in summary, summary
