# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1's keys, hashes and IVs, for authentication with pre-shared keys (RFC 2409 5, 5.4, 5.5, appendix B)."""

from __future__ import annotations

import hashlib
import hmac
import struct

from .algorithms import Cipher, Hash
from .cipher import Cbc


def _prf(hash_algorithm: Hash, key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hash_algorithm.digest)


def _expand(hash_algorithm: Hash, key: bytes, size: int) -> bytes:
    """Key material longer than one prf block: K1 = prf(K, 0), K2 = prf(K, K1), … (RFC 2409 appendix B)."""
    block = _prf(hash_algorithm, key, b"\0")
    material = block
    while len(material) < size:
        block = _prf(hash_algorithm, key, block)
        material += block
    return material[:size]


class Phase1Keys:
    """What both ends derive once they have exchanged public values and nonces.

    ``cky_i`` and ``cky_r`` are the cookies, ``g_xy`` the shared secret, ``g_xi`` and ``g_xr`` the public values.
    """

    __slots__ = ("_hashed", "_skeyid", "_skeyid_a", "_skeyid_d", "cipher", "hash", "iv")

    def __init__(
        self,
        hash_algorithm: Hash,
        cipher: Cipher,
        bits: int,
        psk: bytes,
        cky_i: bytes,
        cky_r: bytes,
        nonce_i: bytes,
        nonce_r: bytes,
        g_xi: bytes,
        g_xr: bytes,
        g_xy: bytes,
    ) -> None:
        self.hash = hash_algorithm
        cookies = cky_i + cky_r
        self._skeyid = _prf(hash_algorithm, psk, nonce_i + nonce_r)
        self._skeyid_d = _prf(hash_algorithm, self._skeyid, g_xy + cookies + b"\0")
        self._skeyid_a = _prf(hash_algorithm, self._skeyid, self._skeyid_d + g_xy + cookies + b"\1")
        skeyid_e = _prf(hash_algorithm, self._skeyid, self._skeyid_a + g_xy + cookies + b"\2")
        size = cipher.material(bits)
        key = skeyid_e[:size] if size <= len(skeyid_e) else _expand(hash_algorithm, skeyid_e, size)
        self.cipher = Cbc(cipher, key)
        self.iv = self._digest(g_xi + g_xr)
        self._hashed = (g_xi, g_xr, cky_i, cky_r)

    def _digest(self, data: bytes) -> bytes:
        """A first IV: a hash, cut to the cipher's block."""
        return hashlib.new(self.hash.digest, data).digest()[: self.cipher.block]

    def hash_i(self, sa_body: bytes, id_body: bytes) -> bytes:
        """HASH_I over the initiator's SA and ID payload bodies (RFC 2409 5)."""
        g_xi, g_xr, cky_i, cky_r = self._hashed
        return _prf(self.hash, self._skeyid, g_xi + g_xr + cky_i + cky_r + sa_body + id_body)

    def hash_r(self, sa_body: bytes, id_body: bytes) -> bytes:
        """HASH_R over the initiator's SA and the responder's ID payload bodies (RFC 2409 5)."""
        g_xi, g_xr, cky_i, cky_r = self._hashed
        return _prf(self.hash, self._skeyid, g_xr + g_xi + cky_r + cky_i + sa_body + id_body)

    def phase2_iv(self, last_block: bytes, message_id: int) -> bytes:
        """The first IV of an exchange after phase 1, whose last ciphertext block is ``last_block``."""
        return self._digest(last_block + struct.pack(">I", message_id))

    def hash_1(self, message_id: int, chain: bytes) -> bytes:
        """HASH(1), of quick mode and of informational exchanges: over everything behind the hash payload."""
        return _prf(self.hash, self._skeyid_a, struct.pack(">I", message_id) + chain)

    def hash_2(self, message_id: int, nonce_i: bytes, chain: bytes) -> bytes:
        """HASH(2) of quick mode."""
        return _prf(self.hash, self._skeyid_a, struct.pack(">I", message_id) + nonce_i + chain)

    def hash_3(self, message_id: int, nonce_i: bytes, nonce_r: bytes) -> bytes:
        """HASH(3) of quick mode."""
        return _prf(self.hash, self._skeyid_a, b"\0" + struct.pack(">I", message_id) + nonce_i + nonce_r)

    def keymat(self, size: int, g_xy: bytes, protocol: int, spi: bytes, nonce_i: bytes, nonce_r: bytes) -> bytes:
        """KEYMAT for the SA whose receiver chose ``spi`` (RFC 2409 5.5); ``g_xy`` is empty without PFS."""
        seed = g_xy + bytes([protocol]) + spi + nonce_i + nonce_r
        block = b""
        material = b""
        while len(material) < size:
            block = _prf(self.hash, self._skeyid_d, block + seed)
            material += block
        return material[:size]

    def forget_phase1(self) -> None:
        """Drop what only phase 1's authentication needed."""
        self._skeyid = b""
        self._hashed = (b"", b"", b"", b"")
