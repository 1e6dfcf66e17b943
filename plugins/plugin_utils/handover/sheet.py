# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the administrator of a site that Ansible doesn't manage gets: a sheet, configurations, and the keys apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...module_utils.ike.config.grammar import RACOON2
from ..configuration import configuration_text
from ..inventory import Site
from ..paths import FREEBSD_PATHS
from ..plan import TunnelEnd
from .libreswan import libreswan_configuration, libreswan_secrets
from .swanctl import swanctl_connections, swanctl_secrets

SECRET_DIRECTORY = "secret"  # noqa: S105 (a name)

_INTRODUCTION = """\
Hand-over sheet for {site}

What follows is to be entered at {site}. Ready configurations lie beside this sheet. The keys are in the folder
"secret": hand them over by another way, to nobody else, and delete the folder afterwards.

"""


@dataclass(frozen=True)
class SheetFile:
    """A file of the hand-over, by its name below the site's folder."""

    name: str
    content: bytes = field(repr=False)

    @property
    def secret(self) -> bool:
        return self.name.startswith(SECRET_DIRECTORY + "/")


def handover(site: Site, ends: Sequence[TunnelEnd], keys: Mapping[str, bytes]) -> list[SheetFile]:
    """All files for one site. ``ends`` are its own; ``keys`` are by the index of the peer."""
    configurations = {
        "swanctl.conf": lambda: swanctl_connections(ends),
        "ipsec.conf": lambda: libreswan_configuration(ends),
        "racoon2.conf": lambda: configuration_text(site, ends, FREEBSD_PATHS, RACOON2),
    }
    texts, untold = _told(configurations)
    secrets = {
        "swanctl.secrets.conf": swanctl_secrets(ends, keys).encode("ascii"),
        "ipsec.secrets": libreswan_secrets(ends, keys).encode("ascii"),
        **{"{}.psk".format(end.name): keys[end.name] for end in ends},
    }
    sheet = _INTRODUCTION.format(site=site.name) + "\n".join(_tunnel(end) for end in ends) + "".join(untold)
    return [
        SheetFile("sheet.txt", sheet.encode("utf-8")),
        *(SheetFile(name, text.encode("utf-8")) for name, text in texts.items()),
        *(SheetFile("{}/{}".format(SECRET_DIRECTORY, name), content) for name, content in secrets.items()),
    ]


def _told(configurations: Mapping[str, Callable[[], str]]) -> tuple[dict[str, str], list[str]]:
    """The texts, and a line for each daemon that can't be told one of the profiles."""
    texts, untold = {}, []
    for name, write in configurations.items():
        try:
            texts[name] = write()
        except ValueError as error:
            untold.append("\nThere is no {}: {}\n".format(name, error))
    return texts, untold


def _tunnel(end: TunnelEnd) -> str:
    rows = "".join("  {:<30}{}\n".format(name, value) for name, value in _rows(end))
    return "Tunnel to {}\n{}".format(end.peer.name, rows)


def _identity(site: Site, family: int) -> str:
    kind, value = site.identity
    return "IPv{} address {}".format(family, value) if kind == "ipaddr" else "FQDN {}".format(value)


def _rows(end: TunnelEnd) -> Iterator[tuple[str, str]]:
    chosen = end.profile.cryptography
    yield "your public address", end.local.shown_address
    if end.local.own_address not in (end.local.address, None):
        yield "your own address, behind NAT", str(end.local.own_address)
    yield "our address", end.peer.shown_address
    yield "your identity", _identity(end.local, end.family)
    yield "our identity", _identity(end.peer, end.family)
    if end.local.unknown or end.peer.unknown:
        yield "who begins", "you" if end.local.unknown else "we"
    yield "authentication", "pre-shared key, secret/{}.psk: its bytes, without a newline".format(end.name)
    yield "IKE", "version 2" if chosen.version == 2 else "version 1, main mode"
    yield "IKE encryption", ", ".join(chosen.ike_encryption)
    if chosen.ike_hash:
        yield "IKE integrity" if chosen.version == 2 else "IKE hash", ", ".join(chosen.ike_hash)
    if chosen.ike_prf:
        yield "IKE PRF", ", ".join(chosen.ike_prf)
    yield "IKE group", ", ".join(chosen.groups)
    for number, level in enumerate(chosen.additional, 1):
        if level:
            yield "additional key exchange {}".format(number), ", ".join(level)
    yield "IKE lifetime", "{} seconds".format(chosen.ike_lifetime)
    yield "IPsec", "ESP, tunnel mode"
    yield "ESP encryption", ", ".join(chosen.esp_encryption)
    if chosen.esp_integrity:
        yield "ESP integrity", ", ".join(chosen.esp_integrity)
    yield "perfect forward secrecy", "yes, the IKE groups" if chosen.pfs else "no"
    yield "ESP lifetime", "{} seconds".format(chosen.child_lifetime)
    yield "NAT traversal", "yes" if chosen.nat_traversal else "no"
    for local, peer in end.networks:
        yield "your network, our network", "{} = {}".format(local, peer)
