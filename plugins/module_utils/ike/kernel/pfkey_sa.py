# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SAs in PF_KEY's messages. What PF_KEY can't express is refused here, by name, and not dropped.

An SA has no selector of its own in PF_KEY; ``SecurityAssociation.selector`` is left to the policies.
"""

from __future__ import annotations

from ..crypto.algorithms import CIPHERS, INTEGRITIES
from ..policy.sa import (
    Address,
    Encapsulation,
    Lifetime,
    SaId,
    SaState,
    SecurityAssociation,
)
from .base import SPI_MAXIMUM, SPI_MINIMUM
from .pfkey_dialects import PfkeyDialect
from .pfkey_messages import (
    ALG,
    IPSEC_MODES,
    KEY,
    LIFETIME,
    MODE_NAMES,
    NAT_T_PORT,
    NAT_T_TYPE,
    PROTOCOLS,
    SA,
    SA2,
    SA_REPLAY,
    SADB_EXT_ADDRESS_DST,
    SADB_EXT_ADDRESS_SRC,
    SADB_EXT_KEY_AUTH,
    SADB_EXT_KEY_ENCRYPT,
    SADB_EXT_LIFETIME_CURRENT,
    SADB_EXT_LIFETIME_HARD,
    SADB_EXT_LIFETIME_SOFT,
    SADB_EXT_SA,
    SADB_EXT_SPIRANGE,
    SADB_EXT_SUPPORTED_AUTH,
    SADB_EXT_SUPPORTED_ENCRYPT,
    SADB_X_EXT_NAT_T_DPORT,
    SADB_X_EXT_NAT_T_SPORT,
    SADB_X_EXT_NAT_T_TYPE,
    SADB_X_EXT_SA2,
    SPIRANGE,
    SUPPORTED,
    PfkeyMessage,
    build_address,
    build_extension,
    parse_address,
)

UDP_ENCAP_ESPINUDP = 2
SASTATE_MATURE = 1
STATES = ("larval", "mature", "dying", "dead")


class Unspeakable(ValueError):
    """This system's PF_KEY has no way to say it."""


def build_spi_request(dialect: PfkeyDialect, source: Address, destination: Address, reqid: int, mode: str) -> bytes:
    """The extensions of SADB_GETSPI."""
    spis = SPIRANGE.pack(sadb_spirange_min=SPI_MINIMUM, sadb_spirange_max=SPI_MAXIMUM)
    return _addresses(dialect, source, destination) + _sa2(mode, reqid) + build_extension(SADB_EXT_SPIRANGE, spis)


def build_sa_id(dialect: PfkeyDialect, state: SaState) -> bytes:
    """The extensions of SADB_DELETE. PF_KEY names an SA by both its addresses."""
    spi = build_extension(SADB_EXT_SA, SA.pack(sadb_sa_spi=state.spi))
    return spi + _addresses(dialect, state.source, state.destination)


def build_sa(dialect: PfkeyDialect, association: SecurityAssociation) -> bytes:
    """The extensions of SADB_ADD and SADB_UPDATE. Raises :class:`Unspeakable`."""
    return b"".join(
        (
            _sa(dialect, association),
            _sa2(association.mode, association.reqid),
            _addresses(dialect, association.source, association.destination),
            _keys(association),
            _lifetimes(association.lifetime),
            _encapsulation(association.encapsulation),
            _large_window(dialect, association.replay_window),
        )
    )


