# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PF_KEY's messages in both dialects. FreeBSD's has no kernel here: its bytes are checked against its headers."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ike.kernel import pfkey_messages as messages
from ike.kernel.base import Acquire, KernelError
from ike.kernel.cstruct import CStruct, Malformed
from ike.kernel.none import described
from ike.kernel.pfkey_dialects import FREEBSD, LINUX, this_systems_dialect
from ike.kernel.pfkey_messages import (
    ALG,
    POLICY,
    SADB_ACQUIRE,
    SADB_DUMP,
    SADB_EXT_ADDRESS_DST,
    SADB_EXT_ADDRESS_SRC,
    SADB_EXT_SA,
    SADB_EXT_SUPPORTED_AUTH,
    SADB_EXT_SUPPORTED_ENCRYPT,
    SADB_REGISTER,
    SADB_X_EXT_POLICY,
    SADB_X_SPDDUMP,
    SATYPES,
    SUPPORTED,
    build_address,
    build_extension,
    build_message,
    build_sockaddr,
    parse_message,
    parse_sockaddr,
)
from ike.kernel.pfkey_policy import build_policy, build_policy_id, build_socket_policy, parse_acquire, parse_policy
from ike.kernel.pfkey_sa import (
    Unspeakable,
    build_sa,
    build_sa_id,
    build_spi_request,
    parse_sa,
    parse_sa_id,
    parse_supported,
)
from ike.policy.sa import (
    ESP,
    FWD,
    IN,
    OUT,
    TUNNEL,
    Lifetime,
    Policy,
    PolicyState,
    SaId,
    SecurityAssociation,
    Template,
    TrafficSelector,
)
from tests.unit.kernel.strategies import associations, policies

DIALECTS = [LINUX, FREEBSD]
dialects = st.sampled_from(DIALECTS)

TOKYO, OSAKA = ipaddress.ip_address("210.11.11.11"), ipaddress.ip_address("210.22.22.22")
NETWORK = ipaddress.ip_network("192.168.10.0/24")
SELECTOR = TrafficSelector(NETWORK, ipaddress.ip_network("192.168.20.0/24"))
TEMPLATE = Template(ESP, TUNNEL, TOKYO, OSAKA)
PLAIN = SecurityAssociation(
    TOKYO, OSAKA, ESP, 0x0A6FE4CA, TUNNEL, "3des_cbc", bytes(range(24)), "hmac_sha1", bytes(20), replay_window=32
)

# sizeof() by gcc 12 with <linux/pfkeyv2.h>; FreeBSD's are the same but for the request (8)
SIZES = {
    "sadb_msg": 16,
    "sadb_ext": 4,
    "sadb_sa": 16,
    "sadb_lifetime": 32,
    "sadb_address": 8,
    "sadb_key": 8,
    "sadb_supported": 8,
    "sadb_alg": 8,
    "sadb_spirange": 16,
    "sadb_x_sa2": 16,
    "sadb_x_policy": 16,
    "sadb_x_nat_t_port": 8,
    "sadb_x_sa_replay": 8,
}


def test_sizes_are_the_compilers():
    structs = {value.name: value.size for value in vars(messages).values() if isinstance(value, CStruct)}
    # The three reserved bytes at its end are padding here.
    assert structs.pop("sadb_x_nat_t_type") <= 8
    assert structs == SIZES
    assert (LINUX.request.size, FREEBSD.request.size) == (16, 8)


def message(kind, satype, extensions):
    return parse_message(build_message(kind, satype, 1, 2, extensions))


def sayable(dialect, association):
    """The association without what this dialect has no word for."""
    assume(association.encryption in dialect.encryption)
    assume(not association.integrity or association.integrity in dialect.integrity)
    window = 32 if dialect is LINUX else association.replay_window // 8 * 8
    small = Lifetime(*(value & 0xFFFFFFFF for value in vars(association.lifetime).values()))
    return replace(
        association,
        selector=None,
        esn=association.esn and bool(dialect.esn_flag),
        replay_window=window,
        lifetime=small,
    )


@given(dialects, associations())
def test_an_sa_reads_back_as_what_it_was_built_from(dialect, association):
    association = sayable(dialect, association)
    state = parse_sa(dialect, message(SADB_DUMP, SATYPES[ESP], build_sa(dialect, association)))
    assert state == described(association, now=0)


