# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the systems' PF_KEY differ, in one table: Linux's af_key and FreeBSD's netipsec.

Read from <linux/pfkeyv2.h> and net/key/af_key.c (6.1), and from net/pfkeyv2.h and netipsec/key.c (FreeBSD 14).
"""

from __future__ import annotations

import errno
import socket
import sys
from dataclasses import dataclass

from ..policy.sa import FWD, IN, OUT
from .base import KernelError
from .cstruct import CStruct

_LINUX_REQUEST = CStruct(
    "sadb_x_ipsecrequest",
    """
    __u16 sadb_x_ipsecrequest_len;
    __u16 sadb_x_ipsecrequest_proto;
    __u8 sadb_x_ipsecrequest_mode;
    __u8 sadb_x_ipsecrequest_level;
    __u16 sadb_x_ipsecrequest_reserved1;
    __u32 sadb_x_ipsecrequest_reqid;
    __u32 sadb_x_ipsecrequest_reserved2;
    """,
)
_FREEBSD_REQUEST = CStruct(
    "sadb_x_ipsecrequest",
    """
    __u16 sadb_x_ipsecrequest_len;
    __u16 sadb_x_ipsecrequest_proto;
    __u8 sadb_x_ipsecrequest_mode;
    __u8 sadb_x_ipsecrequest_level;
    __u16 sadb_x_ipsecrequest_reqid;
    """,
)


@dataclass(frozen=True)
class PfkeyDialect:
    """One system's PF_KEY.

    ``replay_unit`` is packets per unit of sadb_sa_replay, ``largest_window`` what that field can say at most
    (``replay_extension`` for more, None if there is none); ``esn_flag`` is 0 where ESN can't be asked for.
    ``encryption`` and ``integrity`` give the numbers (SADB_EALG_*, SADB_AALG_*) of the registry's names.
    """

    name: str
    family: int  # PF_KEY
    inet: int
    inet6: int
    length_in_sockaddr: bool
    request: CStruct
    directions: dict[str, int]
    encryption: dict[str, int]
    integrity: dict[str, int]
    replay_unit: int
    largest_window: int
    replay_extension: int | None
    esn_flag: int
    socket_policy: dict[int, tuple[int, int]]  # the socket's family -> level, option
    udp_encap: int


LINUX = PfkeyDialect(
    name="linux",
    family=15,
    inet=2,
    inet6=10,
    length_in_sockaddr=False,
    request=_LINUX_REQUEST,
    directions={IN: 1, OUT: 2, FWD: 3},
    # No AEAD: af_key looks for them among the plain ciphers and finds none.
    encryption={
        "3des_cbc": 3,
        "cast128_cbc": 6,
        "blowfish_cbc": 7,
        "null_enc": 11,
        "aes_cbc": 12,
        "aes_ctr": 13,
    },
    # af_key can't be told an ICV's length and cuts SHA-256 to 96 bits.
    integrity={
        "hmac_md5": 2,
        "hmac_sha1": 3,
        "hmac_sha2_256_96": 5,
        "hmac_sha2_384": 6,
        "hmac_sha2_512": 7,
        "aes_xcbc": 9,
    },
    replay_unit=1,
    largest_window=32,
    replay_extension=None,
    esn_flag=0,
    socket_policy={2: (socket.IPPROTO_IP, 16), 10: (socket.IPPROTO_IPV6, 34)},
    udp_encap=100,
)

FREEBSD = PfkeyDialect(
    name="freebsd",
    family=27,
    inet=2,
    inet6=28,
    length_in_sockaddr=True,
    request=_FREEBSD_REQUEST,
    directions={IN: 1, OUT: 2},  # forwarded packets meet the policies of both
    # FreeBSD 13 and later have no 3DES, Blowfish and CAST (and no HMAC-MD5): there the kernel refuses them.
    encryption={
        "3des_cbc": 3,
        "cast128_cbc": 6,
        "blowfish_cbc": 7,
        "null_enc": 11,
        "aes_cbc": 12,
        "aes_ctr": 13,
        "chacha20_poly1305": 15,
        "aes_gcm_8": 18,
        "aes_gcm_12": 19,
        "aes_gcm": 20,
    },
    integrity={
        "hmac_md5": 2,
        "hmac_sha1": 3,
        "hmac_sha2_256": 5,
        "hmac_sha2_384": 6,
        "hmac_sha2_512": 7,
        "aes_xcbc": 9,
    },
    replay_unit=8,
    largest_window=255 * 8,
    replay_extension=26,  # SADB_X_EXT_SA_REPLAY
    esn_flag=0x400,  # SADB_X_SAFLAGS_ESN
    socket_policy={2: (socket.IPPROTO_IP, 21), 28: (socket.IPPROTO_IPV6, 28)},
    udp_encap=1,
)


def this_systems_dialect() -> PfkeyDialect:
    """The dialect of the running kernel; KernelError where none is known."""
    if sys.platform.startswith("linux"):
        return LINUX
    if sys.platform.startswith("freebsd"):
        return FREEBSD
    raise KernelError("open PF_KEY", errno.EAFNOSUPPORT, "no PF_KEY dialect is known for {}".format(sys.platform))
