"""IKEv2 messages: recorded datagrams parse and rebuild to the byte; no bytes make the parser do worse than refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.wire import v2
from ike.wire.chain import build
from ike.wire.cursor import WireError
from ike.wire.header import HEADER_SIZE, VERSION_2, Header, decode_header
from ike.wire.v2_numbers import Exchange, Flag, Payload
from tests.unit.handshakes import IKEV2, handshake

DECODERS = {
    cls.TYPE: cls
    for cls in (
        v2.SaPayload,
        v2.KeyExchange,
        v2.IdInitiator,
        v2.IdResponder,
        v2.Authentication,
        v2.Nonce,
        v2.Notification,
        v2.Delete,
        v2.VendorId,
        v2.TsInitiator,
        v2.TsResponder,
    )
}

CLEAR = [
    pytest.param(datagram["data"], id="{}-{}".format(name, datagram["n"]))
    for name in IKEV2
    for datagram in handshake(name)["datagrams"]
    if decode_header(datagram["data"]).exchange == Exchange.IKE_SA_INIT
]


def decode(message: v2.Message) -> list[v2.AnyPayload]:
    return [DECODERS[raw.type].decode(raw.body) for raw in message.raw if raw.type in DECODERS]


@pytest.mark.parametrize("datagram", CLEAR)
def test_a_recorded_datagram_is_parsed_and_rebuilt_to_the_byte(datagram):
    header = decode_header(datagram)
    payloads = decode(v2.Message.clear(header, datagram))
    rebuilt = v2.encode_clear(header.spi_i, header.spi_r, header.exchange, header.flags, header.message_id, payloads)
    assert rebuilt == datagram


def parse(datagram: bytes) -> None:
    """Parse as far as anybody may before authentication; only WireError is allowed."""
    try:
        header = decode_header(datagram)
        decode(v2.Message.clear(header, datagram))
        v2.envelope(header, datagram)
    except WireError:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(data):
    parse(data)


@given(st.sampled_from(CLEAR), st.integers(0, 500), st.integers(0, 255))
def test_a_recorded_datagram_with_one_byte_changed_is_parsed_or_refused(parameter, at, value):
    data = bytearray(parameter.values[0])
    data[at % len(data)] = value
    parse(bytes(data))


@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=100))
def test_any_body_is_decoded_or_refused_and_decoding_is_stable(kind, body):
    try:
        payload = DECODERS[kind].decode(body)
    except WireError:
        return
    if getattr(payload, "selectors", True):  # selectors of unknown types only: nothing that could be encoded
        assert DECODERS[kind].decode(payload.encode()) == payload


def message(*payloads: tuple[int, bytes], flags: int = 0) -> v2.Message:
    first, chain = build(payloads)
    header = Header(b"i" * 8, b"r" * 8, first, VERSION_2, Exchange.IKE_SA_INIT, flags, 0, HEADER_SIZE + len(chain))
    return v2.Message.clear(header, header.encode() + chain)


def test_reserved_bits_mean_nothing():
    datagram = bytearray(CLEAR[0].values[0])
    datagram[HEADER_SIZE + 1] |= 0x7F
    assert v2.Message.clear(decode_header(bytes(datagram)), bytes(datagram)).unknown_critical() is None


@pytest.mark.parametrize("kind", [1, 4, 32, 49, 127, 255])
def test_an_unknown_payload_counts_only_when_critical(kind):
    plain = message((kind, b"x"))
    assert plain.unknown_critical() is None
    data = bytearray(plain.datagram)
    data[HEADER_SIZE + 1] |= 0x80
    assert v2.Message.clear(decode_header(bytes(data)), bytes(data)).unknown_critical() == kind


@pytest.mark.parametrize("size", [0, 1, 15, 257])
def test_a_nonce_has_16_to_256_bytes(size):
    with pytest.raises(WireError, match="nonce"):
        v2.Nonce.decode(bytes(size))
    assert v2.Nonce.decode(bytes(16)).data == bytes(16)


@pytest.mark.parametrize(
    "body",
    [
        b"\0\0\0\0",  # no selector
        b"\xff\0\0\0" + bytes(16),  # more than there are
        b"\1\0\0\0\7\0\0\4" + bytes(12),  # shorter than its own head
        b"\1\0\0\0\7\0\0\x28" + bytes(36),  # IPv4 with the length of IPv6
        b"\1\0\0\0\x08\0\0\x10" + bytes(12),  # IPv6 with the length of IPv4
        b"\1\0\0\0\7\0\0\x10" + bytes(13),  # left-over bytes
    ],
)
def test_traffic_selectors_that_lie_are_refused(body):
    with pytest.raises(WireError):
        v2.TsInitiator.decode(body)


def test_a_selector_of_an_unknown_type_matches_nothing():
    known = v2.Selector(7, 0, 0, 65535, bytes(4), b"\xff" * 4)
    body = b"\2\0\0\0" + b"\x09\0\0\x0c" + bytes(8) + known.encode()
    assert v2.TsInitiator.decode(body).selectors == (known,)


@pytest.mark.parametrize("count, size, data", [(0xFFFF, 4, b"\0" * 8), (2, 0, b""), (1, 4, b"\0" * 8)])
def test_a_delete_that_lies_about_its_spis_is_refused(count, size, data):
    body = bytes([3, size]) + count.to_bytes(2, "big") + data
    with pytest.raises(WireError, match="claims"):
        v2.Delete.decode(body)


def test_a_transform_with_unknown_attributes_has_no_key_length():
    assert v2.Transform(1, 12).key_bits == 0
    assert v2.Transform(1, 12, ((14, 128),)).key_bits == 128
    assert v2.Transform(1, 12, ((14, 128), (15, 1))).key_bits is None
    assert v2.Transform(1, 12, ((15, 128),)).key_bits is None


def test_transform_counts_that_lie_are_refused():
    proposal = v2.Proposal(1, 3, b"spi!", (v2.Transform(1, 12),)).encode()
    for count in (0, 2, 255):
        with pytest.raises(WireError, match="claims"):
            v2.SaPayload.decode(
                b"\0\0" + (4 + len(proposal)).to_bytes(2, "big") + proposal[:3] + bytes([count]) + proposal[4:]
            )


def test_an_envelope_is_one_sealed_payload_and_nothing_else():
    inside = v2.Envelope(Payload.IDI, HEADER_SIZE + 4)
    datagram = v2.sealed_head(b"i" * 8, b"r" * 8, Exchange.IKE_AUTH, Flag.INITIATOR, 1, inside, 5) + b"12345"
    assert v2.envelope(decode_header(datagram), datagram) == inside
    two = message((Payload.NOTIFY, b"\0\0\0\1"), (Payload.SK, b"x" * 40)).datagram
    with pytest.raises(WireError, match="one SK"):
        v2.envelope(decode_header(two), two)


@pytest.mark.parametrize(
    "number, total, fits", [(1, 2, True), (2, 2, True), (0, 2, False), (3, 2, False), (0, 0, False)]
)
def test_fragment_numbers(number, total, fits):
    datagram = message((Payload.SKF, number.to_bytes(2, "big") + total.to_bytes(2, "big") + b"x" * 30)).datagram
    if fits:
        assert v2.envelope(decode_header(datagram), datagram).number == number
    else:
        with pytest.raises(WireError, match="fragment"):
            v2.envelope(decode_header(datagram), datagram)
