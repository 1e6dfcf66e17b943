# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.kernel.none import described
from ike.kernel.setkey import format_policy, format_sa, format_sad, format_spd
from ike.kernel.setkey_parser import FREEBSD_WINDOW_UNIT, SetkeyError, parse_sad, parse_spd
from ike.policy.sa import (
    ESP,
    OUT,
    TRANSPORT,
    TUNNEL,
    Encapsulation,
    Lifetime,
    Policy,
    PolicyState,
    SaState,
    Template,
    TrafficSelector,
)
from tests.unit.kernel.strategies import associations, policies, ports

TOKYO, OSAKA = ipaddress.ip_address("210.11.11.11"), ipaddress.ip_address("210.22.22.22")
TUNNEL_SELECTOR = TrafficSelector(ipaddress.ip_network("192.168.10.0/24"), ipaddress.ip_network("192.168.20.0/24"))
NEVER = " " * 20


@pytest.fixture(autouse=True)
def tokyo_time(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


OUTBOUND = SaState(
    source=TOKYO,
    destination=OSAKA,
    protocol=ESP,
    spi=0x0A6FE4CA,
    mode=TUNNEL,
    state="mature",
    encryption="3des_cbc",
    encryption_bits=192,
    integrity="hmac_sha1",
    integrity_bits=160,
    icv_bits=96,
    replay_window=4,
    lifetime=Lifetime(28800, 28800),
    bytes=252,
    packets=3,
    added=1163376000,
    used=1163376001,
)

LINUX_SAD = """\
210.11.11.11 210.22.22.22 
	esp mode=tunnel spi=175105226(0x0a6fe4ca) reqid=0(0x00000000)
	E: 3des-cbc  {encryption}
	A: hmac-sha1  {integrity}
	seq=0x00000000 replay=4 flags=0x00000000 state=mature 
	created: Nov 13 09:00:00 2006	current: Nov 13 09:01:00 2006
	diff: 60(s)	hard: 28800(s)	soft: 28800(s)
	last: Nov 13 09:00:01 2006	hard: 0(s)	soft: 0(s)
	current: 252(bytes)	hard: 0(bytes)	soft: 0(bytes)
	allocated: 3	hard: 0	soft: 0
	sadb_seq=0 pid=0 refcnt=0
"""  # noqa: W291
OURS = LINUX_SAD.format(encryption="(192 bits, key not shown)", integrity="(160 bits, key not shown)")
SETKEYS = LINUX_SAD.format(
    encryption="41fb96fe 96f33f26 8d6a5088 18ee4491 4ba8a10a b0a28a44",
    integrity="49c3895a 01363775 9bb2b4f4 dee149a5 e40735bd",
)

FREEBSD_SAD = """\
210.22.22.22[4500] 210.11.11.11[4500]
	esp-udp mode=tunnel spi=76889771(0x04953eab) reqid=0(0x00000000)
	NAT: OAI=192.0.2.1 OAR=210.11.11.11
	E: aes-gcm-16  fae7adb0 90bfdbca b6439d63 a3abea69 a5919ac5
	seq=0x00000003 replay=4 flags=0x00000440 state=dying 
	created: Nov 13 09:00:00 2006	current: Nov 13 09:01:00 2006
	diff: 60(s)	hard: 28800(s)	soft: 23040(s)
	last: Nov 13 09:00:01 2006	hard: 0(s)	soft: 0(s)
	current: 252(bytes)	hard: 1000(bytes)	soft: 800(bytes)
	allocated: 3	hard: 0	soft: 0
	sadb_seq=1 pid=1234 refcnt=1
fd00::1 fd00::2
	ah mode=transport spi=4660(0x00001234) reqid=16385(0x00004001)
	A: hmac-sha2-256  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
	seq=0x00000000 replay=32 flags=0x00000040 state=mature 
	sadb_seq=0 pid=1234 refcnt=1
"""  # noqa: W291

LINUX_SPD = """\
192.168.20.0/24[any] 192.168.10.0/24[any] 255
	fwd prio def ipsec
	esp/tunnel/210.22.22.22-210.11.11.11/require
	created: Nov 13 09:00:00 2006  lastused:                     
	lifetime: 0(s) validtime: 0(s)
	spid=18 seq=1 pid=4711
	refcnt=1
192.168.10.0/24[any] 192.168.20.0/24[any] 255
	out prio high + 1073740824 ipsec
	esp/tunnel/210.11.11.11-210.22.22.22/unique#16385
	created: Nov 13 09:00:00 2006  lastused: Nov 13 09:00:01 2006
	lifetime: 0(s) validtime: 0(s)
	spid=9 seq=2 pid=4711
	refcnt=2
(per-socket policy) 
	out(socket) none
	created: Nov 13 09:00:00 2006  lastused:                     
	lifetime: 0(s) validtime: 0(s)
	spid=28 seq=0 pid=4711
	refcnt=1
"""  # noqa: W291

FREEBSD_SPD = """\
192.168.10.0/24[any] 192.168.20.0/24[any] any
	out ipsec
	esp/tunnel/210.11.11.11-210.22.22.22/require
	spid=3 seq=1 pid=821 scope=global 
	refcnt=1
fd00::1 fd00::2[22] tcp
	in discard
	spid=4 seq=0 pid=821 scope=global 
	refcnt=1
fe80::/10 ff02::/16 icmp6 135,0
	out none
	spid=5 seq=0 pid=821 scope=global 
	refcnt=1
"""  # noqa: W291


def test_an_sa_in_setkeys_format_without_its_keys():
    assert format_sa(OUTBOUND, OUTBOUND.added + 60) == OURS


@pytest.mark.parametrize("text", [OURS, SETKEYS])
def test_an_sa_is_read_back_and_its_keys_are_dropped(text):
    assert parse_sad(text) == [OUTBOUND]


def test_freebsds_sad():
    first, second = parse_sad(FREEBSD_SAD, FREEBSD_WINDOW_UNIT)
    assert first == SaState(
        source=OSAKA,
        destination=TOKYO,
        protocol=ESP,
        spi=0x04953EAB,
        mode=TUNNEL,
        state="dying",
        encryption="aes_gcm",
        encryption_bits=128,
        icv_bits=128,
        replay_window=32,
        esn=True,
        lifetime=Lifetime(23040, 28800, 800, 1000),
        encapsulation=Encapsulation(4500, 4500),
        bytes=252,
        packets=3,
        added=1163376000,
        used=1163376001,
    )
    assert (second.protocol, second.mode, second.reqid, second.integrity) == (51, TRANSPORT, 16385, "hmac_sha2_256")
    assert (second.integrity_bits, second.icv_bits, second.replay_window) == (256, 128, 256)


def test_a_larval_sa_has_no_key_lines():
    larval = SaState(OSAKA, TOKYO, ESP, 0x1000, TUNNEL, "larval", added=1163376000)
    text = format_sa(larval, 1163376000)
    assert "state=larval \n" in text
    assert "E:" not in text
    assert "\tlast: {}\thard".format(NEVER) in text
    assert parse_sad(text) == [larval]


def test_an_algorithm_that_setkey_does_not_know_is_kept():
    text = OURS.replace("3des-cbc", "camellia-cbc").replace("hmac-sha1", "tcp-md5")
    (state,) = parse_sad(text)
    assert (state.encryption, state.encryption_bits, state.integrity) == ("camellia-cbc", 192, "tcp-md5")


# What setkey's format has no place for
UNSPOKEN = {"selector": None, "replay_errors": 0, "replay_window_errors": 0, "integrity_errors": 0}


@given(associations(), st.integers(1, 2**31), st.integers(0, 2**31), st.integers(0, 2**63))
def test_every_sa_round_trips(association, added, used, count):
    if association.integrity == "hmac_sha2_256_96":
        association = replace(association, integrity="hmac_sha2_256")
    state = replace(described(association, added), used=used, bytes=count, packets=count, **UNSPOKEN)
    assert parse_sad(format_sad([state, state], added)) == [state, state]


def test_a_policy_in_setkeys_format():
    template = Template(ESP, TUNNEL, TOKYO, OSAKA)
    state = PolicyState(Policy(TUNNEL_SELECTOR, OUT, "ipsec", (template,)), 9, 1163376000)
    assert format_policy(state) == (
        "192.168.10.0/24[any] 192.168.20.0/24[any] any\n"
        "\tout ipsec\n"
        "\tesp/tunnel/210.11.11.11-210.22.22.22/require\n"
        "\tcreated: Nov 13 09:00:00 2006  lastused: {}\n"
        "\tlifetime: 0(s) validtime: 0(s)\n"
        "\tspid=9 seq=0 pid=0\n"
        "\trefcnt=0\n"
    ).format(NEVER)
    assert format_policy(state.policy).startswith("192.168.10.0/24[any]")


def test_linuxes_spd():
    forward, outbound = parse_spd(LINUX_SPD)
    assert forward.policy == Policy(
        TUNNEL_SELECTOR.reversed(), "fwd", "ipsec", (Template(ESP, TUNNEL, OSAKA, TOKYO),), 0x80000000
    )
    assert (forward.index, forward.added, forward.used) == (18, 1163376000, 0)
    assert outbound.policy == Policy(
        TUNNEL_SELECTOR, "out", "ipsec", (Template(ESP, TUNNEL, TOKYO, OSAKA, 16385),), 1000
    )
    assert outbound.used == 1163376001


def test_freebsds_spd():
    outbound, discard, neighbours = parse_spd(FREEBSD_SPD)
    assert outbound.policy == Policy(TUNNEL_SELECTOR, "out", "ipsec", (Template(ESP, TUNNEL, TOKYO, OSAKA),))
    assert (discard.policy.action, discard.policy.selector.destination_port) == ("discard", 22)
    assert (neighbours.policy.action, neighbours.policy.selector.source_port) == ("bypass", 135)
    assert neighbours.policy.selector.protocol == 58


@given(policies(), st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 2**32 - 1))
def test_every_policy_round_trips(policy, added, used, index):
    state = PolicyState(policy, index, added, used)
    assert parse_spd(format_spd([state, state])) == [state, state]


