# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kept packets, decoded for people. Of keys, nonces, hashes and proofs only the sizes are said."""

from __future__ import annotations

from typing import Any, Callable

from ..crypto.algorithms import GROUPS_BY_NUMBER
from ..policy import v1_proposals, v1_selectors, v2_proposals, v2_selectors
from ..policy.identity import describe_identity, printable
from ..wire import v1, v1_numbers, v2, v2_numbers
from ..wire.chain import RawPayload, walk
from ..wire.cursor import WireError
from ..wire.header import HEADER_SIZE, VERSION_2, Header
from ..wire.numbers import Protocol, name_of
from .trace import Packet

_SHOWN = 32  # bytes of a vendor id


def packet(kept: Packet, age: float) -> dict[str, Any]:
    """A packet as a dictionary fit for JSON: ``age`` in seconds, ``payloads`` as lines of text."""
    path = kept.path
    header = kept.header
    return {
        "age": round(age, 3),
        "direction": "sent" if kept.sent else "received",
        "times": kept.times,
        "local": "{}[{}]".format(path.local, path.local_port),
        "peer": "{}[{}]".format(path.peer, path.peer_port),
        "message": _title(header) if header else "{} bytes that are no message".format(len(kept.data)),
        "payloads": _payloads(kept, header) if header else [],
    }


def _title(header: Header) -> str:
    if header.version == VERSION_2:
        kind = "response" if header.flags & v2_numbers.Flag.RESPONSE else "request"
        name = name_of(v2_numbers.Exchange, header.exchange).replace("-", "_")
        return "IKEv2 {} {}, message id {}, SPIs {} {}".format(name, kind, header.message_id, *_spis(header))
    name = name_of(v1_numbers.Exchange, header.exchange).lower().replace("-", " ")
    number = ", message id {:#010x}".format(header.message_id) if header.message_id else ""
    return "IKEv{} {}{}, cookies {} {}".format(header.major, name, number, *_spis(header))


def _spis(header: Header) -> tuple[str, str]:
    return header.spi_i.hex(), header.spi_r.hex()


def _payloads(kept: Packet, header: Header) -> list[str]:
    chain = kept.data[HEADER_SIZE:]
    is_v2 = header.version == VERSION_2
    if not is_v2 and not kept.opened and header.flags & v1_numbers.Flag.ENCRYPTION:
        return ["encrypted, {} bytes".format(len(chain))]
    last = frozenset() if kept.opened or not is_v2 else frozenset({v2_numbers.Payload.SK, v2_numbers.Payload.SKF})
    try:
        found = walk(header.next_payload, chain, last)[0]
    except WireError as error:
        return ["can't be read as it was kept: {}".format(error)]
    texts, kinds = (_V2, v2_numbers.Payload) if is_v2 else (_v1_texts(header), v1_numbers.Payload)
    lines: list[str] = []
    for raw in found:
        text = texts.get(raw.type) or _size(name_of(kinds, raw.type))
        lines += _safely(text, raw, name_of(kinds, raw.type))
    return lines


def _safely(text: Callable[[bytes], list[str]], raw: RawPayload, name: str) -> list[str]:
    try:
        return text(raw.body)
    except WireError as error:
        return ["{}: can't be read: {}".format(name, error)]


def _size(name: str) -> Callable[[bytes], list[str]]:
    return lambda body: ["{}, {} bytes".format(name, len(body))]


# IKEv2


def _v2_key_exchange(body: bytes) -> list[str]:
    offered = v2.KeyExchange.decode(body)
    group = GROUPS_BY_NUMBER.get(offered.group)
    return ["KE {}, {} bytes".format(group.name if group else "group {}".format(offered.group), len(offered.data))]


def _v2_identity(name: str) -> Callable[[bytes], list[str]]:
    def text(body: bytes) -> list[str]:
        identity = v2.Identification.decode(body)
        return ["{} {}".format(name, describe_identity(identity.kind, identity.data))]

    return text


def _v2_proof(body: bytes) -> list[str]:
    proof = v2.Authentication.decode(body)
    method = name_of(v2_numbers.AuthMethod, proof.method).lower().replace("-", " ")
    return ["AUTH by {}, {} bytes".format(method, len(proof.data))]


