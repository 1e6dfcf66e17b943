# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel's whole life between our daemon and another: up, used, rekeyed by either end, deleted."""

from __future__ import annotations

import time

from tests.interop import matrix
from tests.interop.network import TOKYO, kernel_sas
from tests.interop.suites import PSK, view

_WAIT = 10.0

_CHILDREN = {
    "3des_cbc": ("3des_cbc", 192),
    "aes128_cbc": ("aes_cbc", 128),
    "aes256_cbc": ("aes_cbc", 256),
    "aes128_gcm": ("aes_gcm", 128),
    "aes256_gcm": ("aes_gcm", 256),
    "chacha20_poly1305": ("chacha20_poly1305", 256),
    "null_enc": ("null_enc", 0),
    "": ("", 0),
}


def configure(ours, peer, suite, we_begin, our_psk=PSK) -> None:
    peer.configure(view(suite, peer.site, TOKYO, initiator=not we_begin), PSK)
    ours.configure(view(suite, TOKYO, peer.site, initiator=we_begin), our_psk)


def eventually(condition, seconds: float = _WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited for {} s".format(seconds)
        time.sleep(0.05)


def in_step(ours, peer) -> bool:
    """Whether both ends hold exactly one child, and their kernels the same SAs with the same keys."""
    if not len(ours.children()) == len(peer.children()) == 1:
        return False
    sas = kernel_sas(ours.site)
    return len(sas) == 2 and sas == kernel_sas(peer.site)


def traffic(ours, peer, suite) -> bool:
    """Whether pings cross the tunnel. The policies let nothing through in clear."""
    if suite.mode == "tunnel":
        return ours.site.pings(peer.site.host(suite.family), ours.site.host(suite.family))
    return ours.site.pings(peer.site.address(suite.family))


def live(ours, peer, suite, we_begin) -> None:
    """The whole life of a cell; the matrix learns how far it came."""
    done = matrix.cell(peer.name, suite, "we begin" if we_begin else "they begin")
    starter, other = (ours, peer) if we_begin else (peer, ours)
    configure(ours, peer, suite, we_begin)

    assert starter.up() == ""
    eventually(lambda: in_step(ours, peer))
    _as_wanted(ours.children()[0], suite)
    done.append("up")
    assert traffic(ours, peer, suite)
    done.append("ping")
    for step, end in (("we rekey", ours), ("peer rekeys", peer)):
        _rekey(ours, end, suite)
        assert traffic(ours, peer, suite)
        done.append(step)
    before = kernel_sas(ours.site)
    other.down()
    eventually(lambda: before.isdisjoint(kernel_sas(ours.site) | kernel_sas(peer.site)))
    done.append("deleted")


def _rekey(ours, end, suite) -> None:
    before = {child["spi_in"] for child in ours.children()}
    assert end.rekey() == ""
    eventually(lambda: before.isdisjoint({child["spi_in"] for child in ours.children()}) and ours.children())
    assert ours.children()[-1]["pfs"] == (suite.group if suite.pfs else "")


def _as_wanted(child, suite) -> None:
    assert (child["encryption"], child["encryption_bits"]) == _CHILDREN[suite.esp]
    assert child["integrity"] == suite.esp_auth
    assert child["mode"] == suite.mode
