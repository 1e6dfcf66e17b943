# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which algorithm may stand where: per dialect, protocol and directive, and why another one may not."""

from __future__ import annotations

from ...crypto.algorithms import CIPHERS, ENCRYPTION_KEYWORDS, GROUPS, HASHES, INTEGRITIES, PRFS
from ..grammar import ADDITIONAL_KES, IKEV1, IKEV2, NO_KE, RACOON2
from ..values import Algorithm

_AES = ("aes128_cbc", "aes192_cbc", "aes256_cbc", "rijndael_cbc")
_HASHES = ("md5", "sha1", "sha2_256", "sha2_384", "sha2_512")
_HMACS = ("hmac_md5", "hmac_sha1", "hmac_sha2_256", "hmac_sha2_384", "hmac_sha2_512")
_V2_CIPHERS = ("3des_cbc", *_AES, "aes_ctr", "null_enc")
_V2_MACS = (*_HMACS, "aes_xcbc", "aes_cmac")
_MODP = tuple(name for name, group in GROUPS.items() if group.kind == "modp")

# What upstream's start-up check lets pass. Of those, idea_cbc and rc5_cbc depend on how it was built.
_UPSTREAM = {
    (IKEV1, "kmp_enc_alg"): ("3des_cbc", *_AES, "blowfish_cbc", "cast128_cbc", "idea_cbc", "rc5_cbc"),
    (IKEV2, "kmp_enc_alg"): _V2_CIPHERS,
    (IKEV1, "kmp_hash_alg"): _HASHES,
    (IKEV2, "kmp_hash_alg"): _V2_MACS,
    (IKEV2, "kmp_prf_alg"): _V2_MACS,
    (IKEV1, "kmp_dh_group"): _MODP,
    (IKEV2, "kmp_dh_group"): _MODP,
    (IKEV1, "kmp_auth_method"): ("psk", "dss", "rsasig", "rsaenc", "rsarev", "gssapi_krb"),
    (IKEV2, "kmp_auth_method"): ("psk", "dss", "rsasig"),
    (IKEV1, "esp_enc_alg"): (
        "3des_cbc", *_AES, "blowfish_cbc", "cast128_cbc", "idea_cbc", "rc5_cbc", "3idea_cbc", "rc4_cbc",
        "twofish_cbc", "null_enc",
    ),
    (IKEV2, "esp_enc_alg"): _V2_CIPHERS,
    (IKEV1, "esp_auth_alg"): (*_HMACS, "aes_xcbc", "kpdk_md5", "non_auth"),
    (IKEV2, "esp_auth_alg"): _V2_MACS,
    (IKEV1, "ah_auth_alg"): (*_HMACS, "aes_xcbc", "kpdk_md5"),
    (IKEV2, "ah_auth_alg"): _V2_MACS,
    (IKEV1, "ipcomp_alg"): ("oui", "deflate", "lzs"),
    (IKEV2, "ipcomp_alg"): (),
}  # fmt: skip


def _ciphers(attribute: str, null: bool) -> tuple[str, ...]:
    """The keywords of the ciphers that have a number in one of the protocols."""
    return tuple(
        keyword
        for keyword, (name, _bits) in ENCRYPTION_KEYWORDS.items()
        if getattr(CIPHERS[name], attribute) is not None and (null or name != "null_enc")
    )


def _rows(registry: dict, attribute: str) -> tuple[str, ...]:
    return tuple(name for name, row in registry.items() if getattr(row, attribute) is not None)


# What our daemon runs: the registry's rows that have a number in the protocol.
_OURS = {
    (IKEV1, "kmp_enc_alg"): _ciphers("phase1", null=False),
    (IKEV2, "kmp_enc_alg"): _ciphers("ikev2", null=False),
    (IKEV1, "kmp_hash_alg"): tuple(HASHES),
    (IKEV2, "kmp_hash_alg"): _rows(INTEGRITIES, "ikev2"),
    (IKEV2, "kmp_prf_alg"): tuple(PRFS),
    (IKEV1, "kmp_dh_group"): tuple(name for name, group in GROUPS.items() if group.ikev1),
    (IKEV2, "kmp_dh_group"): tuple(name for name, group in GROUPS.items() if not group.kem),
    **{(IKEV2, name): (*GROUPS, NO_KE) for name in ADDITIONAL_KES},
    (IKEV1, "kmp_auth_method"): ("psk",),
    (IKEV2, "kmp_auth_method"): ("psk",),
    (IKEV1, "esp_enc_alg"): _ciphers("esp1", null=True),
    (IKEV2, "esp_enc_alg"): _ciphers("ikev2", null=True),
    (IKEV1, "esp_auth_alg"): _rows(INTEGRITIES, "esp1"),
    (IKEV2, "esp_auth_alg"): _rows(INTEGRITIES, "ikev2"),
    (IKEV1, "ah_auth_alg"): _rows(INTEGRITIES, "ah1"),
    (IKEV2, "ah_auth_alg"): _rows(INTEGRITIES, "ikev2"),
    (IKEV1, "ipcomp_alg"): (),
    (IKEV2, "ipcomp_alg"): (),
}

