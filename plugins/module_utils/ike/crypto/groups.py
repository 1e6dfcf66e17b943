# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key exchange methods: fresh key pairs and shared secrets (RFC 2409 6, RFC 3526, RFC 5903, RFC 8031, FIPS 203).

A peer's public value is checked before any arithmetic (RFC 6989): its length, its range, its curve.
"""

from __future__ import annotations

import os

from . import backend
from .algorithms import GROUPS, Group


class KeyExchangeError(Exception):
    """A public value that no honest peer would send."""


class KeyPair:
    """One side of a key exchange. ``public`` has ``group.public`` bytes; the private half never leaves."""

    __slots__ = ("_private", "group", "public")

    def __init__(self, group: Group, public: bytes, private: object) -> None:
        self.group = group
        self.public = public
        self._private = private

    def shared(self, peer: bytes) -> bytes:
        """The shared secret: as long as the modulus (modp) or the coordinate, 32 bytes of a KEM.

        ``peer`` is the other end's public value, which of a KEM is its ciphertext. KeyExchangeError on a bad value.
        """
        _check_length(self.group, peer, self.group.answer or self.group.public)
        try:
            return _METHODS[self.group.kind][1](self.group, self._private, peer)
        except ValueError as error:
            raise KeyExchangeError("a public value outside of {}".format(self.group.name)) from error


def generate(group: Group) -> KeyPair:
    """A fresh key pair of this group."""
    public, private = _METHODS[group.kind][0](group)
    return KeyPair(group, public, private)


def encapsulate(group: Group, peer: bytes) -> tuple[bytes, bytes]:
    """A KEM's responder: (the public value to answer with, the shared secret). KeyExchangeError on a bad value."""
    _check_length(group, peer, group.public)
    try:
        secret, ciphertext = _mlkem(group)[1].from_public_bytes(peer).encapsulate()
    except ValueError as error:
        raise KeyExchangeError("a public value outside of {}".format(group.name)) from error
    return ciphertext, secret


def _check_length(group: Group, peer: bytes, wanted: int) -> None:
    if len(peer) != wanted:
        raise KeyExchangeError("{} wants a public value of {} bytes, not {}".format(group.name, wanted, len(peer)))


# modp: RFC 2409 6.1, 6.2 and RFC 3526. Every modulus is 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + k).
_MODP_OFFSETS = {
    768: 149686,
    1024: 129093,
    1536: 741804,
    2048: 124476,
    3072: 1690314,
    4096: 240904,
    6144: 929484,
    8192: 4743158,
}
_PRIVATE_BITS = 320  # twice the strength of the largest group, and then some (RFC 3526 8); short ones are quick
_LIBRARY_FLOOR = 2048  # newer versions of cryptography take 40 ms and more to load keys of smaller groups