@given(dialects, policies())
def test_policies_round_trip(dialect, policy):
    templates = tuple(
        replace(one, reqid=one.reqid & 0x3FFF if one.level == "require" else 0) for one in policy.templates
    )
    policy = replace(policy, templates=templates)
    assume(policy.direction in dialect.directions)
    state = parse_policy(dialect, message(SADB_X_SPDDUMP, 0, build_policy(dialect, policy)))
    assert state.policy == policy


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("address", ["210.11.11.11", "2001:db8::1"])
def test_sockaddrs_round_trip(dialect, address):
    data = build_sockaddr(dialect, ipaddress.ip_address(address), 500)
    assert parse_sockaddr(dialect, data + b"more") == (ipaddress.ip_address(address), 500, len(data))


def test_freebsds_sockaddrs_begin_with_their_length():
    assert build_sockaddr(FREEBSD, TOKYO, 500) == bytes([16, 2, 1, 0xF4, 210, 11, 11, 11]) + bytes(8)
    assert build_sockaddr(FREEBSD, ipaddress.ip_address("::1"))[:2] == bytes([28, 28])
    assert build_sockaddr(LINUX, ipaddress.ip_address("::1"))[:2] in (b"\x0a\0", b"\0\x0a")


def test_freebsds_request_is_short_and_its_addresses_follow_unpadded():
    extension = message(SADB_X_SPDDUMP, 0, build_policy(FREEBSD, Policy(SELECTOR, OUT, "ipsec", (TEMPLATE,))))
    request = extension.extensions[SADB_X_EXT_POLICY][POLICY.size :]
    assert len(request) == 8 + 16 + 16
    assert request[8:10] == bytes([16, 2])


@pytest.mark.parametrize(
    ("dialect", "changes", "words"),
    [
        (LINUX, {"encryption": "aes_gcm", "integrity": ""}, "PF_KEY of linux has no aes_gcm"),
        (LINUX, {"integrity": "hmac_sha2_256"}, "PF_KEY of linux has no hmac_sha2_256"),
        (LINUX, {"esn": True}, "PF_KEY of linux has no extended sequence numbers"),
        (LINUX, {"replay_window": 33}, "a replay window of 33: PF_KEY of linux has 32 at most"),
        (FREEBSD, {"integrity": "hmac_sha2_256_96"}, "PF_KEY of freebsd has no hmac_sha2_256_96"),
    ],
)
def test_what_a_dialect_cannot_say_is_refused(dialect, changes, words):
    with pytest.raises(Unspeakable) as caught:
        build_sa(dialect, replace(PLAIN, **changes))
    assert str(caught.value) == words


def test_freebsd_has_no_forward_policies():
    with pytest.raises(Unspeakable, match="PF_KEY of freebsd has no policies of direction fwd"):
        build_policy(FREEBSD, Policy(SELECTOR, FWD))


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (replace(TEMPLATE, reqid=0x4000), "reqid 16384: PF_KEY takes 16383 at most"),
        (replace(TEMPLATE, reqid=1, level="use"), "PF_KEY binds no policy of level use to a reqid"),
    ],
)
def test_templates_that_cannot_be_said(template, words):
    with pytest.raises(Unspeakable) as caught:
        build_policy(LINUX, Policy(SELECTOR, IN, "ipsec", (template,)))
    assert str(caught.value) == words


@pytest.mark.parametrize(("window", "units"), [(0, 0), (1, 1), (8, 1), (9, 2), (2040, 255)])
def test_freebsd_counts_the_window_in_bytes_of_bitmap(window, units):
    sent = message(SADB_DUMP, SATYPES[ESP], build_sa(FREEBSD, replace(PLAIN, replay_window=window)))
    assert messages.SA.unpack(sent.extensions[SADB_EXT_SA])["sadb_sa_replay"] == units
    assert FREEBSD.replay_extension not in sent.extensions


def test_freebsds_large_window_has_an_extension_of_its_own():
    sent = message(SADB_DUMP, SATYPES[ESP], build_sa(FREEBSD, replace(PLAIN, replay_window=4096)))
    assert parse_sa(FREEBSD, sent).replay_window == 4096


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_what_names_an_sa(dialect):
    state = described(PLAIN, now=0)
    sent = message(SADB_DUMP, SATYPES[ESP], build_sa_id(dialect, state))
    assert parse_sa_id(dialect, sent) == SaId(OSAKA, ESP, 0x0A6FE4CA)
    request = message(SADB_DUMP, SATYPES[ESP], build_spi_request(dialect, TOKYO, OSAKA, 9, TUNNEL))
    assert messages.SPIRANGE.unpack(request.extensions[messages.SADB_EXT_SPIRANGE])["sadb_spirange_min"] == 256


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_what_names_a_policy(dialect):
    sent = message(SADB_X_SPDDUMP, 0, build_policy_id(dialect, Policy(SELECTOR, OUT, "ipsec", (TEMPLATE,))))
    assert parse_policy(dialect, sent).policy.selector == SELECTOR
    assert POLICY.unpack(build_socket_policy(dialect, IN))["sadb_x_policy_type"] == 4


