# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ike.kernel import xfrm_messages as messages
from ike.kernel.cstruct import CStruct, Malformed
from ike.kernel.netlink import ATTRIBUTE, ERROR, HEADER

# sizeof() by gcc 12 with <linux/xfrm.h> and <linux/netlink.h> on x86-64
SIZES = {
    "nlmsghdr": 16,
    "nlattr": 4,
    "nlmsgerr": 20,
    "xfrm_selector": 56,
    "xfrm_id": 24,
    "xfrm_lifetime_cfg": 64,
    "xfrm_lifetime_cur": 32,
    "xfrm_stats": 12,
    "xfrm_usersa_info": 224,
    "xfrm_usersa_id": 24,
    "xfrm_userspi_info": 232,
    "xfrm_usersa_flush": 1,
    "xfrm_user_expire": 232,
    "xfrm_algo": 68,
    "xfrm_algo_auth": 72,
    "xfrm_algo_aead": 72,
    "xfrm_replay_state_esn": 24,
    "xfrm_encap_tmpl": 24,
    "xfrm_userpolicy_info": 168,
    "xfrm_userpolicy_id": 64,
    "xfrm_user_tmpl": 64,
    "xfrm_user_acquire": 280,
}
STRUCTS = [value for value in vars(messages).values() if isinstance(value, CStruct)] + [HEADER, ATTRIBUTE, ERROR]


def test_every_struct_has_its_size_here():
    assert {layout.name for layout in STRUCTS} == set(SIZES)


@pytest.mark.parametrize("layout", STRUCTS, ids=lambda layout: layout.name)
def test_sizes_are_the_compilers(layout):
    assert layout.size == SIZES[layout.name]


def test_fields_and_byte_orders():
    layout = CStruct("sample", "__u8 one; __be16 port; __be32 spi; char name[4]; __u64 last;")
    data = layout.pack(one=1, port=500, spi=0x01020304, name=b"esp", last=2)
    assert data[2:4] == b"\x01\xf4"
    assert data[4:8] == b"\x01\x02\x03\x04"
    assert layout.unpack(data) == {"one": 1, "port": 500, "spi": 0x01020304, "name": b"esp", "last": 2}


def test_what_is_not_given_is_zero_and_what_is_unknown_is_refused():
    layout = CStruct("sample", "__u8 one; xfrm_address_t address;")
    assert layout.pack() == bytes(20)
    with pytest.raises(TypeError, match="struct sample has no two"):
        layout.pack(two=2)


def test_a_nested_struct_keeps_its_alignment():
    inner = CStruct("inner", "__u64 wide; __u8 narrow;")
    outer = CStruct("outer", "__u8 first; struct inner part; __u8 last;", inner)
    assert (inner.size, outer.size) == (16, 32)
    values = outer.unpack(outer.pack(first=1, part=inner.pack(wide=2, narrow=3), last=4))
    assert inner.unpack(values["part"]) == {"wide": 2, "narrow": 3}


@pytest.mark.parametrize("layout", STRUCTS, ids=lambda layout: layout.name)
def test_a_truncated_struct_is_malformed(layout):
    with pytest.raises(Malformed):
        layout.unpack(bytes(layout.size - 1))
