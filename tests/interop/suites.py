# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cell of the matrix negotiates, in racoon2's words. Each peer translates them into its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.interop.network import Site

PSK = "correct horse battery staple"


@dataclass(frozen=True)
class Suite:
    """IKE's algorithms and the child's; ``hash`` and ``esp_auth`` are empty with an AEAD, ``esp`` is empty for AH.

    ``hash`` is IKEv1's hash, and IKEv2's integrity algorithm; ``prf`` is IKEv2's alone.
    """

    name: str
    encryption: str
    hash: str
    group: str
    esp: str
    esp_auth: str = ""
    pfs: bool = False
    mode: str = "tunnel"
    family: int = 4
    nat: bool = False  # whether the initiator sits behind NAT
    ids: str = "ipaddr"  # or fqdn
    fragments: bool = False
    aggressive: bool = False
    version: int = 1
    prf: str = ""


OLD = Suite("3des-sha1-modp2048", "3des_cbc", "sha1", "modp2048", "3des_cbc", "hmac_sha1")
AES128 = Suite("aes128-sha1-modp2048", "aes128_cbc", "sha1", "modp2048", "aes128_cbc", "hmac_sha1")
AES256 = Suite("aes256-sha256-modp3072", "aes256_cbc", "sha2_256", "modp3072", "aes256_cbc", "hmac_sha2_256")


def variant(base: Suite, name: str, **changes) -> Suite:
    return replace(base, name=name, **changes)


SUITES = (
    OLD,
    AES128,
    AES256,
    variant(AES256, "aes256-pfs", pfs=True),
    variant(AES256, "aes128gcm-esp", esp="aes128_gcm", esp_auth=""),
    variant(AES128, "sha256-96-esp", esp_auth="hmac_sha2_256_96"),
    variant(AES128, "null-esp", esp="null_enc"),
    variant(AES128, "ah-sha1", esp=""),
    variant(AES128, "ecp256", group="ecp256"),
    variant(AES128, "transport", mode="transport"),
    variant(AES128, "ipv6", family=6),
    variant(AES128, "nat", nat=True),
    variant(AES128, "nat-transport", nat=True, mode="transport"),
    variant(AES128, "fqdn", ids="fqdn"),
    variant(AES256, "fragments", fragments=True),
)
AGGRESSIVE = variant(AES128, "aggressive", aggressive=True)  # which we begin, and never answer


GCM = Suite("aes256gcm-x25519", "aes256_gcm", "", "curve25519", "aes256_gcm", version=2, prf="hmac_sha2_256")
CBC = Suite(
    "aes256-sha256-modp2048",
    "aes256_cbc",
    "hmac_sha2_256",
    "modp2048",
    "aes256_cbc",
    "hmac_sha2_256",
    version=2,
    prf="hmac_sha2_256",
)

IKEV2_SUITES = (
    GCM,
    CBC,
    variant(GCM, "aes128gcm-ecp256", encryption="aes128_gcm", group="ecp256", esp="aes128_gcm"),
    variant(GCM, "chacha20-x25519", encryption="chacha20_poly1305", esp="chacha20_poly1305"),
    variant(CBC, "3des-sha1-modp2048", encryption="3des_cbc", hash="hmac_sha1", prf="hmac_sha1", esp="3des_cbc"),
    variant(GCM, "aes256gcm-pfs", pfs=True),
    variant(CBC, "modp2048-pfs", pfs=True),
    variant(CBC, "ah-sha256", esp=""),
    variant(GCM, "transport", mode="transport"),
    variant(GCM, "ipv6", family=6),
    variant(GCM, "nat", nat=True),
    variant(GCM, "fqdn", ids="fqdn"),
    variant(GCM, "fragments", fragments=True),
)


@dataclass(frozen=True)
class View:
    """A tunnel as one end sees it: the addresses, the traffic, and what the ends call themselves."""

    suite: Suite
    local: str
    peer: str
    local_net: str
    peer_net: str
    local_id: str
    peer_id: str


def view(suite: Suite, site: Site, other: Site, initiator: bool) -> View:
    """How ``site`` sees its tunnel with ``other``. Who sits behind NAT shows another address than its own."""
    family = suite.family
    local = site.private() if suite.nat and initiator else site.address(family)
    peer = site.router() if suite.nat and not initiator else other.address(family)
    names = [one.name + ".example" for one in (site, other)]
    if suite.ids == "ipaddr":
        names = [local, other.private() if suite.nat and not initiator else peer]
    nets = (site.lan(family), other.lan(family)) if suite.mode == "tunnel" else (local, peer)
    return View(suite, local, peer, *nets, *names)
