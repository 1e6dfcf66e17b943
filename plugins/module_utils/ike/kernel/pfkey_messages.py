# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of PF_KEY (RFC 2367 and KAME's extensions): a header and a row of extensions, counted in 8 bytes."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass

from ..policy.sa import AH, ESP, IPCOMP, TRANSPORT, TUNNEL, Address
from .cstruct import CStruct, Malformed
from .pfkey_dialects import PfkeyDialect

PF_KEY_V2 = 2

SADB_GETSPI = 1
SADB_UPDATE = 2
SADB_ADD = 3
SADB_DELETE = 4
SADB_ACQUIRE = 6
SADB_REGISTER = 7
SADB_EXPIRE = 8
SADB_FLUSH = 9
SADB_DUMP = 10
SADB_X_SPDUPDATE = 13
SADB_X_SPDDELETE = 15
SADB_X_SPDDUMP = 18
SADB_X_SPDFLUSH = 19

SADB_EXT_SA = 1
SADB_EXT_LIFETIME_CURRENT = 2
SADB_EXT_LIFETIME_HARD = 3
SADB_EXT_LIFETIME_SOFT = 4
SADB_EXT_ADDRESS_SRC = 5
SADB_EXT_ADDRESS_DST = 6
SADB_EXT_KEY_AUTH = 8
SADB_EXT_KEY_ENCRYPT = 9
SADB_EXT_SUPPORTED_AUTH = 14
SADB_EXT_SUPPORTED_ENCRYPT = 15
SADB_EXT_SPIRANGE = 16
SADB_X_EXT_POLICY = 18
SADB_X_EXT_SA2 = 19
SADB_X_EXT_NAT_T_TYPE = 20
SADB_X_EXT_NAT_T_SPORT = 21
SADB_X_EXT_NAT_T_DPORT = 22

SADB_SATYPE_UNSPEC = 0
SATYPES = {AH: 2, ESP: 3, IPCOMP: 9}
PROTOCOLS = {number: protocol for protocol, number in SATYPES.items()}

IPSEC_MODES = {TRANSPORT: 1, TUNNEL: 2}
MODE_NAMES = {0: "any", 1: TRANSPORT, 2: TUNNEL}

IPSEC_ULPROTO_ANY = 255

UNIT = 8

HEADER = CStruct(
    "sadb_msg",
    """
    __u8 sadb_msg_version;
    __u8 sadb_msg_type;
    __u8 sadb_msg_errno;
    __u8 sadb_msg_satype;
    __u16 sadb_msg_len;
    __u16 sadb_msg_reserved;
    __u32 sadb_msg_seq;
    __u32 sadb_msg_pid;
    """,
)
EXTENSION = CStruct(
    "sadb_ext",
    """
    __u16 sadb_ext_len;
    __u16 sadb_ext_type;
    """,
)
SA = CStruct(
    "sadb_sa",
    """
    __u16 sadb_sa_len;
    __u16 sadb_sa_exttype;
    __be32 sadb_sa_spi;
    __u8 sadb_sa_replay;
    __u8 sadb_sa_state;
    __u8 sadb_sa_auth;
    __u8 sadb_sa_encrypt;
    __u32 sadb_sa_flags;
    """,
)
LIFETIME = CStruct(
    "sadb_lifetime",
    """
    __u16 sadb_lifetime_len;
    __u16 sadb_lifetime_exttype;
    __u32 sadb_lifetime_allocations;
    __u64 sadb_lifetime_bytes;
    __u64 sadb_lifetime_addtime;
    __u64 sadb_lifetime_usetime;
    """,
)
ADDRESS = CStruct(
    "sadb_address",
    """
    __u16 sadb_address_len;
    __u16 sadb_address_exttype;
    __u8 sadb_address_proto;
    __u8 sadb_address_prefixlen;
    __u16 sadb_address_reserved;
    """,
)
KEY = CStruct(
    "sadb_key",
    """
    __u16 sadb_key_len;
    __u16 sadb_key_exttype;
    __u16 sadb_key_bits;
    __u16 sadb_key_reserved;
    """,
)
SUPPORTED = CStruct(
    "sadb_supported",
    """
    __u16 sadb_supported_len;
    __u16 sadb_supported_exttype;
    __u32 sadb_supported_reserved;
    """,
)
ALG = CStruct(
    "sadb_alg",
    """
    __u8 sadb_alg_id;
    __u8 sadb_alg_ivlen;
    __u16 sadb_alg_minbits;
    __u16 sadb_alg_maxbits;
    __u16 sadb_alg_reserved;
    """,
)
SPIRANGE = CStruct(
    "sadb_spirange",
    """
    __u16 sadb_spirange_len;
    __u16 sadb_spirange_exttype;
    __u32 sadb_spirange_min;
    __u32 sadb_spirange_max;
    __u32 sadb_spirange_reserved;
    """,
)
SA2 = CStruct(
    "sadb_x_sa2",
    """
    __u16 sadb_x_sa2_len;
    __u16 sadb_x_sa2_exttype;
    __u8 sadb_x_sa2_mode;
    __u8 sadb_x_sa2_reserved1;
    __u16 sadb_x_sa2_reserved2;
    __u32 sadb_x_sa2_sequence;
    __u32 sadb_x_sa2_reqid;
    """,
)
POLICY = CStruct(
    "sadb_x_policy",
    """
    __u16 sadb_x_policy_len;
    __u16 sadb_x_policy_exttype;
    __u16 sadb_x_policy_type;
    __u8 sadb_x_policy_dir;
    __u8 sadb_x_policy_reserved;
    __u32 sadb_x_policy_id;
    __u32 sadb_x_policy_priority;
    """,
)
NAT_T_TYPE = CStruct(
    "sadb_x_nat_t_type",
    """
    __u16 sadb_x_nat_t_type_len;
    __u16 sadb_x_nat_t_type_exttype;
    __u8 sadb_x_nat_t_type_type;
    """,
)
NAT_T_PORT = CStruct(
    "sadb_x_nat_t_port",
    """
    __u16 sadb_x_nat_t_port_len;
    __u16 sadb_x_nat_t_port_exttype;
    __be16 sadb_x_nat_t_port_port;
    __u16 sadb_x_nat_t_port_reserved;
    """,
)
SA_REPLAY = CStruct(
    "sadb_x_sa_replay",
    """
    __u16 sadb_x_sa_replay_len;
    __u16 sadb_x_sa_replay_exttype;
    __u32 sadb_x_sa_replay_replay;
    """,
)


