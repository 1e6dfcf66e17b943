# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv2's keys: SKEYSEED and what follows from it, the AUTH payload's value, KEYMAT (RFC 7296 2.14, 2.15, 2.17).

Additional key exchanges replace all keys, one after the other (RFC 9370 2.2.2), or add to what a child's come from
(2.2.4); a post-quantum pre-shared key is mixed into what authenticates and what children's keys come from (RFC 8784 3).
"""

from __future__ import annotations

import copy

from .algorithms import Cipher, Integrity, Prf
from .mac import prf, prf_plus
from .sk_cipher import SkKey, sk_key

_KEY_PAD = b"Key Pad for IKEv2"
_AES_NONCE = 8  # bytes of each nonce that key an AES-based prf, RFC 7296 2.14


def skeyseed(algorithm: Prf, nonce_i: bytes, nonce_r: bytes, shared: bytes) -> bytes:
    """SKEYSEED of a new IKE SA; ``shared`` is g^ir."""
    if algorithm.digest.startswith("aes"):
        nonce_i, nonce_r = nonce_i[:_AES_NONCE], nonce_r[:_AES_NONCE]
    return prf(algorithm, nonce_i + nonce_r, shared)


def psk_auth(algorithm: Prf, psk: bytes, octets: bytes) -> bytes:
    """AUTH with a shared key: prf(prf(key, "Key Pad for IKEv2"), octets) (RFC 7296 2.15)."""
    return prf(algorithm, prf(algorithm, psk, _KEY_PAD), octets)


class IkeKeys:
    """The keys of one IKE SA. ``initiator`` is whether we began it: it decides which key seals and which opens."""

    __slots__ = ("_d", "_pi", "_pr", "_prf", "incoming", "outgoing")

    def __init__(
        self,
        algorithm: Prf,
        cipher: Cipher,
        bits: int,
        integrity: Integrity | None,
        seed: bytes,
        nonces: bytes,
        spis: bytes,
        initiator: bool,
    ) -> None:
        self._prf = algorithm
        key, encryption = algorithm.key, cipher.material(bits)
        authentication = integrity.key if integrity else 0
        sizes = (key, authentication, authentication, encryption, encryption, key, key)
        stream = prf_plus(algorithm, seed, nonces + spis, sum(sizes))
        parts = []
        for size in sizes:
            parts.append(stream[:size])
            stream = stream[size:]
        self._d, a_i, a_r, e_i, e_r, self._pi, self._pr = parts
        ours = sk_key(cipher, e_i, integrity, a_i)
        theirs = sk_key(cipher, e_r, integrity, a_r)
        self.outgoing: SkKey = ours if initiator else theirs
        self.incoming: SkKey = theirs if initiator else ours

    def auth_i(self, psk: bytes, message: bytes, nonce_r: bytes, id_body: bytes, between: bytes = b"") -> bytes:
        """The initiator's AUTH value, over its own first message, the responder's nonce and its own IDi body.

        ``between`` is what IKE_INTERMEDIATE adds: IntAuth of RFC 9242 3.3.1.
        """
        return psk_auth(self._prf, psk, message + nonce_r + prf(self._prf, self._pi, id_body) + between)

    def auth_r(self, psk: bytes, message: bytes, nonce_i: bytes, id_body: bytes, between: bytes = b"") -> bytes:
        """The responder's AUTH value, over its own first message, the initiator's nonce and its own IDr body."""
        return psk_auth(self._prf, psk, message + nonce_i + prf(self._prf, self._pr, id_body) + between)

    def intermediate_i(self, octets: bytes) -> bytes:
        """IntAuth_iN, over IntAuth_i(N-1) and the initiator's N-th IKE_INTERMEDIATE message (RFC 9242 3.3.1)."""
        return prf(self._prf, self._pi, octets)

    def intermediate_r(self, octets: bytes) -> bytes:
        """IntAuth_rN, the responder's."""
        return prf(self._prf, self._pr, octets)

    def with_ppk(self, ppk: bytes) -> IkeKeys:
        """These keys with a post-quantum pre-shared key in SK_d, SK_pi and SK_pr; what seals stays (RFC 8784 3)."""
        mixed = copy.copy(self)
        mixed._d, mixed._pi, mixed._pr = (
            prf_plus(self._prf, ppk, key, len(key)) for key in (self._d, self._pi, self._pr)
        )
        return mixed

    def keymat(self, size: int, nonces: bytes, shared: bytes = b"", additional: bytes = b"") -> bytes:
        """KEYMAT for a child's SAs: the initiator's outbound first. ``nonces`` is Ni | Nr, ``shared`` PFS's g^ir.

        ``additional`` is SK(1) | … | SK(n) of the additional key exchanges.
        """
        return prf_plus(self._prf, self._d, shared + nonces + additional, size)

    def successor_seed(self, nonces: bytes, shared: bytes, additional: bytes = b"") -> bytes:
        """SKEYSEED of the IKE SA that replaces this one (RFC 7296 2.18), or of the next keys of the same."""
        return prf(self._prf, self._d, shared + nonces + additional)
