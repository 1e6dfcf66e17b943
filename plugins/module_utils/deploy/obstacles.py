# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in a FreeBSD gateway's way, found before anything is changed: each with the reason and the way out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..commands import Run
from ..freebsd.listings import Interface, read_interfaces
from ..ike.kernel.base import KernelError
from ..ike.kernel.pfkey import PfkeyKernel
from ..ike.policy.sa import Address, Network

IPSEC_CONF = Path("/etc/ipsec.conf")
OLDEST_RACOON2 = 20061228  # the first release with IKEv1

# Commands of setkey that make policies or SAs, or take ours away
_SETKEY = re.compile(r"\s*(add|spdadd|spdupdate|flush|spdflush|delete|deleteall|spddelete)\b")
_RELEASE = re.compile(r"\b(20\d{6})\w*")


@dataclass(frozen=True)
class Demands:
    """What the tunnels of this host ask of it.

    ``algorithms`` are ESP's, by the registry's names; ``ike_3des`` whether a tunnel encrypts IKE with 3DES.
    """

    algorithms: tuple[str, ...]
    ike_3des: bool
    peers: tuple[Address, ...]
    far_networks: tuple[Network, ...]


def obstacles(run: Run, demands: Demands, ipsec_conf: Path = IPSEC_CONF) -> list[str]:
    """Whatever the implementation is: no IPsec, missing algorithms, and what the how-tos warn of."""
    interfaces = read_interfaces(run(["ifconfig", "-a"])[1])
    return [
        *_kernel(demands.algorithms),
        *_gif_interfaces(interfaces, demands.peers),
        *_ipsec_conf(run, ipsec_conf),
    ]


def racoon2_obstacles(run: Run, iked: Path, demands: Demands) -> list[str]:
    """Upstream's daemons, installed or not yet: OpenSSL 3 where they have to do 3DES; one that's too old."""
    return [*(_openssl(run) if demands.ike_3des else ()), *(_version(run, iked) if os.access(iked, os.X_OK) else ())]


def _kernel(algorithms: Sequence[str]) -> Iterator[str]:
    try:
        kernel = PfkeyKernel()
    except KernelError as error:
        yield "{}: `kldload ipsec`, and ipsec_load=YES in /boot/loader.conf, or a kernel with `options IPSEC`".format(
            error
        )
        return
    missing = [name for name in algorithms if not kernel.supports(name)]
    kernel.close()
    if missing:
        yield (
            "this kernel has no {}: FreeBSD 13 and later took 3DES, Blowfish, CAST and MD5 out of IPsec; "
            "choose an ipsec_profile with AES, at both ends".format(", ".join(missing))
        )


def _gif_interfaces(interfaces: Sequence[Interface], peers: Sequence[Address]) -> Iterator[str]:
    for one in interfaces:
        if one.tunnel_end in peers and "gif" in (*one.groups, one.name.rstrip("0123456789")):
            yield (
                "interface {name}: {tunnel}: a gif tunnel to a peer takes the packets that the policies are for; "
                "`ifconfig {name} destroy`, and take it out of rc.conf".format(name=one.name, tunnel=one.tunnel)
            )


def _ipsec_conf(run: Run, path: Path) -> Iterator[str]:
    code, output, _error = run(["sysrc", "-n", "ipsec_enable"])
    if code == 0 and output.strip().upper() == "YES":
        yield 'ipsec_enable="YES" in rc.conf: it loads other policies than the daemon\'s; `sysrc ipsec_enable=NO`'
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        if _SETKEY.match(line):
            yield "{}:{}: {}: policies belong to the daemon; move this file away".format(path, number, line.strip())
            return


def _version(run: Run, iked: Path) -> Iterator[str]:
    """The package's version, else what the daemon says. It reads an empty configuration then, and ends at that."""
    _code, package, _error = run(["pkg", "query", "%v", "racoon2"])
    _code, said, _error = run([str(iked), "-V", "-f", "/dev/null"])
    found = _RELEASE.search(package) or _RELEASE.search(said)
    if found is None:
        yield "{}: its version can't be found out; racoon2 20061228a or later is needed".format(iked)
    elif int(found.group(1)) < OLDEST_RACOON2:
        yield "racoon2 {} has no IKEv1: 20061228a or later is needed".format(found.group(0))


def _openssl(run: Run) -> Iterator[str]:
    _code, output, _error = run(["openssl", "version"])
    found = re.match(r"OpenSSL (\d+)\.", output)
    if found and int(found.group(1)) >= 3:
        yield (
            "racoon2 can't encrypt IKE with 3DES on {}: choose ipsec_profile ikev1-aes at both ends, "
            "or racoon2_freebsd_implementation bundled".format(" ".join(output.split()[:2]))
        )
