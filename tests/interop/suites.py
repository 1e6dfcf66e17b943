# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cell of the matrix negotiates, in racoon2's words. Each peer translates them into its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.interop.network import Site

PSK = "correct horse battery staple"
PPK_ID = "horse"
PPK = "a key that no quantum computer derives"


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
    ids: str = "ipaddr"  # or fqdn, keyid
    fragments: bool = False  # whether both ends may fragment
    aggressive: bool = False
    version: int = 1
    prf: str = ""
    networks: int = 1  # of each site: a tunnel for each pair
    shared: bool = False  # whether one child SA carries all of them
    wide: bool = False  # whether the peer's networks are wider than ours, and have to be narrowed
    cookies: bool = False  # whether we demand a cookie
    additional: str = ""  # a key exchange in addition to the first (RFC 9370)
    ppk: bool = False  # whether both ends insist on a post-quantum pre-shared key (RFC 8784)
    ike_lifetime: int = 28800  # seconds, ours
    their_ike_lifetime: int = 0  # seconds, of a peer that can't be told to rekey; 0: never
    their_lifetime: int = 7  # the same for its children

    @property
    def children(self) -> int:
        return 1 if self.shared else self.networks


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
    variant(AES128, "keyid", ids="keyid"),
)
# A public value of 1,024 bytes in a child's negotiation makes messages that IPv6's least MTU doesn't hold.
_LONG = {"family": 6, "group": "modp8192", "pfs": True, "fragments": True}
FRAGMENTS = variant(AES256, "fragments", **_LONG)
REKEYS_V1 = variant(AES256, "20 rekeys, no packet lost", pfs=True)  # which takes the responder a while
SILENT = variant(AES128, "silent peer")
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
    variant(GCM, "keyid", ids="keyid"),
    variant(GCM, "ppk", ppk=True),
    variant(GCM, "x25519-ecp384", additional="ecp384", pfs=True),
    variant(CBC, "modp2048-modp4096", additional="modp4096", pfs=True),
    variant(GCM, "x25519-ecp384-ppk", additional="ecp384", ppk=True),
    variant(GCM, "x25519-mlkem768", additional="mlkem768", pfs=True),
)
IKEV2_FRAGMENTS = variant(GCM, "fragments", **_LONG)
NARROWED = variant(GCM, "narrowed", wide=True)
SEVERAL = variant(GCM, "several networks", networks=2)
SHARED = variant(SEVERAL, "several networks, one child SA", shared=True)
REKEYS = variant(GCM, "20 rekeys, no packet lost")
COOKIES = variant(GCM, "cookies", cookies=True)
WE_REKEY_IKE = variant(GCM, "we rekey the IKE SA", ike_lifetime=6, their_lifetime=60)
PEER_REKEYS_IKE = variant(GCM, "the peer rekeys the IKE SA", their_ike_lifetime=6, their_lifetime=60)
WE_REKEY_MULTI_KE = variant(WE_REKEY_IKE, "we rekey x25519-ecp384", additional="ecp384")
PEER_REKEYS_MULTI_KE = variant(PEER_REKEYS_IKE, "the peer rekeys x25519-ecp384", additional="ecp384")


@dataclass(frozen=True)
class View:
    """A tunnel as one end sees it: the addresses, the pairs of networks, and what the ends call themselves."""

    suite: Suite
    local: str
    peer: str
    networks: tuple[tuple[str, str], ...]
    local_id: str
    peer_id: str


def view(suite: Suite, site: Site, other: Site, initiator: bool) -> View:
    """How ``site`` sees its tunnel with ``other``. Who sits behind NAT shows another address than its own."""
    family = suite.family
    local = site.private() if suite.nat and initiator else site.address(family)
    peer = site.router() if suite.nat and not initiator else other.address(family)
    if suite.ids == "ipaddr":
        names = [local, other.private() if suite.nat and not initiator else peer]
    else:
        names = [one.name + ".example" for one in (site, other)]
    networks = [(site.lan(family, number), other.lan(family, number)) for number in range(suite.networks)]
    return View(suite, local, peer, tuple(networks) if suite.mode == "tunnel" else ((local, peer),), *names)


def wide(network: str) -> str:
    """A network that holds all of both sites'."""
    return "fd00::/16" if ":" in network else "192.168.0.0/16"