@given(st.integers(0, 2**32 - 1), ports)
def test_every_priority_round_trips(priority, port):
    policy = Policy(replace(TUNNEL_SELECTOR, protocol=6, source_port=port), OUT, "discard", priority=priority)
    assert parse_spd(format_policy(policy))[0].policy == policy


def test_a_key_that_goes_on_in_the_next_line():
    wrapped = " ".join(["00000000"] * 8) + "\n 00000000"
    (state,) = parse_sad(
        SETKEYS.replace("3des-cbc", "aes-gcm-16").replace(SETKEYS.splitlines()[2].split("  ")[1], wrapped)
    )
    assert (state.encryption, state.encryption_bits, state.added) == ("aes_gcm", 256, OUTBOUND.added)


def test_an_error_holds_nothing_of_the_keys():
    for text in (SETKEYS.replace("\t", ""), SETKEYS.replace("seq=", "sqe="), "\n".join(SETKEYS.split())):
        with pytest.raises(SetkeyError) as caught:
            parse_sad(text)
        assert not any(part in str(caught.value) for part in ("41fb96fe", "e40735bd"))
        assert caught.value.__cause__ is None


def test_empty_tables():
    assert format_sad([], 0) == "No SAD entries.\n"
    assert format_spd([]) == "No SPD entries.\n"
    assert parse_sad("No SAD entries.\n") == parse_spd("No SPD entries.\n") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\tesp mode=tunnel", "line 1: an indented line before the first entry"),
        ("hello\n", "line 1: no pair of addresses"),
        ("1.2.3.4 1.2.3.5\n\tsadb_seq=0\n", "line 1: no line like"),
        (
            OURS.replace("210.22.22.22", "210.22.22.999"),
            "line 1: a wrong address",
        ),
        (OURS.replace("esp mode", "nonsense mode"), "line 1: an unknown IPsec protocol"),
        (OURS.replace("Nov 13 09:00:01", "Foo 13 09:00:01"), "line 1: an unknown month"),
        (OURS + OURS.replace("state=", "state:"), "line 12: no line like"),
    ],
)
def test_what_is_not_setkeys_sad_is_refused_by_line(text, words):
    with pytest.raises(SetkeyError) as caught:
        parse_sad(text)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    "text", ["any\n", "10.0.0.0/99[any] 10.0.0.0/8[any] any\n\tin none\n", "::/0 ::/0 what\n\tin none\n"]
)
def test_what_is_not_setkeys_spd_is_refused(text):
    with pytest.raises(SetkeyError):
        parse_spd(text)


@given(
    st.text(max_size=300), st.sampled_from([OURS, SETKEYS, FREEBSD_SAD, LINUX_SPD, FREEBSD_SPD]), st.integers(0, 900)
)
def test_any_text_parses_or_is_refused(noise, text, cut):
    for parse in (parse_sad, parse_spd):
        try:
            parse(text[:cut] + noise + text[cut:])
        except SetkeyError:
            pass
