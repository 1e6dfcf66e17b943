# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel's algorithms, identities and start in other daemons' words. What a daemon has no word for raises Untold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...module_utils.ike.config.build import Profile as Cryptography
from ...module_utils.ike.config.grammar import NO_KE
from ...module_utils.ike.crypto.algorithms import CIPHERS, ENCRYPTION_KEYWORDS
from ..inventory import Site
from ..plan import TunnelEnd


class Untold(ValueError):
    """A daemon can't be told this profile; the text says which word is missing."""


@dataclass(frozen=True)
class Vocabulary:
    """How one daemon writes algorithms: encryption, hashes (of any use), groups.

    ``fqdn`` stands before an identity that is one. ``answers``, ``begins`` and ``waits`` are how a connection starts:
    by the peer, at once, by its first packet.
    """

    daemon: str
    encryption: Mapping[str, str]
    hashes: Mapping[str, str]
    groups: Mapping[str, str]
    fqdn: str
    answers: str
    begins: str
    waits: str

    def ciphers(self, names: Sequence[str], aead: bool) -> list[str]:
        """The words of those ciphers that are, or aren't, AEADs: the two kinds stand in different proposals."""
        return [self._word(self.encryption, name) for name in names if is_aead(name) == aead]

    def digests(self, names: Sequence[str]) -> list[str]:
        return [self._word(self.hashes, name) for name in names]

    def exchanges(self, names: Sequence[str]) -> list[str]:
        return [self._word(self.groups, name) for name in names]

    def without_additional(self, levels: Sequence[Sequence[str]]) -> None:
        """Additional key exchanges (RFC 9370) aren't told: a profile that insists on one can't be."""
        for level in levels:
            if level and NO_KE not in level:
                raise Untold("{} isn't told {} here, which the profile insists on".format(self.daemon, "/".join(level)))

    def identity(self, site: Site) -> str:
        kind, value = site.identity
        return self.fqdn + value if kind == "fqdn" else value

    def start(self, end: TunnelEnd) -> str:
        """Who knows where the other one is begins."""
        if end.peer.unknown:
            return self.answers
        return self.begins if end.local.unknown else self.waits

    def _word(self, words: Mapping[str, str], name: str) -> str:
        if name not in words:
            raise Untold("{} has no word for {} here".format(self.daemon, name))
        return words[name]


def is_aead(keyword: str) -> bool:
    return CIPHERS[ENCRYPTION_KEYWORDS[keyword][0]].aead


def pfs_groups(chosen: Cryptography) -> Sequence[str]:
    """The groups that a child's own key exchange may use."""
    return chosen.groups if chosen.pfs else ()


_MODP = {"modp{}".format(bits): "modp{}".format(bits) for bits in (1024, 1536, 2048, 3072, 4096, 6144, 8192)}

STRONGSWAN = Vocabulary(
    "strongSwan",
    {
        "3des_cbc": "3des",
        "aes128_cbc": "aes128",
        "aes192_cbc": "aes192",
        "aes256_cbc": "aes256",
        "aes128_gcm": "aes128gcm16",
        "aes192_gcm": "aes192gcm16",
        "aes256_gcm": "aes256gcm16",
        "chacha20_poly1305": "chacha20poly1305",
    },
    {
        "sha1": "sha1",
        "sha2_256": "sha256",
        "sha2_384": "sha384",
        "sha2_512": "sha512",
        "hmac_sha1": "sha1",
        "hmac_sha2_256": "sha256",
        "hmac_sha2_384": "sha384",
        "hmac_sha2_512": "sha512",
    },
    {**_MODP, "ecp256": "ecp256", "ecp384": "ecp384", "ecp521": "ecp521", "curve25519": "x25519"},
    fqdn="fqdn:",
    answers="none",
    begins="start",
    waits="trap",
)

LIBRESWAN = Vocabulary(
    "Libreswan",
    {
        "3des_cbc": "3des",
        "aes128_cbc": "aes128",
        "aes192_cbc": "aes192",
        "aes256_cbc": "aes256",
        "aes128_gcm": "aes_gcm128",
        "aes192_gcm": "aes_gcm192",
        "aes256_gcm": "aes_gcm256",
        "chacha20_poly1305": "chacha20_poly1305",
    },
    {
        "sha1": "sha1",
        "sha2_256": "sha2_256",
        "sha2_384": "sha2_384",
        "sha2_512": "sha2_512",
        "hmac_sha1": "sha1",
        "hmac_sha2_256": "sha2_256",
        "hmac_sha2_384": "sha2_384",
        "hmac_sha2_512": "sha2_512",
    },
    {**_MODP, "ecp256": "dh19", "ecp384": "dh20", "ecp521": "dh21", "curve25519": "dh31"},
    fqdn="@",
    answers="add",
    begins="start",
    waits="ondemand",
)
