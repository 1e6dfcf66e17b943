"""Coverage-guided fuzzing of the wire floor: a datagram in, a message or a WireError out, and nothing else.

``python3 tests/fuzz/fuzz_wire.py [libFuzzer options] tests/fuzz/corpus/wire`` with atheris installed; the unit tests
replay the stored corpus without it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "module_utils"))

from ike.wire import v1, v2
from ike.wire.cursor import WireError
from ike.wire.header import decode_header

V1_PAYLOADS = (
    v1.SaPayload,
    v1.KeyExchange,
    v1.Hash,
    v1.Nonce,
    v1.VendorId,
    v1.NatDiscovery,
    v1.Identification,
    v1.NatOriginalAddress,
    v1.Notification,
    v1.Delete,
)
V2_PAYLOADS = (
    v2.SaPayload,
    v2.KeyExchange,
    v2.IdInitiator,
    v2.IdResponder,
    v2.Authentication,
    v2.Nonce,
    v2.VendorId,
    v2.Notification,
    v2.Delete,
    v2.TsInitiator,
    v2.TsResponder,
)


def run_one(data: bytes) -> None:
    """One datagram through both versions' parsers. Raises only where the project is at fault."""
    try:
        header = decode_header(data)
    except WireError:
        return
    for message_class, payload_classes in ((v1.Message, V1_PAYLOADS), (v2.Message, V2_PAYLOADS)):
        try:
            message = message_class.clear(header, data)
        except WireError:
            continue
        for payload_class in payload_classes:
            _decode_all(message, payload_class)
    try:
        v2.envelope(header, data)
    except WireError:
        return


def _decode_all(message: v1.Message | v2.Message, payload_class: type) -> None:
    """Whatever decodes must encode, and decode to the same again."""
    try:
        payloads = message.all(payload_class)
    except WireError:
        return
    for payload in payloads:
        if payload_class.decode(payload.encode()) != payload:
            raise AssertionError("encoding changes {}".format(payload_class.__name__))


def main() -> None:
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, run_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
