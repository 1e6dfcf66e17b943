# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of algorithms: one row each, with its name in every world that we speak to.

A row ties racoon2's keyword to the IANA numbers of IKEv1 (RFC 2407, 2409) and IKEv2 (RFC 7296 and
the registry "ikev2-parameters"), to the names of Linux's XFRM and the numbers of PF_KEY, and to sizes.
``None`` in a number's place means that this world has no name for the algorithm.

Standard library only: the configuration floor reads these rows without ``cryptography``.
Whether an algorithm can be *run* here is answered by :mod:`ike.crypto.backend`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cipher:
    """An encryption algorithm. Sizes in bytes, key lengths in bits."""

    name: str
    key_bits: tuple[int, ...]
    block: int
    iv: int
    phase1: int | None  # OAKLEY encryption algorithm, RFC 2409 appendix A
    esp1: int | None  # IKEv1 IPsec ESP transform identifier, RFC 2407 4.4.4
    ikev2: int | None  # IKEv2 transform type 1
    xfrm: str | None
    pfkey: int | None  # SADB_EALG_*
    salt: int = 0  # bytes of key material that are nonce salt, RFC 3686, 4106, 7634
    icv: int = 0  # an AEAD's tag; 0: the algorithm needs an integrity algorithm beside it
    length_on_wire: bool = True  # whether proposals carry a key length attribute
    weak: str = ""

    @property
    def aead(self) -> bool:
        return self.icv > 0

    def material(self, bits: int) -> int:
        """Bytes of key material that one direction takes (key and salt)."""
        return bits // 8 + self.salt


@dataclass(frozen=True)
class Integrity:
    """An integrity algorithm for ESP, AH and the IKEv2 SK payload. Sizes in bytes."""

    name: str
    digest: str  # hashlib's name, or the cipher-based MAC's own
    key: int
    icv: int
    esp1: int | None  # IKEv1 authentication algorithm attribute, RFC 2407 4.5
    ah1: int | None  # IKEv1 AH transform identifier
    ikev2: int | None  # transform type 3
    xfrm: str
    pfkey: int | None  # SADB_AALG_*
    weak: str = ""


@dataclass(frozen=True)
class Hash:
    """A phase 1 hash algorithm (RFC 2409); its HMAC is the prf."""

    name: str
    digest: str
    size: int
    phase1: int
    weak: str = ""


@dataclass(frozen=True)
class Prf:
    """An IKEv2 pseudo-random function (transform type 2). Sizes in bytes."""

    name: str
    digest: str
    key: int
    size: int
    ikev2: int
    weak: str = ""


@dataclass(frozen=True)
class Group:
    """A key exchange method: transform types 4 and 6 to 12, and IKEv1's group description."""

    name: str
    number: int
    kind: str  # modp, ecp, x25519, x448, mlkem
    bits: int
    public: int  # bytes of the initiator's public value
    ikev1: bool = True
    answer: int = 0  # bytes of the responder's, where it isn't of the same kind
    weak: str = ""

    @property
    def kem(self) -> bool:
        """Whether it encapsulates a secret: its responder has no key pair, and it comes in addition to others."""
        return self.kind == "mlkem"


_LEGACY = "64-bit block: a birthday bound of 32 GB per key (Sweet32)"

CIPHERS = {
    row.name: row
    for row in (
        Cipher("3des_cbc", (192,), 8, 8, 5, 3, 3, "cbc(des3_ede)", 3, length_on_wire=False, weak=_LEGACY),
        Cipher("aes_cbc", (128, 192, 256), 16, 16, 7, 12, 12, "cbc(aes)", 12),
        Cipher("aes_ctr", (128, 192, 256), 1, 8, None, None, 13, "rfc3686(ctr(aes))", 13, salt=4),
        Cipher("aes_gcm_8", (128, 192, 256), 1, 8, None, 18, 18, "rfc4106(gcm(aes))", 18, salt=4, icv=8),
        Cipher("aes_gcm_12", (128, 192, 256), 1, 8, None, 19, 19, "rfc4106(gcm(aes))", 19, salt=4, icv=12),
        Cipher("aes_gcm", (128, 192, 256), 1, 8, None, 20, 20, "rfc4106(gcm(aes))", 20, salt=4, icv=16),
        Cipher(
            "chacha20_poly1305",
            (256,),
            1,
            8,
            None,
            None,
            28,
            "rfc7539esp(chacha20,poly1305)",
            None,
            salt=4,
            icv=16,
            length_on_wire=False,
        ),
        Cipher("blowfish_cbc", (128,), 8, 8, 3, 7, 7, "cbc(blowfish)", 7, weak=_LEGACY),
        Cipher("cast128_cbc", (128,), 8, 8, 6, 6, 6, "cbc(cast5)", 6, weak=_LEGACY),
        Cipher(
            "null_enc",
            (0,),
            1,
            0,
            None,
            11,
            11,
            "ecb(cipher_null)",
            11,
            length_on_wire=False,
            weak="no encryption: traffic can be read on the wire",
        ),
    )
}

# racoon2's keyword, and ours in the same style -> (cipher, key length in bits; 0: the list entry names it)
ENCRYPTION_KEYWORDS = {
    "3des_cbc": ("3des_cbc", 192),
    "aes128_cbc": ("aes_cbc", 128),
    "aes192_cbc": ("aes_cbc", 192),
    "aes256_cbc": ("aes_cbc", 256),
    "rijndael_cbc": ("aes_cbc", 0),
    "aes_ctr": ("aes_ctr", 0),
    "blowfish_cbc": ("blowfish_cbc", 128),
    "cast128_cbc": ("cast128_cbc", 128),
    "null_enc": ("null_enc", 0),
    # dialect tanuki
    "aes128_gcm": ("aes_gcm", 128),
    "aes192_gcm": ("aes_gcm", 192),
    "aes256_gcm": ("aes_gcm", 256),
    "aes128_gcm_12": ("aes_gcm_12", 128),
    "aes256_gcm_12": ("aes_gcm_12", 256),
    "aes128_gcm_8": ("aes_gcm_8", 128),
    "aes256_gcm_8": ("aes_gcm_8", 256),
    "chacha20_poly1305": ("chacha20_poly1305", 256),
}

