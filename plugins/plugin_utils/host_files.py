# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a Linux target gets, as files: the program, its unit, the configuration, the keys, the settings."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..module_utils.deploy.files import APPLICATION, CONFIGURATION, GATEWAY, GATEWAY_UNIT, PSK, SYSCTL, UNIT
from ..module_utils.deploy.manifest import keyed_digest
from ..module_utils.ike.config.psk import NEXT, PREVIOUS
from .application import build_application
from .configuration import configuration_text
from .gateway import kernel_settings, sysctl_text, unit_text
from .gateway_script import gateway_unit_text, nftables_drop_in_text, script_text
from .gateway_work import GatewayWork, traffic_of
from .inventory import Site
from .keys import Keys
from .paths import Paths
from .plan import TunnelEnd


@dataclass(frozen=True)
class HostFile:
    """A file as it is to lie on the host. The mode is in octal."""

    path: str
    role: str
    mode: str
    content: bytes = field(repr=False)

    def parameters(self, key: str, with_content: bool = False) -> dict[str, Any]:
        """What ipsec_apply is told of it: a digest keyed for this run, the content only when it's asked for."""
        told = {
            "path": self.path,
            "role": self.role,
            "mode": self.mode,
            "digest": keyed_digest(key, self.content),
        }
        if with_content:
            told["content"] = base64.b64encode(zlib.compress(self.content)).decode("ascii")
        return told


def needs_ipv6(ends: Sequence[TunnelEnd]) -> bool:
    """Whether a tunnel of this host carries IPv6."""
    return any(local.version == 6 for end in ends for local, _peer in end.networks)


def host_files(
    site: Site, ends: Sequence[TunnelEnd], keys: Keys, paths: Paths, python: str, work: GatewayWork
) -> list[HostFile]:
    """The files of one host. ``python`` is the interpreter that the unit starts the daemon with."""
    settings = kernel_settings(needs_ipv6(ends))
    return [
        HostFile(paths.application, APPLICATION, "0644", build_application()),
        HostFile(paths.unit, UNIT, "0644", unit_text(paths, python).encode("utf-8")),
        HostFile(paths.gateway_script, GATEWAY, "0755", script_text(work, traffic_of(ends)).encode("utf-8")),
        HostFile(paths.gateway_unit, GATEWAY_UNIT, "0644", gateway_unit_text(paths).encode("utf-8")),
        HostFile(paths.nftables_drop_in, GATEWAY_UNIT, "0644", nftables_drop_in_text(paths).encode("utf-8")),
        HostFile(paths.sysctl, SYSCTL, "0644", sysctl_text(settings).encode("utf-8")),
        HostFile(paths.configuration, CONFIGURATION, "0600", configuration_text(site, ends, paths).encode("utf-8")),
        *key_files(paths, keys),
    ]


def key_files(paths: Paths, keys: Keys) -> list[HostFile]:
    """The keys of our daemon. What a peer may prove beside the current key is written first: none is ever missing."""
    return [
        HostFile(paths.psk(name, beside), PSK, "0600", key)
        for name, found in keys.items()
        for beside, key in ((PREVIOUS, found.previous), (NEXT, found.next), ("", found.current))
        if key is not None
    ]