def acquire(dialect, index):
    policy = POLICY.pack(sadb_x_policy_type=2, sadb_x_policy_dir=2, sadb_x_policy_id=index)
    return message(
        SADB_ACQUIRE,
        SATYPES[ESP],
        build_address(dialect, SADB_EXT_ADDRESS_SRC, TOKYO, 32, 0)
        + build_address(dialect, SADB_EXT_ADDRESS_DST, OSAKA, 32, 0)
        + build_extension(SADB_X_EXT_POLICY, policy),
    )


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_an_acquire_is_told_from_the_spd(dialect):
    spd = [PolicyState(Policy(SELECTOR, OUT, "ipsec", (replace(TEMPLATE, reqid=9),)), 17)]
    wanted = Acquire(SELECTOR, SELECTOR, TOKYO, OSAKA, ESP, TUNNEL, 9, 17, 1)
    assert parse_acquire(dialect, acquire(dialect, 17), spd) == wanted
    with pytest.raises(Malformed):
        parse_acquire(dialect, acquire(dialect, 18), spd)


@given(dialects, st.binary(max_size=300), associations(), policies())
def test_any_bytes_parse_or_are_malformed(dialect, noise, association, policy):
    policy = replace(policy, direction=OUT, templates=policy.templates and (TEMPLATE,))
    bodies = [noise, build_policy(dialect, policy) + noise]
    if association.encryption in dialect.encryption and association.integrity in dialect.integrity:
        bodies.append(build_sa(dialect, sayable(dialect, association)) + noise)
    for body in bodies:
        for data in (body, build_message(SADB_DUMP, 3, 0, 0, body)):
            _parse_all(dialect, data)


@given(dialects, st.data())
def test_a_damaged_message_parses_or_is_malformed(dialect, data):
    whole = bytearray(build_message(SADB_DUMP, 3, 0, 0, build_sa(dialect, PLAIN) + build_policy(dialect, POLICIES[0])))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] = data.draw(st.integers(0, 255))
    _parse_all(dialect, bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    _parse_all(dialect, bytes(whole))


POLICIES = [Policy(SELECTOR, OUT, "ipsec", (TEMPLATE, TEMPLATE))]


def _parse_all(dialect, data):
    for parse in (parse_sa, parse_policy, parse_sa_id, lambda one, two: parse_acquire(one, two, [])):
        try:
            parse(dialect, parse_message(data))
        except Malformed:
            pass


def test_the_dialect_of_this_system(monkeypatch):
    monkeypatch.setattr("sys.platform", "freebsd14")
    assert this_systems_dialect() is FREEBSD
    monkeypatch.setattr("sys.platform", "linux")
    assert this_systems_dialect() is LINUX
    monkeypatch.setattr("sys.platform", "sunos5")
    with pytest.raises(KernelError, match="no PF_KEY dialect is known for sunos5"):
        this_systems_dialect()


def test_what_a_kernel_supports_is_read_from_its_answer():
    """FreeBSD 14 has no 3DES: its answer lists NULL, AES-CBC and AES-GCM, HMAC-SHA-1 and HMAC-SHA-256."""

    def listed(kind, *numbers):
        body = SUPPORTED.pack() + b"".join(ALG.pack(sadb_alg_id=number) for number in numbers)
        return build_extension(kind, body)

    body = listed(SADB_EXT_SUPPORTED_AUTH, 3, 5) + listed(SADB_EXT_SUPPORTED_ENCRYPT, 11, 12, 20)
    answer = message(SADB_REGISTER, SATYPES[ESP], body)
    assert parse_supported(FREEBSD, answer) == {"null_enc", "aes_cbc", "aes_gcm", "hmac_sha1", "hmac_sha2_256"}
    assert parse_supported(FREEBSD, message(SADB_REGISTER, SATYPES[ESP], b"")) == set()
