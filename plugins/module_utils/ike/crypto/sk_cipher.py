# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protection of IKEv2 messages: AEAD (RFC 5282, 7634), or encryption with a keyed hash (RFC 7296 3.14).

One direction's key seals or opens; both kinds look alike from outside:

    sealed = head | IV | ciphertext of (content | padding | pad length) | integrity check value
"""

from __future__ import annotations

import hmac
import os
import struct
from typing import Union

from . import backend, cipher, mac
from .algorithms import Cipher, Integrity

_IV_COUNTER = struct.Struct(">Q")
_CTR_FIRST = b"\0\0\0\1"  # RFC 5930 2.1


class IntegrityError(Exception):
    """Sealed bytes that nobody with this key has made, or that hold no content."""


class AeadKey:
    """One direction of an AEAD: ``material`` is key and salt. IVs count up, so that none is used twice."""

    __slots__ = ("_cipher", "_count", "_open", "_salt", "_seal")

    def __init__(self, algorithm: Cipher, material: bytes) -> None:
        key, self._salt = material[: -algorithm.salt], material[-algorithm.salt :]
        self._cipher = algorithm
        self._count = 0
        primitive = _PRIMITIVES[algorithm.name](key, algorithm.icv)
        self._seal = primitive.encrypt
        self._open = primitive.decrypt

    def size(self, content: int) -> int:
        """How many bytes stand behind the head for so many bytes of content."""
        return self._cipher.iv + content + 1 + self._cipher.icv

    def seal(self, head: bytes, content: bytes) -> bytes:
        """The whole datagram; ``head`` is authenticated and names the length that ``size`` gave."""
        iv = _IV_COUNTER.pack(self._count)
        self._count += 1
        return head + iv + self._seal(self._salt + iv, content + b"\0", head)

    def open(self, datagram: bytes, at: int) -> bytes:
        """The content of a datagram whose head ends ``at``. Raises IntegrityError."""
        begin = at + self._cipher.iv
        if len(datagram) < begin + 1 + self._cipher.icv:
            raise IntegrityError("{} bytes are too few to be sealed".format(len(datagram) - at))
        try:
            padded = self._open(self._salt + datagram[at:begin], datagram[begin:], datagram[:at])
        except backend.InvalidTag:
            raise IntegrityError("the integrity check fails") from None
        return _unpadded(padded)


class MacKey:
    """One direction of a cipher in CBC or counter mode with a keyed hash over everything before it."""

    __slots__ = ("_cipher", "_integrity", "_integrity_key", "_key")

    def __init__(self, algorithm: Cipher, material: bytes, integrity: Integrity, integrity_key: bytes) -> None:
        self._cipher = algorithm
        self._key = material
        self._integrity = integrity
        self._integrity_key = integrity_key

    def size(self, content: int) -> int:
        """How many bytes stand behind the head for so many bytes of content."""
        block = self._cipher.block
        return self._cipher.iv + -(-(content + 1) // block) * block + self._integrity.icv

    def seal(self, head: bytes, content: bytes, iv: bytes | None = None) -> bytes:
        """The whole datagram; ``head`` is authenticated and names the length that ``size`` gave."""
        iv = iv or os.urandom(self._cipher.iv)
        count = -(len(content) + 1) % self._cipher.block
        padded = content + bytes(range(count, 0, -1)) + bytes([count])  # racoon2's pattern
        sealed = head + iv + _run(self._cipher, self._key, iv, padded, encrypt=True)
        return sealed + mac.icv(self._integrity, self._integrity_key, sealed)

    def open(self, datagram: bytes, at: int) -> bytes:
        """The content of a datagram whose head ends ``at``. Raises IntegrityError."""
        begin, end = at + self._cipher.iv, len(datagram) - self._integrity.icv
        if end <= begin or (end - begin) % self._cipher.block:
            raise IntegrityError("{} bytes are no sealed blocks".format(len(datagram) - at))
        expected = mac.icv(self._integrity, self._integrity_key, datagram[:end])
        if not hmac.compare_digest(expected, datagram[end:]):
            raise IntegrityError("the integrity check fails")
        return _unpadded(_run(self._cipher, self._key, datagram[at:begin], datagram[begin:end], encrypt=False))


SkKey = Union[AeadKey, MacKey]


def sk_key(algorithm: Cipher, material: bytes, integrity: Integrity | None, integrity_key: bytes) -> SkKey:
    """One direction's key: SK_e* and SK_a* (which is empty with an AEAD)."""
    if integrity is None:
        return AeadKey(algorithm, material)
    return MacKey(algorithm, material, integrity, integrity_key)


def supported(algorithm: Cipher) -> bool:
    """Whether this cipher can protect IKEv2 messages here."""
    return backend.IMPORT_ERROR is None and (
        algorithm.name in _PRIMITIVES or algorithm.name == "aes_ctr" or cipher.supported(algorithm)
    )


def _unpadded(padded: bytes) -> bytes:
    """Content without padding, whose last byte counts what stands before it (RFC 7296 3.14)."""
    end = len(padded) - 1 - padded[-1]
    if end < 0:
        raise IntegrityError("{} bytes of padding in {} bytes".format(padded[-1], len(padded)))
    return padded[:end]


def _run(algorithm: Cipher, material: bytes, iv: bytes, data: bytes, encrypt: bool) -> bytes:
    if algorithm.name != "aes_ctr":
        cbc = cipher.Cbc(algorithm, material)
        return cbc.encrypt(iv, data) if encrypt else cbc.decrypt(iv, data)
    key, salt = material[: -algorithm.salt], material[-algorithm.salt :]
    context = backend.Cipher(backend.AES(key), backend.modes.CTR(salt + iv + _CTR_FIRST)).encryptor()
    return context.update(data) + context.finalize()


class _ShortTagGcm:
    """AES-GCM with a tag of less than 16 bytes, in the shape of ``cryptography``'s own AEADs."""

    __slots__ = ("_algorithm", "_tag")

    def __init__(self, key: bytes, tag: int) -> None:
        self._algorithm = backend.AES(key)
        self._tag = tag

    def encrypt(self, nonce: bytes, data: bytes, head: bytes) -> bytes:
        context = backend.Cipher(self._algorithm, backend.modes.GCM(nonce)).encryptor()
        context.authenticate_additional_data(head)
        return context.update(data) + context.finalize() + context.tag[: self._tag]

    def decrypt(self, nonce: bytes, data: bytes, head: bytes) -> bytes:
        mode = backend.modes.GCM(nonce, data[-self._tag :], min_tag_length=self._tag)
        context = backend.Cipher(self._algorithm, mode).decryptor()
        context.authenticate_additional_data(head)
        return context.update(data[: -self._tag]) + context.finalize()


_PRIMITIVES = {
    "aes_gcm": lambda key, tag: backend.AESGCM(key),
    "aes_gcm_12": _ShortTagGcm,
    "aes_gcm_8": _ShortTagGcm,
    "chacha20_poly1305": lambda key, tag: backend.ChaCha20Poly1305(key),
}
