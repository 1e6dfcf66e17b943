"""The recorded handshakes of tests/vectors, as bytes."""

from __future__ import annotations

import json
from pathlib import Path

VECTORS = Path(__file__).parent.parent / "vectors"


def _bytes(value: object) -> object:
    """Hexadecimal strings as bytes, all through a JSON value; other values as they are."""
    if isinstance(value, dict):
        return {key: _bytes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    if isinstance(value, str) and len(value) % 2 == 0:
        try:
            return bytes.fromhex(value)
        except ValueError:
            return value
    return value


def handshake(name: str) -> dict:
    """One recorded handshake by its file's name, without ``.json``."""
    return _bytes(json.loads((VECTORS / (name + ".json")).read_text()))


IKEV1 = ("v1-3des-sha1-modp2048", "v1-3des-pfs")
IKEV2 = ("v2-aes128-sha1-modp2048", "v2-cookie")