_FAMILIES = dict(zip(_HASHES, _HMACS))  # IKEv1's hash -> IKEv2's name for its HMAC
_HASH_OF = {hmac: name for name, hmac in _FAMILIES.items()}

WEAK_BESIDES = {
    "non_auth": "no integrity: packets can be changed on the wire",
    "kpdk_md5": "keyed MD5: broken",
    "rc4_cbc": "RC4: broken",
}


def supported(dialect: str, protocol: str, directive: str) -> tuple[str, ...]:
    """The words that may stand in a directive of ``ikev1`` or ``ikev2`` (or of an sa that it negotiates)."""
    return (_UPSTREAM if dialect == RACOON2 else _OURS).get((protocol, directive), ())


def fault(dialect: str, protocol: str, directive: str, entry: Algorithm) -> tuple[str, str]:
    """(what is wrong with an entry of a list of algorithms, hint); empty strings where nothing is."""
    if entry.name not in supported(dialect, protocol, directive):
        return "{} cannot be {} of {}".format(entry.name, directive, protocol), _other_family(protocol, entry.name)
    cipher, fixed_bits = ENCRYPTION_KEYWORDS.get(entry.name, ("", 0))
    if not cipher:
        return "", ""
    return _length_fault(entry, CIPHERS[cipher].key_bits, fixed_bits)


def _length_fault(entry: Algorithm, lengths: tuple[int, ...], fixed: int) -> tuple[str, str]:
    if not fixed and entry.bits is None and len(lengths) > 1:
        return "{} needs its key length".format(entry.name), "write {},{}".format(entry.name, lengths[0])
    if fixed and len(lengths) > 1 and entry.bits is not None:
        return "{} takes no key length".format(entry.name), "its name says it"
    if entry.bits is not None and entry.bits not in lengths:
        return "{} has no key of {} bits".format(entry.name, entry.bits), "bits, not bytes"
    return "", ""


def _other_family(protocol: str, name: str) -> str:
    """Upstream names the same digest otherwise in either protocol: the commonest mistake of all."""
    if name in GROUPS and GROUPS[name].kem:
        return "it comes in addition to another one: additional_ke1 {}".format(name)
    if protocol == IKEV1 and name in _HASH_OF:
        return "IKEv1 names the hash, {}; {} is IKEv2's name".format(_HASH_OF[name], name)
    if protocol == IKEV2 and name in _FAMILIES:
        return "IKEv2 names the HMAC, {}; {} is IKEv1's name".format(_FAMILIES[name], name)
    return ""


def weakness(directive: str, name: str) -> str:
    """Why an algorithm is weak; "" if it isn't, or if nothing is known of it."""
    if name in WEAK_BESIDES:
        return WEAK_BESIDES[name]
    if name in ENCRYPTION_KEYWORDS:
        return CIPHERS[ENCRYPTION_KEYWORDS[name][0]].weak
    registries = {
        "kmp_hash_alg": (HASHES, INTEGRITIES),
        "kmp_prf_alg": (PRFS,),
        **dict.fromkeys(("kmp_dh_group", *ADDITIONAL_KES), (GROUPS,)),
    }
    for registry in registries.get(directive, (INTEGRITIES,)):
        if name in registry:
            return registry[name].weak
    return ""


def aead(entry: Algorithm) -> bool:
    """Whether an encryption algorithm brings its own integrity."""
    cipher = ENCRYPTION_KEYWORDS.get(entry.name, ("", 0))[0]
    return bool(cipher) and CIPHERS[cipher].aead
