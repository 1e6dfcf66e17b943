# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs in NETLINK_XFRM's messages: what we install, and what the kernel reports back (never with its keys)."""

from __future__ import annotations

from ..crypto.algorithms import CIPHERS, INTEGRITIES, Cipher, Integrity
from ..policy.sa import (
    AH,
    ESP,
    TUNNEL,
    Address,
    Encapsulation,
    Lifetime,
    SaId,
    SaState,
    SecurityAssociation,
)
from .netlink import build_attribute, parse_attributes
from .xfrm_messages import (
    ALGO,
    ALGO_AEAD,
    ALGO_AUTH,
    ENCAP_TMPL,
    ID,
    LIFETIME_CFG,
    LIFETIME_CUR,
    MODE_NAMES,
    REPLAY_STATE_ESN,
    STATS,
    USERSA_ID,
    USERSA_INFO,
    USERSPI_INFO,
    XFRM_INF,
    XFRM_MODES,
    XFRMA_ALG_AEAD,
    XFRMA_ALG_AUTH,
    XFRMA_ALG_AUTH_TRUNC,
    XFRMA_ALG_CRYPT,
    XFRMA_ENCAP,
    XFRMA_REPLAY_ESN_VAL,
    algorithm_with_key,
    build_selector,
    family_of,
    parse_address,
    parse_selector,
)

XFRM_STATE_AF_UNSPEC = 32
XFRM_STATE_ALIGN4 = 64
XFRM_STATE_ESN = 128

UDP_ENCAP_ESPINUDP = 2

# What xfrm_usersa_info's own window (a bitmap of 32 bits) holds, and XFRMA_REPLAY_ESN_MAX's.
SMALL_WINDOW = 32
LARGEST_WINDOW = 4096

_WORD_BITS = 32


def build_spi_request(
    source: Address, destination: Address, protocol: int, reqid: int, mode: str, spis: tuple[int, int]
) -> bytes:
    """XFRM_MSG_ALLOCSPI's body; ``spis`` is the range to choose from, both ends included."""
    info = USERSA_INFO.pack(
        id=ID.pack(daddr=destination.packed, proto=protocol),
        saddr=source.packed,
        family=family_of(destination),
        mode=XFRM_MODES[mode],
        reqid=reqid,
    )
    return USERSPI_INFO.pack(info=info, min=spis[0], max=spis[1])


def build_sa_id(sa_id: SaId) -> bytes:
    """The body of XFRM_MSG_GETSA and DELSA."""
    return USERSA_ID.pack(
        daddr=sa_id.destination.packed,
        spi=sa_id.spi,
        family=family_of(sa_id.destination),
        proto=sa_id.protocol,
    )


def build_sa(association: SecurityAssociation) -> bytes:
    """The body of XFRM_MSG_NEWSA and UPDSA. ValueError for what XFRM can't express."""
    bitmap = association.esn or association.replay_window > SMALL_WINDOW
    info = USERSA_INFO.pack(
        sel=build_selector(association.selector) if association.selector else b"",
        id=ID.pack(daddr=association.destination.packed, spi=association.spi, proto=association.protocol),
        saddr=association.source.packed,
        lft=build_lifetime(association.lifetime),
        reqid=association.reqid,
        family=family_of(association.destination),
        mode=XFRM_MODES[association.mode],
        replay_window=0 if bitmap else association.replay_window,
        flags=_flags(association),
    )
    attributes = _algorithms(association)
    if bitmap:
        attributes += _replay_bitmap(association.replay_window)
    if association.encapsulation:
        attributes += build_attribute(XFRMA_ENCAP, _encapsulation(association.encapsulation))
    return info + attributes


def _flags(association: SecurityAssociation) -> int:
    flags = XFRM_STATE_ESN if association.esn else 0
    if association.mode == TUNNEL and association.selector is None:
        # Else the kernel would take the outer family for the inner one: no IPv6 inside IPv4.
        flags |= XFRM_STATE_AF_UNSPEC
    if association.protocol == AH and association.source.version == 4:
        # Else the kernel pads to 64 bits, where RFC 4302 3.3.3.2.1 has 32: peers would drop SHA-256's longer ICV.
        flags |= XFRM_STATE_ALIGN4
    return flags


