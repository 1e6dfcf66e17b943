# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site can run, in one table: our daemon on Linux or FreeBSD, or upstream's racoon2 on FreeBSD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from ..module_utils.deploy.files import APPLICATION, CONFIGURATION, PSK, UNIT
from ..module_utils.ike.config.checks.run import check
from ..module_utils.ike.config.checks.subject import Options
from ..module_utils.ike.config.grammar import RACOON2
from ..module_utils.ike.config.loader import load_text
from ..module_utils.ike.crypto.algorithms import ENCRYPTION_KEYWORDS
from .application import build_application
from .configuration import configuration_text
from .gateway import kernel_settings
from .gateway_work import EVERYTHING, GatewayWork
from .host_files import HostFile, host_files, key_files, needs_ipv6
from .inventory import Site
from .keys import Keys
from .paths import FREEBSD_PATHS, LINUX_PATHS, Paths
from .plan import TunnelEnd
from .rc import rc_settings, script_text

PKG = ("pkg", "install", "-y")


class Unfit(ValueError):
    """A site's tunnels and what it runs don't go together; the text says why, and the way out."""


@dataclass(frozen=True)
class XfrmLinux:
    """Our daemon on Linux's XFRM, under systemd; ``gateway`` is what the packet filter does beside it."""

    name: str = "xfrm_linux"
    paths: Paths = LINUX_PATHS
    install: tuple[str, ...] = ()  # by a module of Ansible's, which depends on the distribution
    gateway: GatewayWork = EVERYTHING

    def files(self, site: Site, ends: Sequence[TunnelEnd], keys: Keys, python: str) -> list[HostFile]:
        return host_files(site, ends, keys, self.paths, python, self.gateway)

    def parameters(self, ends: Sequence[TunnelEnd]) -> dict[str, Any]:
        """What ipsec_apply is told beside the files."""
        return {
            **_places(self.paths),
            "implementation": self.name,
            "service": self.paths.service,
            "gateway_service": self.paths.gateway_service,
            "packet_filters": list(self.gateway.tools),
            "settings": kernel_settings(needs_ipv6(ends)),
        }


@dataclass(frozen=True)
class Bundled:
    """Our daemon on FreeBSD's PF_KEY, under rc(8)."""

    name: str = "bundled"
    paths: Paths = FREEBSD_PATHS
    install: tuple[str, ...] = PKG

    def files(self, site: Site, ends: Sequence[TunnelEnd], keys: Keys, python: str) -> list[HostFile]:
        paths = self.paths
        return [
            HostFile(paths.application, APPLICATION, "0644", build_application()),
            HostFile(paths.unit, UNIT, "0555", script_text(paths, python).encode("utf-8")),
            HostFile(paths.configuration, CONFIGURATION, "0600", configuration_text(site, ends, paths).encode("utf-8")),
            *key_files(paths, _checked(ends, keys)),
        ]

    def parameters(self, ends: Sequence[TunnelEnd]) -> dict[str, Any]:
        places = _places(self.paths)
        places["directories"][self.paths.unit_directory] = "0755"
        return {
            **places,
            "implementation": self.name,
            "settings": rc_settings([self.paths.service], needs_ipv6(ends)),
            "demands": demands(ends),
        }


@dataclass(frozen=True)
class Racoon2:
    """Upstream's spmd and iked. ``ikev2``: the operator takes IKEv2 in spite of the crashes that were seen."""

    name: str = "racoon2"
    paths: Paths = FREEBSD_PATHS
    install: tuple[str, ...] = PKG
    ikev2: bool = False

    def files(self, site: Site, ends: Sequence[TunnelEnd], keys: Keys, python: str) -> list[HostFile]:
        """Raises Unfit for what upstream's language can't say, or upstream's daemons can't do."""
        self._check_versions(ends)
        content = self._text(site, ends).encode("utf-8")
        return [
            HostFile(self.paths.configuration, CONFIGURATION, "0600", content),
            *_current_keys(self.paths, _checked(ends, keys)),
        ]

    def parameters(self, ends: Sequence[TunnelEnd]) -> dict[str, Any]:
        places = _places(self.paths)
        del places["directories"][self.paths.library_directory]
        return {
            **places,
            "implementation": self.name,
            "settings": rc_settings(["spmd", "iked"], needs_ipv6(ends)),
            "demands": demands(ends),
            "secrets": [self.paths.spmd_password],
        }

    def _check_versions(self, ends: Sequence[TunnelEnd]) -> None:
        names = sorted({end.profile.name for end in ends if end.profile.cryptography.version == 2})
        if names and not self.ikev2:
            raise Unfit(
                "profile {}: racoon2's iked crashes seconds after it rekeys or probes an IKEv2 peer; choose ikev1-aes, "
                "or racoon2_freebsd_implementation bundled, or set racoon2_freebsd_ikev2".format(", ".join(names))
            )

    def _text(self, site: Site, ends: Sequence[TunnelEnd]) -> str:
        """The configuration in upstream's dialect, looked through for what upstream would refuse or crash on."""
        try:
            text = configuration_text(site, ends, self.paths, RACOON2)
        except ValueError as error:
            raise Unfit("racoon2 can't be told this profile: {}".format(error)) from error
        loaded = load_text(text.encode("utf-8"), self.paths.configuration, RACOON2)
        errors = [str(problem) for problem in check(loaded, Options(files=False)) if problem.is_error]
        if errors:
            raise Unfit("racoon2 wouldn't take this configuration:\n{}".format("\n".join(errors)))
        return text


Implementation = Union[XfrmLinux, Bundled, Racoon2]
IMPLEMENTATIONS: dict[str, Implementation] = {one.name: one for one in (XfrmLinux(), Bundled(), Racoon2())}


def demands(ends: Sequence[TunnelEnd]) -> Mapping[str, Any]:
    """What the tunnels ask of a FreeBSD host (see ipsec_apply)."""
    chosen = [end.profile.cryptography for end in ends]
    ciphers = {ENCRYPTION_KEYWORDS[word][0] for one in chosen for word in one.esp_encryption}
    return {
        "algorithms": sorted(ciphers | {word for one in chosen for word in one.esp_integrity}),
        "ike_3des": any("3des_cbc" in one.ike_encryption for one in chosen),
        "peers": [str(end.peer.address) for end in ends if end.peer.address is not None],
        "far_networks": sorted({str(peer) for end in ends for _local, peer in end.networks}),
    }


def _places(paths: Paths) -> dict[str, Any]:
    return {
        "directories": paths.directories(),
        "state_directory": paths.state_directory,
        "control": paths.control,
    }


def _checked(ends: Sequence[TunnelEnd], keys: Keys) -> Keys:
    """The keys. Raises Unfit for a newline, which nobody means: racoon2 takes it for a part of the key.

    Where somebody else configures the peer, his file may end in one. Then that is the key.
    """
    for end in ends:
        if end.peer.managed and b"\n" in keys[end.name].newest:
            raise Unfit(
                "the key of {} and {} has a newline in it, which racoon2 takes for a part of the key: take it out of "
                "the key file or of ipsec_psks, and deploy both ends".format(end.local.name, end.peer.name)
            )
    return keys


def _current_keys(paths: Paths, keys: Keys) -> list[HostFile]:
    """Upstream's daemon accepts no other key than the one that it proves."""
    return [HostFile(paths.psk(name), PSK, "0600", found.current) for name, found in keys.items()]