def _pi_floor(bits: int) -> int:
    """floor(2^bits * pi), by Machin's formula with guard bits."""
    guard = 64
    one = 1 << (bits + guard)

    def arctan_inverse(x: int) -> int:
        term = one // x
        total = term
        divisor = 1
        sign = -1
        while term:
            term //= x * x
            divisor += 2
            total += sign * (term // divisor)
            sign = -sign
        return total

    return (4 * (4 * arctan_inverse(5) - arctan_inverse(239))) >> guard


def _modulus(bits: int) -> int:
    base = (1 << bits) - (1 << (bits - 64)) - 1
    return base + (1 << 64) * (_pi_floor(bits - 130) + _MODP_OFFSETS[bits])


_MODULI: dict[int, int] = {}
_PARAMETERS: dict[int, object] = {}


def modulus(group: Group) -> int:
    """The prime of a modp group; computed once."""
    if group.bits not in _MODULI:
        _MODULI[group.bits] = _modulus(group.bits)
    return _MODULI[group.bits]


def _parameter_numbers(group: Group) -> object:
    return backend.dh.DHParameterNumbers(modulus(group), 2)


def _generate_modp(group: Group) -> tuple[bytes, object]:
    if group.bits < _LIBRARY_FLOOR:
        private = int.from_bytes(os.urandom(_PRIVATE_BITS // 8), "big")
        return pow(2, private, modulus(group)).to_bytes(group.public, "big"), private
    if group.bits not in _PARAMETERS:
        _PARAMETERS[group.bits] = _parameter_numbers(group).parameters()
    key = _PARAMETERS[group.bits].generate_private_key()
    return key.public_key().public_numbers().y.to_bytes(group.public, "big"), key


def _shared_modp(group: Group, private: object, peer: bytes) -> bytes:
    value = int.from_bytes(peer, "big")
    if not 1 < value < modulus(group) - 1:
        raise ValueError("outside of 2..p-2")
    if isinstance(private, int):
        return pow(value, private, modulus(group)).to_bytes(group.public, "big")
    public = backend.dh.DHPublicNumbers(value, _parameter_numbers(group)).public_key()
    return private.exchange(public).rjust(group.public, b"\0")


def _curve(group: Group) -> object:
    return {256: backend.ec.SECP256R1, 384: backend.ec.SECP384R1, 521: backend.ec.SECP521R1}[group.bits]()


def _generate_ecp(group: Group) -> tuple[bytes, object]:
    key = backend.ec.generate_private_key(_curve(group))
    numbers = key.public_key().public_numbers()
    half = group.public // 2
    return numbers.x.to_bytes(half, "big") + numbers.y.to_bytes(half, "big"), key


def _shared_ecp(group: Group, private: object, peer: bytes) -> bytes:
    half = group.public // 2
    numbers = backend.ec.EllipticCurvePublicNumbers(
        int.from_bytes(peer[:half], "big"), int.from_bytes(peer[half:], "big"), _curve(group)
    )
    return private.exchange(backend.ec.ECDH(), numbers.public_key())


def _generate_x25519(group: Group) -> tuple[bytes, object]:
    key = backend.x25519.X25519PrivateKey.generate()
    return _raw_public(key), key


def _shared_x25519(group: Group, private: object, peer: bytes) -> bytes:
    return private.exchange(backend.x25519.X25519PublicKey.from_public_bytes(peer))


def _generate_x448(group: Group) -> tuple[bytes, object]:
    key = backend.x448.X448PrivateKey.generate()
    return _raw_public(key), key


def _shared_x448(group: Group, private: object, peer: bytes) -> bytes:
    return private.exchange(backend.x448.X448PublicKey.from_public_bytes(peer))


def _raw_public(key: object) -> bytes:
    return key.public_key().public_bytes(backend.Encoding.Raw, backend.PublicFormat.Raw)


def _mlkem(group: Group) -> tuple[object, object]:
    """The library's classes: private, public."""
    names = ("MLKEM{}{}Key".format(group.bits, half) for half in ("Private", "Public"))
    private, public = (getattr(backend.mlkem, name) for name in names)
    return private, public


def _generate_mlkem(group: Group) -> tuple[bytes, object]:
    key = _mlkem(group)[0].generate()
    return key.public_key().public_bytes_raw(), key


def _shared_mlkem(group: Group, private: object, peer: bytes) -> bytes:
    return private.decapsulate(peer)


_METHODS = {
    "modp": (_generate_modp, _shared_modp),
    "ecp": (_generate_ecp, _shared_ecp),
    "x25519": (_generate_x25519, _shared_x25519),
    "x448": (_generate_x448, _shared_x448),
    "mlkem": (_generate_mlkem, _shared_mlkem),
}


def supported(group: Group) -> bool:
    """Whether this method can be run here."""
    return not lacking(group)


def lacking(group: Group) -> str:
    """What this method needs and isn't here; "" where it can be run."""
    if backend.IMPORT_ERROR is not None:
        return "the Python package cryptography is missing"
    if group.kem and not backend.runs_mlkem():
        return "{} needs cryptography 48 or newer on OpenSSL 3.5 or newer; here is {}".format(
            group.name, backend.versions()
        )
    return ""


def all_lacking() -> dict[str, str]:
    """The methods that can't be run here, and what each would need."""
    reasons = {name: lacking(group) for name, group in GROUPS.items()}
    return {name: reason for name, reason in reasons.items() if reason}
