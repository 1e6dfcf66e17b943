# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.crypto.algorithms import CIPHERS, INTEGRITIES
from ike.kernel.base import Acquire
from ike.kernel.cstruct import Malformed
from ike.kernel.netlink import build_attribute, parse_attributes
from ike.kernel.none import described
from ike.kernel.xfrm_messages import (
    ID,
    LIFETIME_CUR,
    USER_ACQUIRE,
    USERPOLICY_ID,
    USERPOLICY_INFO,
    USERSA_ID,
    USERSA_INFO,
    USERSPI_INFO,
    XFRMA_ALG_AUTH_TRUNC,
    XFRMA_TMPL,
    build_selector,
    family_of,
    parse_selector,
)
from ike.kernel.xfrm_policy import (
    build_policy,
    build_policy_id,
    parse_acquire,
    parse_policy,
)
from ike.kernel.xfrm_sa import XFRM_STATE_ALIGN4, build_sa, build_sa_id, build_spi_request, parse_sa, parse_sa_id
from ike.policy.sa import AH, ESP, OUT, TUNNEL, Policy, SaId, SecurityAssociation, Template, TrafficSelector
from tests.unit.kernel.strategies import associations, policies, selectors, templates

TOKYO, OSAKA = ipaddress.ip_address("210.11.11.11"), ipaddress.ip_address("210.22.22.22")
PLAIN = SecurityAssociation(
    TOKYO, OSAKA, ESP, 0x1234, "tunnel", "3des_cbc", bytes(range(24)), "hmac_sha1", bytes(20), replay_window=4
)


@given(selectors())
def test_selectors_round_trip(selector):
    assert parse_selector(build_selector(selector)) == selector


@given(associations())
def test_an_sa_reads_back_as_what_it_was_built_from(association):
    state = parse_sa(build_sa(association), now=0)
    wanted = described(association, now=0)
    assert replace(state, state="mature") == wanted


@given(policies())
def test_policies_round_trip(policy):
    state = parse_policy(build_policy(policy))
    assert state.policy == policy


@given(policies())
def test_a_policy_is_named_by_selector_and_direction(policy):
    fields = USERPOLICY_ID.unpack(build_policy_id(policy))
    assert parse_selector(fields["sel"]) == policy.selector
    assert fields["dir"] == {"in": 0, "out": 1, "fwd": 2}[policy.direction]


def test_a_sockets_own_policy_is_none_of_ours():
    assert parse_policy(USERPOLICY_INFO.pack(dir=3)) is None


@given(associations())
def test_ids_round_trip(association):
    fields = USERSA_ID.unpack(build_sa_id(association.id))
    assert (fields["spi"], fields["proto"]) == (association.spi, association.protocol)
    assert parse_sa_id(build_sa(association)) == (association.id, association.reqid)


def test_an_spi_request_names_the_range():
    fields = USERSPI_INFO.unpack(build_spi_request(TOKYO, OSAKA, ESP, 9, "transport", (256, 512)))
    assert (fields["min"], fields["max"]) == (256, 512)
    assert parse_sa_id(fields["info"]) == (SaId(OSAKA, ESP, 0), 9)


def test_ah_has_no_encryption():
    body = build_sa(replace(PLAIN, protocol=AH))
    assert list(parse_attributes(body[USERSA_INFO.size :])) == [XFRMA_ALG_AUTH_TRUNC]


@pytest.mark.parametrize(("protocol", "aligned"), [(AH, True), (ESP, False)])
def test_ah_over_ipv4_is_padded_to_32_bits_as_its_rfc_has_it(protocol, aligned):
    flags = USERSA_INFO.unpack(build_sa(replace(PLAIN, protocol=protocol)))["flags"]
    assert bool(flags & XFRM_STATE_ALIGN4) == aligned


@pytest.mark.parametrize(("window", "small"), [(0, 0), (4, 4), (32, 32), (33, 0), (4096, 0)])
def test_windows_of_up_to_32_need_no_bitmap(window, small):
    body = build_sa(replace(PLAIN, replay_window=window))
    assert USERSA_INFO.unpack(body)["replay_window"] == small
    assert parse_sa(body, 0).replay_window == window


