# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that imports ``cryptography``, from Debian 12's 38 to today's.

Everything above asks this module for primitives, and for whether an algorithm can be run here at all.
"""

from __future__ import annotations

import functools
import warnings

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TripleDES warns that it moves to "decrepit"; the next block follows it
        from cryptography import __version__ as version
        from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
        from cryptography.hazmat.backends.openssl import backend as openssl
        from cryptography.hazmat.primitives.asymmetric import dh, ec, x448, x25519
        from cryptography.hazmat.primitives.ciphers import Cipher, modes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.cmac import CMAC
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        try:
            from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
        except ImportError:
            from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES
    IMPORT_ERROR = None
except ImportError as error:
    IMPORT_ERROR = error

try:
    from cryptography.hazmat.primitives.asymmetric import mlkem
except ImportError:
    mlkem = None  # before 48

__all__ = [
    "AES",
    "AESGCM",
    "CMAC",
    "ChaCha20Poly1305",
    "Cipher",
    "Encoding",
    "InvalidTag",
    "PublicFormat",
    "TripleDES",
    "dh",
    "ec",
    "mlkem",
    "modes",
    "require",
    "runs_mlkem",
    "versions",
    "x448",
    "x25519",
]


@functools.cache
def runs_mlkem() -> bool:
    """Whether ML-KEM can be run here: tried, since it takes a library and an OpenSSL that both have it."""
    if IMPORT_ERROR is not None or mlkem is None:
        return False
    try:
        mlkem.MLKEM768PrivateKey.generate()
    except UnsupportedAlgorithm:
        return False
    return True


def versions() -> str:
    """What we run on, for people: ``cryptography 38.0.4, OpenSSL 3.0.19``."""
    if IMPORT_ERROR is not None:
        return "no cryptography"
    return "cryptography {}, {}".format(version, " ".join(openssl.openssl_version_text().split()[:2]))


class CryptographyMissing(Exception):
    """The Python package ``cryptography`` can't be imported."""


def require() -> None:
    """Raise :class:`CryptographyMissing`, saying what to install, unless the primitives are there."""
    if IMPORT_ERROR is not None:
        raise CryptographyMissing(
            "the Python package cryptography (38 or newer) is missing: install python3-cryptography ({})".format(
                IMPORT_ERROR
            )
        )
