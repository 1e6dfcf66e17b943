# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named sets of algorithms and lifetimes: what the two ends of a tunnel propose and accept.

Their weaknesses aren't written here: they're read from the registry of algorithms, so that none is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..module_utils.ike.config.build import Profile as Cryptography
from ..module_utils.ike.crypto.algorithms import CIPHERS, ENCRYPTION_KEYWORDS, GROUPS, HASHES, INTEGRITIES, PRFS

DEFAULT_PROFILE = "modern"


@dataclass(frozen=True)
class Profile:
    """A set of algorithms with its name."""

    name: str
    summary: str
    cryptography: Cryptography

    @property
    def weaknesses(self) -> tuple[str, ...]:
        """One sentence per weak algorithm that the profile allows, in the registry's words."""
        chosen = self.cryptography
        rows = [CIPHERS[ENCRYPTION_KEYWORDS[word][0]] for word in chosen.ike_encryption + chosen.esp_encryption]
        rows += [(HASHES if chosen.version == 1 else INTEGRITIES)[word] for word in chosen.ike_hash]
        rows += [PRFS[word] for word in chosen.ike_prf]
        rows += [INTEGRITIES[word] for word in chosen.esp_integrity]
        rows += [GROUPS[word] for word in chosen.groups]
        return tuple(dict.fromkeys("{}: {}".format(row.name, row.weak) for row in rows if row.weak))


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "modern",
            "IKEv2, AES-GCM or ChaCha20-Poly1305, SHA-2, Curve25519 (with ML-KEM-768 where both ends have it), a fresh "
            "key exchange for every child",
            Cryptography(
                version=2,
                ike_encryption=("aes256_gcm", "chacha20_poly1305", "aes128_gcm"),
                ike_hash=(),
                ike_prf=("hmac_sha2_512", "hmac_sha2_256"),
                groups=("curve25519", "ecp256"),
                additional=(("mlkem768", "none"),),
                esp_encryption=("aes256_gcm", "chacha20_poly1305", "aes128_gcm"),
                child_lifetime=3600,
                pfs=True,
            ),
        ),
        Profile(
            "2007",
            "IKEv1 main mode, 3DES, SHA-1, modp2048: what the how-tos of 2007 describe",
            Cryptography(
                version=1,
                ike_encryption=("3des_cbc",),
                ike_hash=("sha1",),
                groups=("modp2048",),
                esp_encryption=("3des_cbc",),
                esp_integrity=("hmac_sha1",),
            ),
        ),
        Profile(
            "ikev1-aes",
            "IKEv1 main mode, AES-256, SHA-2, modp3072: the best that IKEv1 with pre-shared keys has",
            Cryptography(
                version=1,
                ike_encryption=("aes256_cbc",),
                ike_hash=("sha2_256",),
                groups=("modp3072",),
                esp_encryption=("aes256_cbc",),
                esp_integrity=("hmac_sha2_256",),
                child_lifetime=3600,
                pfs=True,
            ),
        ),
    )
}