def test_a_window_that_xfrm_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="a replay window of 4097: XFRM has 4096 at most"):
        build_sa(replace(PLAIN, replay_window=4097))


def test_the_algorithms_of_another_tool_keep_the_kernels_names():
    body = build_sa(PLAIN).replace(b"cbc(des3_ede)", b"cbc(camellia)").replace(b"hmac(sha1)", b"hmac(sm3)\0")
    state = parse_sa(body, 0)
    assert (state.encryption, state.integrity) == ("cbc(camellia)", "hmac(sm3)")


@pytest.mark.parametrize(
    ("seconds", "used", "state"), [(99, 0, "mature"), (100, 0, "dying"), (10, 1000, "dying"), (10, 999, "mature")]
)
def test_an_sa_past_a_soft_limit_is_dying(seconds, used, state):
    limits = replace(PLAIN.lifetime, soft_seconds=100, soft_bytes=1000)
    body = bytearray(build_sa(replace(PLAIN, lifetime=limits)))
    offset = 56 + 24 + 16 + 64  # where curlft stands in xfrm_usersa_info
    body[offset : offset + LIFETIME_CUR.size] = LIFETIME_CUR.pack(bytes=used, add_time=5000)
    assert parse_sa(bytes(body), 5000 + seconds).state == state


def acquire_body(selector, packet, chain, wanted, sequence=3):
    source, destination = wanted.source or packet.source[0], wanted.destination or packet.destination[0]
    return USER_ACQUIRE.pack(
        id=ID.pack(daddr=destination.packed, proto=wanted.protocol),
        saddr=source.packed,
        sel=build_selector(packet),
        policy=USERPOLICY_INFO.pack(sel=build_selector(selector), index=17, dir=1),
        seq=sequence,
    ) + build_attribute(XFRMA_TMPL, chain)


@given(selectors(), templates())
def test_an_acquire(selector, wanted):
    packet = replace(selector, protocol=17)
    policy = build_policy(Policy(selector, OUT, "ipsec", (wanted,)))
    chain = parse_attributes(policy[USERPOLICY_INFO.size :])[XFRMA_TMPL]
    acquire = parse_acquire(acquire_body(selector, packet, chain, wanted))
    assert acquire == Acquire(
        policy=selector,
        packet=packet,
        source=wanted.source or packet.source[0],
        destination=wanted.destination or packet.destination[0],
        protocol=wanted.protocol,
        mode=wanted.mode,
        reqid=wanted.reqid,
        policy_index=17,
        sequence=3,
    )


def test_an_acquire_without_its_template_is_malformed():
    network = ipaddress.ip_network("10.0.0.0/8")
    selector = TrafficSelector(network, network)
    with pytest.raises(Malformed):
        parse_acquire(acquire_body(selector, selector, b"", Template(ESP, TUNNEL, TOKYO, OSAKA)))


@given(st.binary(max_size=500), associations(), policies())
def test_any_bytes_parse_or_are_malformed(noise, association, policy):
    for body in (noise, build_sa(association) + noise, build_policy(policy) + noise):
        for parse in (lambda data: parse_sa(data, 0), parse_policy, parse_acquire, parse_sa_id):
            try:
                parse(body)
            except Malformed:
                pass


@given(associations(), st.data())
def test_a_message_cut_anywhere_parses_or_is_malformed(association, data):
    body = build_sa(association)
    cut = data.draw(st.integers(0, len(body)))
    try:
        parse_sa(body[:cut], 0)
    except Malformed:
        pass


@pytest.mark.parametrize("name", [row.name for row in CIPHERS.values() if row.xfrm])
def test_the_kernels_name_and_icv_lead_back_to_one_cipher(name):
    cipher = CIPHERS[name]
    integrity = "" if cipher.aead else "hmac_sha2_256"
    for bits in cipher.key_bits:
        association = replace(
            PLAIN,
            encryption=name,
            encryption_key=bytes(cipher.material(bits)),
            integrity=integrity,
            integrity_key=bytes(INTEGRITIES[integrity].key) if integrity else b"",
        )
        state = parse_sa(build_sa(association), 0)
        assert (state.encryption, state.encryption_bits) == (name, bits)


def test_families():
    assert (family_of(TOKYO), family_of(ipaddress.ip_network("::/0"))) == (2, 10)
