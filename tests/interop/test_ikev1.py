# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 between our daemon and other people's: each suite, begun by either end, from the first message to the last."""

from __future__ import annotations

import time

import pytest

from tests.interop import matrix
from tests.interop.network import TOKYO, kernel_sas
from tests.interop.suites import OLD, PSK, SUITES, view

_WAIT = 10.0


@pytest.fixture(params=["strongswan", "libreswan"])
def peer(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["we begin", "they begin"])
def we_begin(request):
    return request.param == "we begin"


@pytest.fixture()
def pair(ours, peer):
    yield ours, peer
    print(ours.lines(), peer.lines()[-6000:], sep="\n")  # shown where the test failed
    peer.forget()
    ours.forget()
    eventually(lambda: not kernel_sas(ours.site) and not kernel_sas(peer.site))


def configure(ours, peer, suite, we_begin, our_psk=PSK):
    peer.configure(view(suite, peer.site, TOKYO, initiator=not we_begin), PSK)
    ours.configure(view(suite, TOKYO, peer.site, initiator=we_begin), our_psk)


def eventually(condition) -> None:
    deadline = time.monotonic() + _WAIT
    while not condition():
        assert time.monotonic() < deadline, "waited for {} s".format(_WAIT)
        time.sleep(0.05)


def in_step(ours, peer) -> bool:
    """Whether both ends hold exactly one child, and their kernels the same SAs with the same keys."""
    return (
        len(ours.children()) == len(peer.children()) == 1
        and len(kernel_sas(ours.site)) >= 2
        and kernel_sas(ours.site) == kernel_sas(peer.site)
    )


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_tunnels_whole_life(pair, suite, we_begin):
    ours, peer = pair
    done = matrix.cell(peer.name, suite.name, "ours" if we_begin else "theirs")
    starter, other = (ours, peer) if we_begin else (peer, ours)
    configure(ours, peer, suite, we_begin)

    assert starter.up() == ""
    eventually(lambda: in_step(ours, peer))
    as_wanted(ours.children()[0], suite)
    done.append("up")
    assert traffic(ours, peer, suite)
    done.append("ping")
    for step, end in (("we rekey", ours), ("peer rekeys", peer)):
        before = ours.children()[0]["spi_in"]
        assert end.rekey() == ""
        eventually(lambda before=before: ours.children() and ours.children()[0]["spi_in"] != before)
        assert traffic(ours, peer, suite)
        done.append(step)
    before = kernel_sas(ours.site)
    other.down()
    eventually(lambda: before.isdisjoint(kernel_sas(ours.site) | kernel_sas(peer.site)))
    done.append("deleted")


def as_wanted(child, suite) -> None:
    expected = {
        "3des_cbc": ("3des_cbc", 192),
        "aes128_cbc": ("aes_cbc", 128),
        "aes256_cbc": ("aes_cbc", 256),
        "aes128_gcm": ("aes_gcm", 128),
        "null_enc": ("null_enc", 0),
        "": ("", 0),
    }[suite.esp]
    assert (child["encryption"], child["encryption_bits"]) == expected
    assert child["integrity"] == suite.esp_auth
    assert child["mode"] == suite.mode
    assert child["pfs"] == (suite.group if suite.pfs else "")


def traffic(ours, peer, suite) -> bool:
    if suite.mode == "tunnel":
        return ours.site.pings(peer.site.host(suite.family), ours.site.host(suite.family))
    return ours.site.pings(peer.site.address(suite.family))


def test_a_wrong_key_is_named_by_us(pair, we_begin):
    ours, peer = pair
    configure(ours, peer, OLD, we_begin, our_psk="another key")
    reason = (ours if we_begin else peer).up()
    assert reason
    assert "probably the pre-shared keys differ" in ours.lines()
    assert not we_begin or "probably the pre-shared keys differ" in reason
    assert not kernel_sas(ours.site)
