# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a path ESP leaves for what it carries: a tunnel's inner MTU, and TCP's segment size that follows."""

from __future__ import annotations

from ..module_utils.ike.config.build import Profile as Cryptography
from ..module_utils.ike.crypto.algorithms import CIPHERS, ENCRYPTION_KEYWORDS, INTEGRITIES, Cipher
from .plan import TunnelEnd

IP_HEADERS = {4: 20, 6: 40}  # bytes, without options (RFC 791, RFC 8200)
_ESP_HEADER = 8  # SPI and sequence number, RFC 4303 2
_ESP_TRAILER = 2  # pad length and next header, RFC 4303 2; they end at a boundary of four bytes
_UDP_HEADER = 8  # ESP in UDP, RFC 3948 2.1
_TCP_HEADER = 20  # without options, which a sender takes from the segment itself (RFC 6691)


def inner_mtu(cryptography: Cryptography, path_mtu: int, version: int, encapsulated: bool) -> int:
    """The largest packet in bytes that fits a path of ``path_mtu``, in a tunnel whose outer packets are of ``version``.

    Where the profile leaves a choice of algorithms, the one that takes most counts. ``encapsulated``: in UDP.
    """
    outer = IP_HEADERS[version] + (_UDP_HEADER if encapsulated else 0)
    ciphers = [CIPHERS[ENCRYPTION_KEYWORDS[keyword][0]] for keyword in cryptography.esp_encryption]
    return min(_carried(cipher, path_mtu - outer, tag) for cipher in ciphers for tag in _tags(cipher, cryptography))


def maximum_segment(end: TunnelEnd, version: int) -> int:
    """TCP's maximum segment size between networks of this IP version, through one tunnel."""
    room = inner_mtu(end.profile.cryptography, end.path_mtu, end.family, end.encapsulated)
    return room - IP_HEADERS[version] - _TCP_HEADER


def _carried(cipher: Cipher, room: int, tag: int) -> int:
    """What one ESP packet of ``room`` bytes carries: its ciphertext is whole blocks, of four bytes at least."""
    block = max(cipher.block, 4)
    return (room - _ESP_HEADER - cipher.iv - tag) // block * block - _ESP_TRAILER


def _tags(cipher: Cipher, cryptography: Cryptography) -> list[int]:
    """The bytes of each integrity check value that can stand at the end."""
    return [cipher.icv] if cipher.aead else [INTEGRITIES[name].icv for name in cryptography.esp_integrity] or [0]
