# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The structs and numbers of NETLINK_XFRM, as <linux/xfrm.h> declares them, and the values in all its messages."""

from __future__ import annotations

import ipaddress
import socket

from ..policy.sa import TRANSPORT, TUNNEL, Address, Network, TrafficSelector
from .cstruct import CStruct, Malformed, Value

NETLINK_XFRM = 6

XFRM_MSG_NEWSA = 0x10
XFRM_MSG_DELSA = 0x11
XFRM_MSG_GETSA = 0x12
XFRM_MSG_DELPOLICY = 0x14
XFRM_MSG_GETPOLICY = 0x15
XFRM_MSG_ALLOCSPI = 0x16
XFRM_MSG_ACQUIRE = 0x17
XFRM_MSG_EXPIRE = 0x18
XFRM_MSG_UPDPOLICY = 0x19
XFRM_MSG_UPDSA = 0x1A
XFRM_MSG_FLUSHSA = 0x1C
XFRM_MSG_FLUSHPOLICY = 0x1D

XFRMGRP_ACQUIRE = 1
XFRMGRP_EXPIRE = 2

XFRMA_ALG_AUTH = 1
XFRMA_ALG_CRYPT = 2
XFRMA_ENCAP = 4
XFRMA_TMPL = 5
XFRMA_ALG_AEAD = 18
XFRMA_ALG_AUTH_TRUNC = 20
XFRMA_REPLAY_ESN_VAL = 23

XFRM_MODES = {TRANSPORT: 0, TUNNEL: 1}
MODE_NAMES = {0: TRANSPORT, 1: TUNNEL, 2: "route-optimisation", 3: "in-trigger", 4: "beet"}

XFRM_INF = 0xFFFFFFFFFFFFFFFF

SELECTOR = CStruct(
    "xfrm_selector",
    """
    xfrm_address_t daddr;
    xfrm_address_t saddr;
    __be16 dport;
    __be16 dport_mask;
    __be16 sport;
    __be16 sport_mask;
    __u16 family;
    __u8 prefixlen_d;
    __u8 prefixlen_s;
    __u8 proto;
    int ifindex;
    __u32 user;
    """,
)
ID = CStruct(
    "xfrm_id",
    """
    xfrm_address_t daddr;
    __be32 spi;
    __u8 proto;
    """,
)
LIFETIME_CFG = CStruct(
    "xfrm_lifetime_cfg",
    """
    __u64 soft_byte_limit;
    __u64 hard_byte_limit;
    __u64 soft_packet_limit;
    __u64 hard_packet_limit;
    __u64 soft_add_expires_seconds;
    __u64 hard_add_expires_seconds;
    __u64 soft_use_expires_seconds;
    __u64 hard_use_expires_seconds;
    """,
)
LIFETIME_CUR = CStruct(
    "xfrm_lifetime_cur",
    """
    __u64 bytes;
    __u64 packets;
    __u64 add_time;
    __u64 use_time;
    """,
)
STATS = CStruct(
    "xfrm_stats",
    """
    __u32 replay_window;
    __u32 replay;
    __u32 integrity_failed;
    """,
)
USERSA_INFO = CStruct(
    "xfrm_usersa_info",
    """
    struct xfrm_selector sel;
    struct xfrm_id id;
    xfrm_address_t saddr;
    struct xfrm_lifetime_cfg lft;
    struct xfrm_lifetime_cur curlft;
    struct xfrm_stats stats;
    __u32 seq;
    __u32 reqid;
    __u16 family;
    __u8 mode;
    __u8 replay_window;
    __u8 flags;
    """,
    SELECTOR,
    ID,
    LIFETIME_CFG,
    LIFETIME_CUR,
    STATS,
)
USERSA_ID = CStruct(
    "xfrm_usersa_id",
    """
    xfrm_address_t daddr;
    __be32 spi;
    __u16 family;
    __u8 proto;
    """,
)
USERSPI_INFO = CStruct(
    "xfrm_userspi_info",
    """
    struct xfrm_usersa_info info;
    __u32 min;
    __u32 max;
    """,
    USERSA_INFO,
)
USERSA_FLUSH = CStruct("xfrm_usersa_flush", "__u8 proto;")
USER_EXPIRE = CStruct(
    "xfrm_user_expire",
    """
    struct xfrm_usersa_info state;
    __u8 hard;
    """,
    USERSA_INFO,
)
# The keys follow these three, and the bitmap the replay state.
ALGO = CStruct(
    "xfrm_algo",
    """
    char alg_name[64];
    __u32 alg_key_len;
    """,
)
ALGO_AUTH = CStruct(
    "xfrm_algo_auth",
    """
    char alg_name[64];
    __u32 alg_key_len;
    __u32 alg_trunc_len;
    """,
)
ALGO_AEAD = CStruct(
    "xfrm_algo_aead",
    """
    char alg_name[64];
    __u32 alg_key_len;
    __u32 alg_icv_len;
    """,
)
REPLAY_STATE_ESN = CStruct(
    "xfrm_replay_state_esn",
    """
    __u32 bmp_len;
    __u32 oseq;
    __u32 seq;
    __u32 oseq_hi;
    __u32 seq_hi;
    __u32 replay_window;
    """,
)
ENCAP_TMPL = CStruct(
    "xfrm_encap_tmpl",
    """
    __u16 encap_type;
    __be16 encap_sport;
    __be16 encap_dport;
    xfrm_address_t encap_oa;
    """,
)
USERPOLICY_INFO = CStruct(
    "xfrm_userpolicy_info",
    """
    struct xfrm_selector sel;
    struct xfrm_lifetime_cfg lft;
    struct xfrm_lifetime_cur curlft;
    __u32 priority;
    __u32 index;
    __u8 dir;
    __u8 action;
    __u8 flags;
    __u8 share;
    """,
    SELECTOR,
    LIFETIME_CFG,
    LIFETIME_CUR,
)
USERPOLICY_ID = CStruct(
    "xfrm_userpolicy_id",
    """
    struct xfrm_selector sel;
    __u32 index;
    __u8 dir;
    """,
    SELECTOR,
)
USER_TMPL = CStruct(
    "xfrm_user_tmpl",
    """
    struct xfrm_id id;
    __u16 family;
    xfrm_address_t saddr;
    __u32 reqid;
    __u8 mode;
    __u8 share;
    __u8 optional;
    __u32 aalgos;
    __u32 ealgos;
    __u32 calgos;
    """,
    ID,
)
USER_ACQUIRE = CStruct(
    "xfrm_user_acquire",
    """
    struct xfrm_id id;
    xfrm_address_t saddr;
    struct xfrm_selector sel;
    struct xfrm_userpolicy_info policy;
    __u32 aalgos;
    __u32 ealgos;
    __u32 calgos;
    __u32 seq;
    """,
    ID,
    SELECTOR,
    USERPOLICY_INFO,
)