@dataclass(frozen=True)
class PfkeyMessage:
    """A message; ``extensions`` maps SADB_EXT_* to the whole extension, its own header included."""

    type: int
    satype: int
    errno: int
    sequence: int
    pid: int
    extensions: dict[int, bytes]

    def extension(self, kind: int) -> bytes:
        """Raises :class:`Malformed` if the message has none of this kind."""
        if kind not in self.extensions:
            raise Malformed("PF_KEY message {} without extension {}".format(self.type, kind))
        return self.extensions[kind]


def build_message(kind: int, satype: int, sequence: int, pid: int, extensions: bytes = b"") -> bytes:
    return (
        HEADER.pack(
            sadb_msg_version=PF_KEY_V2,
            sadb_msg_type=kind,
            sadb_msg_satype=satype,
            sadb_msg_len=(HEADER.size + len(extensions)) // UNIT,
            sadb_msg_seq=sequence,
            sadb_msg_pid=pid,
        )
        + extensions
    )


def build_extension(kind: int, body: bytes) -> bytes:
    """``body`` is the extension's struct and what follows it; its first two fields are filled in here."""
    body += bytes(-len(body) % UNIT)
    return EXTENSION.pack(sadb_ext_len=len(body) // UNIT, sadb_ext_type=kind) + body[EXTENSION.size :]


def parse_message(data: bytes) -> PfkeyMessage:
    """One datagram; raises :class:`Malformed`."""
    header = HEADER.unpack(data)
    length = header["sadb_msg_len"] * UNIT
    if header["sadb_msg_version"] != PF_KEY_V2 or not HEADER.size <= length <= len(data):
        raise Malformed("PF_KEY version {}, length {}".format(header["sadb_msg_version"], length))
    return PfkeyMessage(
        type=header["sadb_msg_type"],
        satype=header["sadb_msg_satype"],
        errno=header["sadb_msg_errno"],
        sequence=header["sadb_msg_seq"],
        pid=header["sadb_msg_pid"],
        extensions=_parse_extensions(data[HEADER.size : length]),
    )


def _parse_extensions(data: bytes) -> dict[int, bytes]:
    extensions = {}
    offset = 0
    while offset < len(data):
        fields = EXTENSION.unpack(data[offset:])
        length = fields["sadb_ext_len"] * UNIT
        if length == 0 or offset + length > len(data):
            raise Malformed("a PF_KEY extension of {} bytes at {} of {}".format(length, offset, len(data)))
        extensions[fields["sadb_ext_type"]] = data[offset : offset + length]
        offset += length
    return extensions


def build_sockaddr(dialect: PfkeyDialect, address: Address, port: int = 0) -> bytes:
    family = dialect.inet if address.version == 4 else dialect.inet6
    body = port.to_bytes(2, "big")
    body += address.packed + bytes(8) if address.version == 4 else bytes(4) + address.packed + bytes(4)
    if dialect.length_in_sockaddr:
        return bytes([len(body) + 2, family]) + body
    return family.to_bytes(2, sys.byteorder) + body


def parse_sockaddr(dialect: PfkeyDialect, data: bytes) -> tuple[Address, int, int]:
    """(address, port, bytes taken); raises :class:`Malformed`."""
    family = data[1] if dialect.length_in_sockaddr and len(data) > 1 else int.from_bytes(data[:2], sys.byteorder)
    if family == dialect.inet and len(data) >= 16:
        return ipaddress.IPv4Address(data[4:8]), int.from_bytes(data[2:4], "big"), 16
    if family == dialect.inet6 and len(data) >= 28:
        return ipaddress.IPv6Address(data[8:24]), int.from_bytes(data[2:4], "big"), 28
    raise Malformed("a sockaddr of family {} and {} bytes".format(family, len(data)))


def build_address(
    dialect: PfkeyDialect, kind: int, address: Address, prefix: int, protocol: int = IPSEC_ULPROTO_ANY, port: int = 0
) -> bytes:
    body = ADDRESS.pack(sadb_address_proto=protocol, sadb_address_prefixlen=prefix)
    return build_extension(kind, body + build_sockaddr(dialect, address, port))


def parse_address(dialect: PfkeyDialect, extension: bytes) -> Address:
    address, _port, _size = parse_sockaddr(dialect, extension[ADDRESS.size :])
    return address
