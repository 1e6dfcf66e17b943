# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel's whole life between our daemon and another: up, used, rekeyed by either end, deleted."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.interop import matrix
from tests.interop.network import TOKYO, kernel_sas
from tests.interop.suites import PSK, view
from tests.interop.wire import is_fragment

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


def in_step(ours, peer, children: int = 1) -> bool:
    """Whether both ends hold just so many children, and their kernels the same SAs with the same keys."""
    if not len(ours.children()) == len(peer.children()) == children:
        return False
    sas = kernel_sas(ours.site)
    return len(sas) == 2 * children and sas == kernel_sas(peer.site)


def traffic(ours, peer, suite) -> bool:
    """Whether pings cross every tunnel. The policies let nothing through in clear."""
    if suite.mode == "transport":
        return ours.site.pings(peer.site.address(suite.family))
    ends = [
        (ours.site.host(suite.family, number), peer.site.host(suite.family, number)) for number in range(suite.networks)
    ]
    return all(ours.site.pings(target, source) for source, target in ends)


def establish(ours, peer, suite, we_begin, *steps: str) -> list[str]:
    """Up, and as it should be. The steps that the cell has done, for whoever goes on with ``steps`` to append to."""
    configure(ours, peer, suite, we_begin)
    return begin(ours, peer, suite, we_begin, *steps)


def begin(ours, peer, suite, we_begin, *steps: str) -> list[str]:
    done = matrix.cell(peer.name, suite.version, suite.name, we_begin, "up", *steps)
    assert (ours if we_begin else peer).up() == ""
    eventually(lambda: in_step(ours, peer, suite.children))
    for child in ours.children():
        _as_wanted(child, suite)
    done.append("up")
    return done


def fragmented(ours, peer, suite, wire, we_begin) -> None:
    """A tunnel and its rekey, whose messages are too long: each end sends fragments, and joins the other's."""
    done = establish(ours, peer, suite, we_begin, "we rekey", "ours", "theirs", "ping")
    rekey(ours, ours, suite)
    done.append("we rekey")
    for step, end in (("ours", ours), ("theirs", peer)):
        assert any(map(is_fragment, wire[end.site].messages()))
        done.append(step)
    assert traffic(ours, peer, suite)
    done.append("ping")


def live(ours, peer, suite, we_begin) -> None:
    """The whole life of a cell; the matrix learns how far it came."""
    rekeys = {"we rekey": ours, "peer rekeys": peer}
    if suite.version == 2 and not suite.esp and not peer.rekeys_ah:
        del rekeys["peer rekeys"]
    done = establish(ours, peer, suite, we_begin, "ping", *rekeys, "deleted")
    assert traffic(ours, peer, suite)
    done.append("ping")
    for step, end in rekeys.items():
        rekey(ours, end, suite)
        assert traffic(ours, peer, suite)
        done.append(step)
    take_down(ours, peer, peer if we_begin else ours)
    done.append("deleted")


def lossless(ours, peer, suite, we_begin) -> None:
    """A ping flood while the ends rekey, until we have sent on the last child: all come back.

    The ends take turns; the peer alone rekeys where it would send before we can have its answer (RFC 7296 2.8).
    """
    ends = (peer,) * 20 if peer.sends_at_once else (peer, ours) * 10
    done = establish(ours, peer, suite, we_begin, "20 rekeys", "no packet lost")
    with _flooded(ours, peer) as flood:
        for end in ends:
            rekey(ours, end, suite)
            eventually(lambda: _holds(peer, ours.children()[0]["spi_in"]))  # before it is asked for the next
        eventually(lambda: _holds(ours, ours.children()[0]["spi_out"]))
        time.sleep(1)  # on the last child
    done.append("20 rekeys")
    assert flood.sent > 100
    missing = set(range(1, flood.sent)) - flood.answered  # the last one may be under way still
    assert not missing, "lost: {} of {}".format(sorted(missing), flood.sent)
    done.append("no packet lost")


@dataclass
class _Flood:
    """How many pings went out, and the numbers of those that came back."""

    sent: int = 0
    answered: set[int] = field(default_factory=set)


@contextlib.contextmanager
def _flooded(ours, peer) -> Iterator[_Flood]:
    """Pings at 100 a second meanwhile; in the end, what became of them."""
    flood = _Flood()
    pings = ours.site.inside("ping", "-n", "-i", "0.01", "-I", ours.site.host(), peer.site.host())
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(pings, stdout=output)
        try:
            yield flood
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
        output.seek(0)
        text = output.read()
    flood.sent = int(re.search(r"(\d+) packets transmitted", text)[1])
    flood.answered.update(int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", text))


def _holds(end, spi: str) -> bool:
    """Whether an end's kernel has an SA of this SPI."""
    return any(" {} ".format(spi) in sa for sa in kernel_sas(end.site))


def take_down(ours, peer, end) -> None:
    """One end deletes the tunnel, and both kernels have nothing left of it."""
    before = kernel_sas(ours.site)
    end.down()
    eventually(lambda: before.isdisjoint(kernel_sas(ours.site) | kernel_sas(peer.site)))


def rekey(ours, end, suite) -> None:
    before = {child["spi_in"] for child in ours.children()}
    assert end.rekey() == ""
    eventually(lambda: before.isdisjoint({child["spi_in"] for child in ours.children()}) and ours.children())
    if suite.version == 2:
        eventually(lambda: not ours.replaced())  # strongSwan 6.0 mixes up its children when it is asked before
    exchange = "+".join(filter(None, (suite.group, suite.additional)))
    assert ours.children()[-1]["pfs"] == (exchange if suite.pfs else "")


def _as_wanted(child, suite) -> None:
    assert (child["encryption"], child["encryption_bits"]) == _CHILDREN[suite.esp]
    assert child["integrity"] == suite.esp_auth
    assert child["mode"] == suite.mode