UNLIMITED = LIFETIME_CFG.pack(
    soft_byte_limit=XFRM_INF,
    hard_byte_limit=XFRM_INF,
    soft_packet_limit=XFRM_INF,
    hard_packet_limit=XFRM_INF,
)

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ANY_PORT_MASK = 0
_ONE_PORT_MASK = 0xFFFF


def family_of(address: Address | Network) -> int:
    return int(_FAMILIES[address.version])


def parse_address(data: bytes, family: int) -> Address:
    """The address in an xfrm_address_t; raises :class:`Malformed` for a family that isn't IP."""
    if family == socket.AF_INET:
        return ipaddress.IPv4Address(data[:4])
    if family == socket.AF_INET6:
        return ipaddress.IPv6Address(data[:16])
    raise Malformed("an address of family {}".format(family))


def build_selector(selector: TrafficSelector) -> bytes:
    return SELECTOR.pack(
        family=family_of(selector.source),
        saddr=selector.source.network_address.packed,
        prefixlen_s=selector.source.prefixlen,
        daddr=selector.destination.network_address.packed,
        prefixlen_d=selector.destination.prefixlen,
        proto=selector.protocol,
        sport=selector.source_port,
        sport_mask=_ONE_PORT_MASK if selector.source_port else _ANY_PORT_MASK,
        dport=selector.destination_port,
        dport_mask=_ONE_PORT_MASK if selector.destination_port else _ANY_PORT_MASK,
    )


def parse_selector(data: bytes) -> TrafficSelector | None:
    """The selector, or None for an empty one (an SA that takes every packet)."""
    fields = SELECTOR.unpack(data)
    if fields["family"] == socket.AF_UNSPEC:
        return None
    return TrafficSelector(
        source=_network(fields["saddr"], fields["prefixlen_s"], fields["family"]),
        destination=_network(fields["daddr"], fields["prefixlen_d"], fields["family"]),
        protocol=fields["proto"],
        source_port=fields["sport"] & fields["sport_mask"],
        destination_port=fields["dport"] & fields["dport_mask"],
    )


def _network(data: Value, prefix: Value, family: Value) -> Network:
    address = parse_address(data, family)
    if prefix > address.max_prefixlen:
        raise Malformed("a prefix of {} bits".format(prefix))
    return ipaddress.ip_network((address, prefix), strict=False)


def algorithm_with_key(layout: CStruct, name: str, key: bytes, **sizes: int) -> bytes:
    return layout.pack(alg_name=name.encode("ascii"), alg_key_len=8 * len(key), **sizes) + key
