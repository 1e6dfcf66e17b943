# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block ciphers in CBC mode, as IKE messages use them. Sizes in bytes."""

from __future__ import annotations

from . import backend
from .algorithms import Cipher

_BLOCK_CIPHERS = {"3des_cbc": backend.TripleDES, "aes_cbc": backend.AES} if backend.IMPORT_ERROR is None else {}


def supported(cipher: Cipher) -> bool:
    """Whether this cipher can protect IKE messages here."""
    return cipher.name in _BLOCK_CIPHERS


class Cbc:
    """A cipher with its key. Padding is the caller's: data comes in whole blocks (RFC 2409 appendix B)."""

    __slots__ = ("_algorithm", "block")

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        self.block = cipher.block
        self._algorithm = _BLOCK_CIPHERS[cipher.name](key)

    def encrypt(self, iv: bytes, data: bytes) -> bytes:
        context = backend.Cipher(self._algorithm, backend.modes.CBC(iv)).encryptor()
        return context.update(data) + context.finalize()

    def decrypt(self, iv: bytes, data: bytes) -> bytes:
        context = backend.Cipher(self._algorithm, backend.modes.CBC(iv)).decryptor()
        return context.update(data) + context.finalize()