def _sa(dialect: PfkeyDialect, association: SecurityAssociation) -> bytes:
    if association.esn and not dialect.esn_flag:
        raise Unspeakable("PF_KEY of {} has no extended sequence numbers".format(dialect.name))
    window = min(association.replay_window, dialect.largest_window)
    body = SA.pack(
        sadb_sa_spi=association.spi,
        sadb_sa_replay=-(-window // dialect.replay_unit),
        sadb_sa_state=SASTATE_MATURE,
        sadb_sa_auth=_number(dialect, dialect.integrity, association.integrity),
        sadb_sa_encrypt=_number(dialect, dialect.encryption, association.encryption),
        sadb_sa_flags=dialect.esn_flag if association.esn else 0,
    )
    return build_extension(SADB_EXT_SA, body)


def _number(dialect: PfkeyDialect, numbers: dict[str, int], name: str) -> int:
    if not name:
        return 0
    if name not in numbers:
        raise Unspeakable("PF_KEY of {} has no {}".format(dialect.name, name))
    return numbers[name]


def _sa2(mode: str, reqid: int) -> bytes:
    return build_extension(SADB_X_EXT_SA2, SA2.pack(sadb_x_sa2_mode=IPSEC_MODES[mode], sadb_x_sa2_reqid=reqid))


def _addresses(dialect: PfkeyDialect, source: Address, destination: Address) -> bytes:
    return build_address(dialect, SADB_EXT_ADDRESS_SRC, source, source.max_prefixlen) + build_address(
        dialect, SADB_EXT_ADDRESS_DST, destination, destination.max_prefixlen
    )


def _keys(association: SecurityAssociation) -> bytes:
    keys = b""
    if association.integrity:
        keys += _key(SADB_EXT_KEY_AUTH, association.integrity_key)
    if association.encryption:
        keys += _key(SADB_EXT_KEY_ENCRYPT, association.encryption_key)
    return keys


def _key(kind: int, key: bytes) -> bytes:
    return build_extension(kind, KEY.pack(sadb_key_bits=8 * len(key)) + key)


def _lifetimes(limits: Lifetime) -> bytes:
    hard = LIFETIME.pack(
        sadb_lifetime_allocations=limits.hard_packets,
        sadb_lifetime_bytes=limits.hard_bytes,
        sadb_lifetime_addtime=limits.hard_seconds,
    )
    soft = LIFETIME.pack(
        sadb_lifetime_allocations=limits.soft_packets,
        sadb_lifetime_bytes=limits.soft_bytes,
        sadb_lifetime_addtime=limits.soft_seconds,
    )
    return build_extension(SADB_EXT_LIFETIME_HARD, hard) + build_extension(SADB_EXT_LIFETIME_SOFT, soft)


def _encapsulation(ports: Encapsulation | None) -> bytes:
    if ports is None:
        return b""
    return b"".join(
        (
            build_extension(SADB_X_EXT_NAT_T_TYPE, NAT_T_TYPE.pack(sadb_x_nat_t_type_type=UDP_ENCAP_ESPINUDP)),
            build_extension(SADB_X_EXT_NAT_T_SPORT, NAT_T_PORT.pack(sadb_x_nat_t_port_port=ports.source_port)),
            build_extension(SADB_X_EXT_NAT_T_DPORT, NAT_T_PORT.pack(sadb_x_nat_t_port_port=ports.destination_port)),
        )
    )


def _large_window(dialect: PfkeyDialect, window: int) -> bytes:
    if window <= dialect.largest_window:
        return b""
    if dialect.replay_extension is None:
        raise Unspeakable(
            "a replay window of {}: PF_KEY of {} has {} at most".format(window, dialect.name, dialect.largest_window)
        )
    return build_extension(dialect.replay_extension, SA_REPLAY.pack(sadb_x_sa_replay_replay=window))


def parse_sa_id(dialect: PfkeyDialect, message: PfkeyMessage) -> SaId:
    """Raises :class:`Malformed`."""
    fields = SA.unpack(message.extension(SADB_EXT_SA))
    destination = parse_address(dialect, message.extension(SADB_EXT_ADDRESS_DST))
    return SaId(destination, PROTOCOLS.get(message.satype, 0), fields["sadb_sa_spi"])


def parse_reqid(message: PfkeyMessage) -> int:
    return SA2.unpack(message.extension(SADB_X_EXT_SA2))["sadb_x_sa2_reqid"]


def parse_sa(dialect: PfkeyDialect, message: PfkeyMessage) -> SaState:
    """An SA of SADB_DUMP; of its keys only their lengths. Raises :class:`Malformed`."""
    sa_id = parse_sa_id(dialect, message)
    fields = SA.unpack(message.extension(SADB_EXT_SA))
    mode = SA2.unpack(message.extension(SADB_X_EXT_SA2))["sadb_x_sa2_mode"]
    current = _lifetime(message, SADB_EXT_LIFETIME_CURRENT)
    return SaState(
        source=parse_address(dialect, message.extension(SADB_EXT_ADDRESS_SRC)),
        destination=sa_id.destination,
        protocol=sa_id.protocol,
        spi=sa_id.spi,
        mode=MODE_NAMES.get(mode, str(mode)),
        state=STATES[min(fields["sadb_sa_state"], len(STATES) - 1)],
        reqid=parse_reqid(message),
        replay_window=_window(dialect, fields["sadb_sa_replay"], message),
        esn=bool(fields["sadb_sa_flags"] & dialect.esn_flag),
        lifetime=_limits(message),
        encapsulation=_ports(message),
        bytes=current["sadb_lifetime_bytes"],
        packets=current["sadb_lifetime_allocations"],
        added=current["sadb_lifetime_addtime"],
        used=current["sadb_lifetime_usetime"],
        **_algorithms(dialect, fields, message),
    )


def _lifetime(message: PfkeyMessage, kind: int) -> dict[str, int]:
    return LIFETIME.unpack(message.extensions.get(kind, bytes(LIFETIME.size)))


def _limits(message: PfkeyMessage) -> Lifetime:
    hard, soft = _lifetime(message, SADB_EXT_LIFETIME_HARD), _lifetime(message, SADB_EXT_LIFETIME_SOFT)
    return Lifetime(
        soft_seconds=soft["sadb_lifetime_addtime"],
        hard_seconds=hard["sadb_lifetime_addtime"],
        soft_bytes=soft["sadb_lifetime_bytes"],
        hard_bytes=hard["sadb_lifetime_bytes"],
        soft_packets=soft["sadb_lifetime_allocations"],
        hard_packets=hard["sadb_lifetime_allocations"],
    )


def _window(dialect: PfkeyDialect, units: int, message: PfkeyMessage) -> int:
    if dialect.replay_extension in message.extensions:
        return SA_REPLAY.unpack(message.extensions[dialect.replay_extension])["sadb_x_sa_replay_replay"]
    return units * dialect.replay_unit


def _ports(message: PfkeyMessage) -> Encapsulation | None:
    if SADB_X_EXT_NAT_T_TYPE not in message.extensions:
        return None
    kind = NAT_T_TYPE.unpack(message.extensions[SADB_X_EXT_NAT_T_TYPE])["sadb_x_nat_t_type_type"]
    if kind == 0:
        return None
    return Encapsulation(
        NAT_T_PORT.unpack(message.extension(SADB_X_EXT_NAT_T_SPORT))["sadb_x_nat_t_port_port"],
        NAT_T_PORT.unpack(message.extension(SADB_X_EXT_NAT_T_DPORT))["sadb_x_nat_t_port_port"],
    )


def _algorithms(dialect: PfkeyDialect, fields: dict, message: PfkeyMessage) -> dict:
    found = {}
    if fields["sadb_sa_encrypt"]:
        name = _name(dialect.encryption, fields["sadb_sa_encrypt"])
        cipher = CIPHERS.get(name)
        salt = cipher.salt if cipher else 0
        found["encryption"] = name
        found["encryption_bits"] = max(0, _key_bits(message, SADB_EXT_KEY_ENCRYPT) - 8 * salt)
        found["icv_bits"] = 8 * cipher.icv if cipher else 0
    if fields["sadb_sa_auth"]:
        name = _name(dialect.integrity, fields["sadb_sa_auth"])
        found["integrity"] = name
        found["integrity_bits"] = _key_bits(message, SADB_EXT_KEY_AUTH)
        found["icv_bits"] = 8 * INTEGRITIES[name].icv if name in INTEGRITIES else 0
    return found


def _name(numbers: dict[str, int], wanted: int) -> str:
    return next((name for name, number in numbers.items() if number == wanted), str(wanted))


def _key_bits(message: PfkeyMessage, kind: int) -> int:
    if kind not in message.extensions:
        return 0
    return KEY.unpack(message.extensions[kind])["sadb_key_bits"]


def parse_supported(dialect: PfkeyDialect, message: PfkeyMessage) -> frozenset[str]:
    """The registry's names of the algorithms that SADB_REGISTER's answer lists. Raises :class:`Malformed`."""
    tables = ((SADB_EXT_SUPPORTED_ENCRYPT, dialect.encryption), (SADB_EXT_SUPPORTED_AUTH, dialect.integrity))
    return frozenset(
        name
        for kind, numbers in tables
        for name, number in numbers.items()
        if number in _algorithm_numbers(message.extensions.get(kind, bytes(SUPPORTED.size)))
    )


def _algorithm_numbers(extension: bytes) -> set[int]:
    rows = range(SUPPORTED.size, len(extension), ALG.size)
    return {ALG.unpack(extension[row:])["sadb_alg_id"] for row in rows}