def build_lifetime(lifetime: Lifetime) -> bytes:
    return LIFETIME_CFG.pack(
        soft_byte_limit=lifetime.soft_bytes or XFRM_INF,
        hard_byte_limit=lifetime.hard_bytes or XFRM_INF,
        soft_packet_limit=lifetime.soft_packets or XFRM_INF,
        hard_packet_limit=lifetime.hard_packets or XFRM_INF,
        soft_add_expires_seconds=lifetime.soft_seconds,
        hard_add_expires_seconds=lifetime.hard_seconds,
    )


def _algorithms(association: SecurityAssociation) -> bytes:
    attributes = b""
    if association.protocol == ESP:
        attributes += _encryption(CIPHERS[association.encryption], association.encryption_key)
    if association.integrity:
        attributes += _integrity(INTEGRITIES[association.integrity], association.integrity_key)
    return attributes


def _encryption(cipher: Cipher, key: bytes) -> bytes:
    if cipher.xfrm is None:
        raise ValueError("XFRM has no name for {}".format(cipher.name))
    if cipher.aead:
        value = algorithm_with_key(ALGO_AEAD, cipher.xfrm, key, alg_icv_len=8 * cipher.icv)
        return build_attribute(XFRMA_ALG_AEAD, value)
    return build_attribute(XFRMA_ALG_CRYPT, algorithm_with_key(ALGO, cipher.xfrm, key))


def _integrity(integrity: Integrity, key: bytes) -> bytes:
    value = algorithm_with_key(ALGO_AUTH, integrity.xfrm, key, alg_trunc_len=8 * integrity.icv)
    return build_attribute(XFRMA_ALG_AUTH_TRUNC, value)


def _replay_bitmap(window: int) -> bytes:
    if window > LARGEST_WINDOW:
        raise ValueError("a replay window of {}: XFRM has {} at most".format(window, LARGEST_WINDOW))
    words = (window + _WORD_BITS - 1) // _WORD_BITS
    state = REPLAY_STATE_ESN.pack(bmp_len=words, replay_window=window)
    return build_attribute(XFRMA_REPLAY_ESN_VAL, state + bytes(4 * words))


def _encapsulation(encapsulation: Encapsulation) -> bytes:
    return ENCAP_TMPL.pack(
        encap_type=UDP_ENCAP_ESPINUDP,
        encap_sport=encapsulation.source_port,
        encap_dport=encapsulation.destination_port,
    )


def parse_sa_id(body: bytes) -> tuple[SaId, int]:
    """(id, reqid) of the xfrm_usersa_info at the front of a message."""
    info = USERSA_INFO.unpack(body)
    sa_id = ID.unpack(info["id"])
    return SaId(parse_address(sa_id["daddr"], info["family"]), sa_id["proto"], sa_id["spi"]), info["reqid"]


def parse_sa(body: bytes, now: float) -> SaState:
    """XFRM_MSG_NEWSA as the kernel reports it. ``now`` (seconds since the epoch) decides whether it is dying.

    Raises :class:`Malformed`.
    """
    info = USERSA_INFO.unpack(body)
    attributes = parse_attributes(body[USERSA_INFO.size :])
    sa_id, reqid = parse_sa_id(body)
    current = LIFETIME_CUR.unpack(info["curlft"])
    stats = STATS.unpack(info["stats"])
    lifetime = parse_lifetime(info["lft"])
    return SaState(
        source=parse_address(info["saddr"], info["family"]),
        destination=sa_id.destination,
        protocol=sa_id.protocol,
        spi=sa_id.spi,
        mode=MODE_NAMES.get(info["mode"], str(info["mode"])),
        state=_state(sa_id.protocol, attributes, lifetime, current, now),
        reqid=reqid,
        replay_window=_replay_window(info["replay_window"], attributes),
        esn=bool(info["flags"] & XFRM_STATE_ESN),
        lifetime=lifetime,
        selector=parse_selector(info["sel"]) if _selects(info["sel"]) else None,
        encapsulation=_parse_encapsulation(attributes),
        bytes=current["bytes"],
        packets=current["packets"],
        added=current["add_time"],
        used=current["use_time"],
        replay_errors=stats["replay"],
        replay_window_errors=stats["replay_window"],
        integrity_errors=stats["integrity_failed"],
        **_parse_algorithms(attributes),
    )


