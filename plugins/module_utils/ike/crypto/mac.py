# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyed hashes: HMAC, and the two that are built on AES, as PRFs and as integrity algorithms.

RFC 2104, RFC 3566 and 4434 (XCBC), RFC 4493, 4494 and 4615 (CMAC).
"""

from __future__ import annotations

import hmac

from . import backend
from .algorithms import Integrity, Prf

_BLOCK = 16
_ZERO = bytes(_BLOCK)


def _aes_cbc_mac(key: bytes, data: bytes) -> bytes:
    context = backend.Cipher(backend.AES(key), backend.modes.CBC(_ZERO)).encryptor()
    return context.update(data)[-_BLOCK:]


def _xcbc(key: bytes, data: bytes) -> bytes:
    """AES-XCBC-MAC with a key of 16 bytes, untruncated (RFC 3566 4)."""
    k1, k2, k3 = (_aes_cbc_mac(key, bytes([number]) * _BLOCK) for number in (1, 2, 3))
    last = (len(data) - 1) // _BLOCK * _BLOCK if data else 0
    tail = data[last:]
    whole = len(tail) == _BLOCK
    block = tail if whole else (tail + b"\x80").ljust(_BLOCK, b"\0")
    masked = bytes(one ^ other for one, other in zip(block, k2 if whole else k3))
    return _aes_cbc_mac(k1, data[:last] + masked)


def _cmac(key: bytes, data: bytes) -> bytes:
    context = backend.CMAC(backend.AES(key))
    context.update(data)
    return context.finalize()


_AES_MACS = {"aes_xcbc": _xcbc, "aes_cmac": _cmac}


def _fitted(mac: str, key: bytes) -> bytes:
    """A PRF's key of any length as AES takes it (RFC 4434 2, RFC 4615 3)."""
    if len(key) > _BLOCK:
        return _AES_MACS[mac](_ZERO, key)
    return key.ljust(_BLOCK, b"\0") if mac == "aes_xcbc" or len(key) == _BLOCK else _AES_MACS[mac](_ZERO, key)


def prf(algorithm: Prf, key: bytes, data: bytes) -> bytes:
    """``algorithm.size`` bytes, for a key of any length."""
    mac = _AES_MACS.get(algorithm.digest)
    if mac is None:
        return hmac.digest(key, data, algorithm.digest)
    return mac(_fitted(algorithm.digest, key), data)


def prf_plus(algorithm: Prf, key: bytes, seed: bytes, size: int) -> bytes:
    """prf+ of RFC 7296 2.13: T1 | T2 | …, each over the one before, the seed, and a counter of one byte."""
    block = b""
    stream = b""
    counter = 0
    while len(stream) < size:
        counter += 1
        block = prf(algorithm, key, block + seed + bytes([counter]))
        stream += block
    return stream[:size]


def icv(algorithm: Integrity, key: bytes, data: bytes) -> bytes:
    """``algorithm.icv`` bytes; the key has ``algorithm.key`` of them."""
    mac = _AES_MACS.get(algorithm.digest)
    whole = hmac.digest(key, data, algorithm.digest) if mac is None else mac(key, data)
    return whole[: algorithm.icv]