_MD5 = "MD5: broken as a hash; still a sound HMAC, but auditors refuse it"
_SHA1 = "SHA-1: broken as a hash; still a sound HMAC, but auditors refuse it"

INTEGRITIES = {
    row.name: row
    for row in (
        Integrity("hmac_md5", "md5", 16, 12, 1, 2, 1, "hmac(md5)", 2, weak=_MD5),
        Integrity("hmac_sha1", "sha1", 20, 12, 2, 3, 2, "hmac(sha1)", 3, weak=_SHA1),
        Integrity("hmac_sha2_256", "sha256", 32, 16, 5, 5, 12, "hmac(sha256)", 5),
        # The truncation of draft-ietf-ipsec-ciph-sha-256-00, which Linux's PF_KEY and old peers still use.
        Integrity("hmac_sha2_256_96", "sha256", 32, 12, 5, 5, None, "hmac(sha256)", 5),
        Integrity("hmac_sha2_384", "sha384", 48, 24, 6, 6, 13, "hmac(sha384)", 6),
        Integrity("hmac_sha2_512", "sha512", 64, 32, 7, 7, 14, "hmac(sha512)", 7),
        Integrity("aes_xcbc", "aes_xcbc", 16, 12, 9, 9, 5, "xcbc(aes)", 9),
        Integrity("aes_cmac", "aes_cmac", 16, 12, None, None, 8, "cmac(aes)", None),
    )
}

HASHES = {
    row.name: row
    for row in (
        Hash("md5", "md5", 16, 1, weak=_MD5),
        Hash("sha1", "sha1", 20, 2, weak=_SHA1),
        Hash("sha2_256", "sha256", 32, 4),
        Hash("sha2_384", "sha384", 48, 5),
        Hash("sha2_512", "sha512", 64, 6),
    )
}

PRFS = {
    row.name: row
    for row in (
        Prf("hmac_md5", "md5", 16, 16, 1, weak=_MD5),
        Prf("hmac_sha1", "sha1", 20, 20, 2, weak=_SHA1),
        Prf("aes_xcbc", "aes_xcbc", 16, 16, 4),
        Prf("hmac_sha2_256", "sha256", 32, 32, 5),
        Prf("hmac_sha2_384", "sha384", 48, 48, 6),
        Prf("hmac_sha2_512", "sha512", 64, 64, 7),
        Prf("aes_cmac", "aes_cmac", 16, 16, 8),
    )
}

_SMALL = "a modulus of {} bits: within reach of a state's precomputation (Logjam, RFC 8247 2.4)"

GROUPS = {
    row.name: row
    for row in (
        Group("modp768", 1, "modp", 768, 96, weak=_SMALL.format(768)),
        Group("modp1024", 2, "modp", 1024, 128, weak=_SMALL.format(1024)),
        Group("modp1536", 5, "modp", 1536, 192, weak=_SMALL.format(1536)),
        Group("modp2048", 14, "modp", 2048, 256),
        Group("modp3072", 15, "modp", 3072, 384),
        Group("modp4096", 16, "modp", 4096, 512),
        Group("modp6144", 17, "modp", 6144, 768),
        Group("modp8192", 18, "modp", 8192, 1024),
        Group("ecp256", 19, "ecp", 256, 64),
        Group("ecp384", 20, "ecp", 384, 96),
        Group("ecp521", 21, "ecp", 521, 132),
        Group("curve25519", 31, "x25519", 255, 32),
        Group("curve448", 32, "x448", 448, 56),
        Group("mlkem768", 36, "mlkem", 768, 1184, ikev1=False, answer=1088),
        Group("mlkem1024", 37, "mlkem", 1024, 1568, ikev1=False, answer=1568),
    )
}

GROUPS_BY_NUMBER = {row.number: row for row in GROUPS.values()}
CIPHERS_BY_PHASE1 = {row.phase1: row for row in CIPHERS.values() if row.phase1 is not None}
CIPHERS_BY_ESP1 = {row.esp1: row for row in CIPHERS.values() if row.esp1 is not None}
CIPHERS_BY_IKEV2 = {row.ikev2: row for row in CIPHERS.values() if row.ikev2 is not None}
HASHES_BY_PHASE1 = {row.phase1: row for row in HASHES.values()}
PRFS_BY_IKEV2 = {row.ikev2: row for row in PRFS.values()}
INTEGRITIES_BY_ESP1 = {
    row.esp1: row for row in INTEGRITIES.values() if row.esp1 is not None and row.name != "hmac_sha2_256_96"
}
INTEGRITIES_BY_AH1 = {
    row.ah1: row for row in INTEGRITIES.values() if row.ah1 is not None and row.name != "hmac_sha2_256_96"
}
INTEGRITIES_BY_IKEV2 = {row.ikev2: row for row in INTEGRITIES.values() if row.ikev2 is not None}


def keyword_of(cipher: Cipher, bits: int) -> str:
    """racoon2's (or our) keyword for a cipher at a key length in bits, for people: ``aes128_cbc``."""
    for keyword, row in ENCRYPTION_KEYWORDS.items():
        if row == (cipher.name, bits):
            return keyword
    return "{},{}".format(cipher.name, bits)
