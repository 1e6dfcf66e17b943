"""IKEv1 messages: recorded datagrams parse and rebuild to the byte; no bytes make the parser do worse than refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.wire import v1
from ike.wire.chain import MAX_PAYLOADS
from ike.wire.cursor import WireError
from ike.wire.header import HEADER_SIZE, Header, decode_header
from ike.wire.v1_numbers import Exchange, Flag, Payload
from tests.unit.handshakes import IKEV1, handshake

DECODERS = {
    cls.TYPE: cls
    for cls in (
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
}

DATAGRAMS = [
    pytest.param(datagram, id="{}-{}".format(name, datagram["n"]))
    for name in IKEV1
    for datagram in handshake(name)["datagrams"]
]


def decode(message: v1.Message) -> list[v1.AnyPayload]:
    return [DECODERS[raw.type].decode(raw.body) for raw in message.raw]


@pytest.mark.parametrize("datagram", DATAGRAMS)
def test_a_recorded_datagram_is_parsed_and_rebuilt_to_the_byte(datagram):
    header = decode_header(datagram["data"])
    if datagram["decrypted"] is None:
        payloads = decode(v1.Message.clear(header, datagram["data"]))
        rebuilt = v1.encode_clear(header.spi_i, header.spi_r, header.exchange, header.message_id, payloads)
    else:
        message = v1.Message(header, datagram["decrypted"])
        first, chain = v1.encode_chain(decode(message))
        padding = datagram["decrypted"][message.end :]
        assert chain + padding == datagram["decrypted"]
        rebuilt = v1.encode_encrypted_header(
            header.spi_i, header.spi_r, header.exchange, header.message_id, first, datagram["data"][HEADER_SIZE:]
        )
    assert rebuilt == datagram["data"]


def test_the_first_message_carries_what_the_how_to_shows():
    datagram = handshake("v1-3des-sha1-modp2048")["datagrams"][0]["data"]
    message = v1.Message.clear(decode_header(datagram), datagram)
    (proposal,) = message.get(v1.SaPayload).proposals
    assert message.types() == [Payload.SA, Payload.VID, Payload.VID]
    assert message.header.exchange == Exchange.MAIN_MODE
    assert proposal.transforms[0].attributes == ((11, 1), (12, 28800), (1, 5), (3, 1), (2, 2), (4, 14))


def refused_or_parsed(datagram: bytes) -> None:
    try:
        decode(v1.Message.clear(decode_header(datagram), datagram))
    except (WireError, KeyError):
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(data):
    refused_or_parsed(data)


@given(st.sampled_from(DATAGRAMS), st.integers(0, 400), st.integers(0, 255))
def test_a_recorded_datagram_with_one_byte_changed_is_parsed_or_refused(parameter, at, value):
    data = bytearray(parameter.values[0]["data"])
    data[at % len(data)] = value
    refused_or_parsed(bytes(data))


@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=100))
def test_any_body_is_decoded_or_refused_and_decoding_is_stable(kind, body):
    try:
        payload = DECODERS[kind].decode(body)
    except WireError:
        return
    assert DECODERS[kind].decode(payload.encode()) == payload


@pytest.mark.parametrize("length", range(HEADER_SIZE))
def test_a_datagram_shorter_than_a_header_is_refused(length):
    with pytest.raises(WireError, match="shorter"):
        decode_header(b"\1" * length)


@pytest.mark.parametrize("claimed", [0, 27, 28, 30, 2**32 - 1])
def test_a_header_that_lies_about_the_length_is_refused(claimed):
    datagram = Header(b"\1" * 8, bytes(8), 0, 0x10, 2, 0, 0, claimed).encode() + b"x"
    with pytest.raises(WireError, match="the header says"):
        decode_header(datagram)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 200])
def test_a_payload_that_lies_about_its_length_is_refused(length):
    body = b"\0\0" + length.to_bytes(2, "big") + b"xxxx"
    with pytest.raises(WireError, match="claims"):
        v1.Message(Header(b"\1" * 8, bytes(8), Payload.HASH, 0x10, 5, 0, 1, 36), body)


def test_the_number_of_payloads_is_bounded_exactly():
    def chain(count: int) -> v1.Message:
        payloads = [v1.VendorId(b"")] * count
        datagram = v1.encode_clear(b"\1" * 8, bytes(8), Exchange.MAIN_MODE, 0, payloads)
        return v1.Message.clear(decode_header(datagram), datagram)

    assert len(chain(MAX_PAYLOADS).raw) == MAX_PAYLOADS
    with pytest.raises(WireError, match="more than"):
        chain(MAX_PAYLOADS + 1)


def test_a_delete_that_lies_about_its_count_is_refused():
    body = v1.Delete(3, (b"\0\0\1\1",)).encode()
    with pytest.raises(WireError, match="65535 SPIs"):
        v1.Delete.decode(body[:6] + b"\xff\xff" + body[8:])


def test_the_encryption_flag_is_set_on_encrypted_messages():
    datagram = v1.encode_encrypted_header(b"\1" * 8, b"\2" * 8, Exchange.QUICK_MODE, 7, Payload.HASH, b"c" * 16)
    assert decode_header(datagram).flags == Flag.ENCRYPTION