def _v2_notification(body: bytes) -> list[str]:
    note = v2.Notification.decode(body)
    spi = " SPI 0x{}".format(note.spi.hex()) if note.spi else ""
    size = ", {} bytes".format(len(note.data)) if note.data else ""
    return ["N({}){}{}".format(v2_numbers.notify_name(note.kind), spi, size)]


def _v2_delete(body: bytes) -> list[str]:
    delete = v2.Delete.decode(body)
    protocol = name_of(v2_numbers.Protocol, delete.protocol)
    return ["Delete {}".format(" ".join([protocol, *("0x{}".format(spi.hex()) for spi in delete.spis)]))]


def _v2_selectors(name: str) -> Callable[[bytes], list[str]]:
    return lambda body: ["{} {}".format(name, v2_selectors.describe(v2.TrafficSelectors.decode(body).selectors))]


def _v2_fragment(body: bytes) -> list[str]:
    number, total = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
    return ["fragment {} of {}, encrypted, {} bytes".format(number, total, len(body) - 4)]


def _vendor(body: bytes) -> list[str]:
    is_text = all(0x20 <= byte < 0x7F for byte in body)
    return ["Vendor ID {}".format(printable(body) if is_text else body[:_SHOWN].hex())]


_V2: dict[int, Callable[[bytes], list[str]]] = {
    v2_numbers.Payload.SA: lambda body: v2_proposals.describe(v2.SaPayload.decode(body)),
    v2_numbers.Payload.KE: _v2_key_exchange,
    v2_numbers.Payload.IDI: _v2_identity("IDi"),
    v2_numbers.Payload.IDR: _v2_identity("IDr"),
    v2_numbers.Payload.AUTH: _v2_proof,
    v2_numbers.Payload.NONCE: _size("Nonce"),
    v2_numbers.Payload.NOTIFY: _v2_notification,
    v2_numbers.Payload.DELETE: _v2_delete,
    v2_numbers.Payload.VENDOR: _vendor,
    v2_numbers.Payload.TSI: _v2_selectors("TSi"),
    v2_numbers.Payload.TSR: _v2_selectors("TSr"),
    v2_numbers.Payload.SK: lambda body: ["encrypted, {} bytes".format(len(body))],
    v2_numbers.Payload.SKF: _v2_fragment,
}


# IKEv1


def _v1_texts(header: Header) -> dict[int, Callable[[bytes], list[str]]]:
    """An identity is one in phase 1 and a traffic selector in quick mode (RFC 2407 4.6.2)."""
    return _V1_QUICK if header.exchange == v1_numbers.Exchange.QUICK_MODE else _V1


def _v1_identity(body: bytes) -> list[str]:
    identity = v1.Identification.decode(body)
    return ["ID {}".format(describe_identity(identity.kind, identity.data))]


def _v1_client(body: bytes) -> list[str]:
    return ["ID {}".format(v1_selectors.describe_client(v1.Identification.decode(body)))]


def _v1_notification(body: bytes) -> list[str]:
    note = v1.Notification.decode(body)
    return ["N({}), {} bytes".format(name_of(v1_numbers.Notify, note.kind), len(note.data))]


def _v1_delete(body: bytes) -> list[str]:
    delete = v1.Delete.decode(body)
    protocol = name_of(Protocol, delete.protocol).replace("V1-", "")
    return ["Delete {}".format(" ".join([protocol, *("0x{}".format(spi.hex()) for spi in delete.spis)]))]


_V1: dict[int, Callable[[bytes], list[str]]] = {
    v1_numbers.Payload.SA: lambda body: v1_proposals.describe(v1.SaPayload.decode(body)),
    v1_numbers.Payload.ID: _v1_identity,
    v1_numbers.Payload.NOTIFY: _v1_notification,
    v1_numbers.Payload.DELETE: _v1_delete,
    v1_numbers.Payload.VID: _vendor,
    v1_numbers.Payload.NONCE: _size("Nonce"),
}
_V1_QUICK = {**_V1, v1_numbers.Payload.ID: _v1_client}