def parse_lifetime(data: bytes) -> Lifetime:
    fields = LIFETIME_CFG.unpack(data)
    return Lifetime(
        soft_seconds=_limit(fields["soft_add_expires_seconds"]),
        hard_seconds=_limit(fields["hard_add_expires_seconds"]),
        soft_bytes=_limit(fields["soft_byte_limit"]),
        hard_bytes=_limit(fields["hard_byte_limit"]),
        soft_packets=_limit(fields["soft_packet_limit"]),
        hard_packets=_limit(fields["hard_packet_limit"]),
    )


def _limit(value: int) -> int:
    return 0 if value == XFRM_INF else value


def _selects(selector: bytes) -> bool:
    """Whether an SA's selector restricts it. The kernel puts a family into an empty one (transport mode)."""
    parsed = parse_selector(selector)
    return parsed is not None and bool(parsed.source.prefixlen or parsed.destination.prefixlen or parsed.protocol)


def _state(protocol: int, attributes: dict[int, bytes], lifetime: Lifetime, current: dict, now: float) -> str:
    """XFRM doesn't report km.state: an SA without algorithms is larval, one past a soft limit is dying."""
    keyed = {XFRMA_ALG_CRYPT, XFRMA_ALG_AEAD, XFRMA_ALG_AUTH, XFRMA_ALG_AUTH_TRUNC} & attributes.keys()
    if protocol in (ESP, AH) and not keyed:
        return "larval"
    passed = (
        (lifetime.soft_seconds, now - current["add_time"]),
        (lifetime.soft_bytes, current["bytes"]),
        (lifetime.soft_packets, current["packets"]),
    )
    if any(limit and value >= limit for limit, value in passed):
        return "dying"
    return "mature"


def _replay_window(small: int, attributes: dict[int, bytes]) -> int:
    if XFRMA_REPLAY_ESN_VAL not in attributes:
        return small
    return REPLAY_STATE_ESN.unpack(attributes[XFRMA_REPLAY_ESN_VAL])["replay_window"]


def _parse_encapsulation(attributes: dict[int, bytes]) -> Encapsulation | None:
    if XFRMA_ENCAP not in attributes:
        return None
    fields = ENCAP_TMPL.unpack(attributes[XFRMA_ENCAP])
    return Encapsulation(fields["encap_sport"], fields["encap_dport"])


def _parse_algorithms(attributes: dict[int, bytes]) -> dict:
    """The fields of :class:`SaState` that say how packets are protected; of the keys only their lengths."""
    found = {}
    if XFRMA_ALG_AEAD in attributes:
        fields = ALGO_AEAD.unpack(attributes[XFRMA_ALG_AEAD])
        found.update(_encryption_found(fields, fields["alg_icv_len"]))
        found["icv_bits"] = fields["alg_icv_len"]
    if XFRMA_ALG_CRYPT in attributes:
        found.update(_encryption_found(ALGO.unpack(attributes[XFRMA_ALG_CRYPT]), 0))
    if XFRMA_ALG_AUTH_TRUNC in attributes:
        found.update(_integrity_found(ALGO_AUTH.unpack(attributes[XFRMA_ALG_AUTH_TRUNC])))
    return found


def _encryption_found(fields: dict, icv_bits: int) -> dict:
    name = fields["alg_name"].decode("ascii", "replace")
    for cipher in CIPHERS.values():
        if cipher.xfrm == name and 8 * cipher.icv == icv_bits:
            return {"encryption": cipher.name, "encryption_bits": fields["alg_key_len"] - 8 * cipher.salt}
    return {"encryption": name, "encryption_bits": fields["alg_key_len"]}


def _integrity_found(fields: dict) -> dict:
    name = fields["alg_name"].decode("ascii", "replace")
    icv_bits = fields["alg_trunc_len"]
    for integrity in INTEGRITIES.values():
        if integrity.xfrm == name and 8 * integrity.icv == icv_bits:
            name = integrity.name
    return {"integrity": name, "integrity_bits": fields["alg_key_len"], "icv_bits": icv_bits}
