"""What has gone wrong in other people's IKE daemons, one test each: the CVEs that touch IKEv1 and the shared code.

Each test is named after its CVE; its docstring says what happened there.
"""

from __future__ import annotations

import inspect
import random
import time

import pytest

from ike.config.settings import Identity
from ike.crypto import cipher, groups
from ike.crypto.algorithms import CIPHERS, GROUPS, GROUPS_BY_NUMBER, INTEGRITIES
from ike.exchange.path import Path
from ike.exchange.v1 import fragments, informational, phase1, quick_mode, rules
from ike.policy.v1_proposals import (
    NoProposalChosen,
    choose_phase1,
    choose_phase2,
    offer_phase1,
    wanted_suites,
)
from ike.wire.chain import MAX_PAYLOADS, build, walk
from ike.wire.cursor import WireError
from ike.wire.header import HEADER_SIZE, NO_SPI, VERSION_1, Header, decode_header
from ike.wire.numbers import Protocol
from ike.wire.v1 import (
    Delete,
    Fragment,
    Identification,
    KeyExchange,
    Nonce,
    Notification,
    Proposal,
    SaPayload,
    Transform,
    encode_clear,
)
from ike.wire.v1_numbers import AUTH_PRE_SHARED_KEY, KEY_IKE, Exchange, Flag, Notify, Payload, Phase1
from tests.unit.exchange.world import OSAKA, OSAKA_NET, TOKYO, TOKYO_NET, bring_up, settings, tunnel, world

FROM_TOKYO = Path(OSAKA, TOKYO)
SPI = b"attacker"


def half_open(tmp_path, messages: int, **changes):
    """A pair that has delivered only so many messages; tokyo began."""
    pair = world(tmp_path, **changes)
    bring_up(pair)
    for _ in range(messages):
        step(pair)
    return pair


def step(pair) -> None:
    """Deliver one datagram."""
    ends = pair.gateways()
    sender, receiver = ends if ends[0].engine.outbox else ends[::-1]
    path, datagram = sender.engine.outbox.popleft()
    pair.wire.append((sender.name, datagram))
    receiver.engine.receive(datagram, Path(path.peer, path.local, path.peer_port, path.local_port), pair.now)


def connected(tmp_path, **changes):
    pair = world(tmp_path, **changes)
    bring_up(pair)
    pair.exchange()
    assert pair.established()
    return pair


def session_of(gateway):
    (session,) = gateway.engine.sessions
    return session


def send(pair, datagram, path=FROM_TOKYO):
    """What an attacker, or tokyo, sends to osaka; the answers."""
    osaka = pair.osaka.engine
    before = len(osaka.outbox)
    osaka.receive(datagram, path, pair.now)
    return [answer for _, answer in list(osaka.outbox)[before:]]


def begin(offer, spi=SPI):
    return encode_clear(spi, NO_SPI, Exchange.MAIN_MODE, 0, [offer])


def encrypted(session, kind, message_id, size=64):
    """A datagram that claims to be encrypted; nobody has the key."""
    header = Header(session.spi_i, session.spi_r, Payload.HASH, VERSION_1, kind, Flag.ENCRYPTION, message_id, 0)
    return Header(**{**header.__dict__, "length": HEADER_SIZE + size}).encode() + bytes(size)


@pytest.mark.parametrize("messages", range(1, 5))
@pytest.mark.parametrize("kind", [Exchange.QUICK_MODE, Exchange.INFORMATIONAL, Exchange.NEW_GROUP_MODE, 36])
def test_cve_2014_2338_no_exchange_runs_before_authentication(tmp_path, messages, kind):
    """Rekeying an unestablished IKE SA made it an established one."""
    pair = half_open(tmp_path, messages)
    session = session_of(pair.osaka)
    assert send(pair, encrypted(session, kind, 7)) == []
    assert session.state == "connecting"
    assert not pair.osaka.kernel.installed


@pytest.mark.parametrize("messages", [1, 2])
def test_cve_2019_12312_an_error_before_there_are_keys_needs_none(tmp_path, messages):
    """An encrypted informational exchange before authentication: the error's answer used keys that were missing."""
    pair = half_open(tmp_path, messages)
    session = session_of(pair.osaka)
    assert session.keys is None
    assert send(pair, encrypted(session, Exchange.INFORMATIONAL, 7)) == []
    assert send(pair, encrypted(session, Exchange.MAIN_MODE, 0)) == []
    pair.exchange()
    assert pair.established()


MESSAGES = {
    rules.SA: [Payload.SA],
    rules.KEY_EXCHANGE: [Payload.KE, Payload.NONCE],
    rules.IDENTITY: [Payload.ID, Payload.HASH],
    rules.QUICK: [Payload.HASH, Payload.SA, Payload.NONCE],
    rules.QUICK_END: [Payload.HASH],
    rules.CONNECTED: [Payload.HASH, Payload.NOTIFY],
    rules.INFORMATIONAL: [Payload.HASH],
}


@pytest.mark.parametrize("rule", MESSAGES, ids=lambda rule: rule.name)
def test_cve_2013_6467_and_6466_a_missing_payload_reaches_no_exchange(rule):
    """Payloads that must be there and weren't were dereferenced."""
    whole = MESSAGES[rule]
    assert rule.complaint(whole) == ""
    for at, missing in enumerate(whole):
        assert "missing" in rule.complaint(whole[:at] + whole[at + 1 :])
        assert rule.complaint(whole[:at] + [missing ^ 64] + whole[at + 1 :])


@pytest.mark.parametrize("rule", MESSAGES, ids=lambda rule: rule.name)
def test_cve_2015_3991_payloads_of_the_other_version_reach_no_exchange(rule):
    """Payloads of IKEv2 inside IKEv1, and the reverse: one was taken for another."""
    for foreign in range(33, 49):
        assert "unexpected" in rule.complaint([*MESSAGES[rule], foreign])


def test_cve_2014_9221_only_registered_groups_reach_the_cryptography():
    """A group number of the daemon's own, private use could be named from outside."""
    configuration = settings(OSAKA, TOKYO, "")
    accepted = []
    for number in range(65536):
        transform = Transform(1, KEY_IKE, ((1, 5), (3, AUTH_PRE_SHARED_KEY), (2, 2), (4, number)))
        try:
            choose_phase1(configuration, SaPayload((Proposal(1, Protocol.ISAKMP, b"", (transform,)),)))
            accepted.append(number)
        except NoProposalChosen:
            continue
    assert accepted == [GROUPS["modp1024"].number]
    assert all(row.number == number for number, row in GROUPS_BY_NUMBER.items())


def weak_publics(group):
    prime, size = groups.modulus(group), group.public
    return [value.to_bytes(size, "big") for value in (0, 1, prime - 1, prime) if value < 1 << (8 * size)]


@pytest.mark.parametrize("name", ["modp1024", "modp2048"])
def test_cve_2015_3240_a_public_value_that_fixes_the_secret_is_refused(tmp_path, name):
    """A public value of zero."""
    group = GROUPS[name]
    for public in weak_publics(group):
        with pytest.raises(groups.KeyExchangeError):
            groups.generate(group).shared(public)


def test_cve_2015_3240_a_session_with_such_a_value_ends_without_keys(tmp_path):
    pair = half_open(tmp_path, 2)
    session = session_of(pair.osaka)
    payloads = [KeyExchange(bytes(128)), Nonce(bytes(16))]
    send(pair, encode_clear(session.spi_i, session.spi_r, Exchange.MAIN_MODE, 0, payloads))
    assert pair.osaka.said("a public value outside of modp1024")
    assert pair.osaka.engine.sessions == []


ATTRIBUTES = ((Phase1.ENCRYPTION, 5), (Phase1.AUTHENTICATION, 1), (Phase1.HASH, 2), (Phase1.GROUP, 2))


@pytest.mark.parametrize("missing", range(len(ATTRIBUTES)))
def test_cve_2016_5391_a_proposal_that_lacks_an_algorithm_is_not_taken(missing):
    """A proposal without a Diffie-Hellman group."""
    attributes = ATTRIBUTES[:missing] + ATTRIBUTES[missing + 1 :]
    offer = SaPayload((Proposal(1, Protocol.ISAKMP, b"", (Transform(1, KEY_IKE, attributes),)),))
    with pytest.raises(NoProposalChosen):
        choose_phase1(settings(OSAKA, TOKYO, ""), offer)


@pytest.mark.parametrize("bits", [0, 1, 64, 127, 129, 65535])
def test_cve_2016_3071_a_key_length_that_the_cipher_lacks_is_not_taken(bits):
    """An algorithm was negotiated that the cryptography couldn't run."""
    attributes = ((1, 7), (Phase1.KEY_LENGTH, bits), *ATTRIBUTES[1:])
    offer = SaPayload((Proposal(1, Protocol.ISAKMP, b"", (Transform(1, KEY_IKE, attributes),)),))
    configuration = settings(OSAKA, TOKYO, "", encryption=(("aes_cbc", 256),))
    with pytest.raises(NoProposalChosen):
        choose_phase1(configuration, offer)


def test_cve_2018_10811_a_suite_that_cannot_run_here_is_not_offered(monkeypatch):
    """The same, with an algorithm that the library had been built without."""
    monkeypatch.setattr(cipher, "supported", lambda row: row.name != "3des_cbc")
    configuration = settings(OSAKA, TOKYO, "", encryption=(("3des_cbc", 192), ("aes_cbc", 128)))
    (proposal,) = offer_phase1(configuration).proposals
    assert [transform.get(Phase1.ENCRYPTION) for transform in proposal.transforms] == [7]


def test_cve_2024_3652_no_suite_has_empty_keys():
    """Key material of no bytes for an algorithm that the daemon hadn't thought of (AES-GMAC)."""
    for row in CIPHERS.values():
        assert row.name == "null_enc" or all(row.material(bits) > 0 for bits in row.key_bits)
    assert all(row.key > 0 and row.icv > 0 for row in INTEGRITIES.values())
    unprotected = Transform(1, 11, ((4, 1),))  # ESP_NULL without integrity
    offer = SaPayload((Proposal(1, Protocol.V1_ESP, b"\0\0\1\1", (unprotected,)),))
    ours = wanted_suites(tunnel(OSAKA, TOKYO, OSAKA_NET, TOKYO_NET), False, None)
    with pytest.raises(NoProposalChosen):
        choose_phase2(offer, ours, "obey")


@pytest.mark.parametrize("length", range(HEADER_SIZE))
def test_cve_2013_4564_a_datagram_shorter_than_a_header_is_dropped(tmp_path, length):
    """A packet shorter than its header; an odd major version."""
    pair = world(tmp_path)
    assert send(pair, begin(offer_phase1(settings(OSAKA, TOKYO, "")))[:length]) == []
    assert pair.osaka.engine.sessions == []


@pytest.mark.parametrize("version", [0x00, 0x30, 0x11, 0xF0, 0xFF])
def test_cve_2013_4564_an_odd_version_begins_nothing(tmp_path, version):
    pair = world(tmp_path)
    datagram = bytearray(begin(offer_phase1(settings(OSAKA, TOKYO, ""))))
    datagram[17] = version
    assert send(pair, bytes(datagram)) == []
    assert pair.osaka.engine.sessions == []


def test_cve_2004_0218_to_0222_lengths_and_counts_that_lie_are_refused():
    """Payloads of no length looped; SPI and transform counts ran beyond the packet."""
    with pytest.raises(WireError):
        walk(Payload.SA, bytes.fromhex("01000000"))
    with pytest.raises(WireError):
        Delete.decode(bytes.fromhex("00000001 03 04 ffff 00000101"))
    body = bytearray(offer_phase1(settings(OSAKA, TOKYO, "")).encode())
    for at in range(8, len(body)):
        for value in (0, 1, 0x7F, 0xFF):
            harmed = bytes([*body[:at], value, *body[at + 1 :]])
            try:
                SaPayload.decode(harmed)
            except WireError:
                continue


@pytest.mark.parametrize("size", [0, 1, 4, 8, 16, 32])
def test_cve_2023_38711_an_identity_of_any_type_in_quick_mode_is_answered(tmp_path, size, monkeypatch):
    """An FQDN where quick mode's responder expected an address."""
    for kind in range(16):
        pair = half_open(tmp_path, 5)
        client = Identification(kind, 0, 0, bytes(size))
        monkeypatch.setattr(quick_mode, "encode_client", lambda *network, client=client: client)
        pair.exchange()
        assert not pair.osaka.kernel.installed
        assert pair.tokyo.said("INVALID-ID-INFORMATION")
        assert session_of(pair.osaka).state == "established"


def test_cve_2023_38712_what_follows_a_delete_finds_no_session(tmp_path):
    """A delete of the ISAKMP SA, followed by more notifications in the same message."""
    pair = connected(tmp_path)
    session = session_of(pair.tokyo)
    cookies = session.spi_i + session.spi_r
    rest = [Notification(Protocol.ISAKMP, kind, cookies, b"\0\0\0\1") for kind in (36136, 14, 24578, 16384)]
    session.inform([Delete(Protocol.ISAKMP, (cookies,)), *rest, Delete(Protocol.ISAKMP, (cookies,))])
    pair.deliver_once()
    assert pair.osaka.engine.sessions == []
    assert not pair.osaka.engine.outbox


def test_cve_2009_0790_a_dpd_probe_without_an_sa_is_dropped(tmp_path):
    """A spoofed R-U-THERE for an SA that wasn't there."""
    pair = world(tmp_path)
    probe = Notification(Protocol.ISAKMP, Notify.R_U_THERE, SPI + b"nobody's", b"\0\0\0\1")
    assert send(pair, encode_clear(SPI, b"nobody's", Exchange.INFORMATIONAL, 9, [probe])) == []


@pytest.mark.parametrize("protected", [False, True])
def test_cve_2019_10155_a_delete_counts_only_with_its_hash(tmp_path, protected):
    """Informational exchanges were believed without their hash: anybody could tear down tunnels."""
    pair = connected(tmp_path)
    session = session_of(pair.tokyo)
    child = pair.osaka.state.children[0]
    delete = Delete(Protocol.V1_ESP, (child.spi_out.to_bytes(4, "big"),))
    if protected:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(session.keys.__class__, "hash_1", lambda keys, message_id, chain: bytes(20))
            session.inform([delete])
        datagram = pair.tokyo.engine.outbox.pop()[1]
    else:
        datagram = encode_clear(session.spi_i, session.spi_r, Exchange.INFORMATIONAL, 9, [delete])
    assert send(pair, datagram) == []
    assert pair.osaka.state.children == [child]
    assert len(pair.osaka.installed()) == 2


def test_cve_2007_1841_a_clear_delete_of_the_isakmp_sa_changes_nothing(tmp_path):
    """racoon took a delete in clear."""
    pair = connected(tmp_path)
    session = session_of(pair.osaka)
    delete = Delete(Protocol.ISAKMP, (session.spi_i + session.spi_r,))
    send(pair, encode_clear(session.spi_i, session.spi_r, Exchange.INFORMATIONAL, 0, [delete]))
    assert session.state == "established"


def test_cve_2020_1763_and_2022_23094_a_line_about_a_dropped_packet_harms_nobody(tmp_path):
    """The crash came while the drop was being logged, for want of a state."""
    pair, dice = world(tmp_path), random.Random(3)
    good = begin(offer_phase1(settings(OSAKA, TOKYO, "")))
    for _ in range(3000):
        harmed = bytearray(good[: dice.randrange(len(good) + 1)] + dice.randbytes(dice.randrange(4)))
        for _flip in range(dice.randrange(4)):
            if harmed:
                harmed[dice.randrange(len(harmed))] = dice.randrange(256)
        send(pair, bytes(harmed))
    assert all(line.isprintable() for line in pair.osaka.lines)


def test_cve_2023_30570_a_refused_beginning_leaves_no_spi_to_use(tmp_path):
    """The refusal held a responder's SPI, with which the next message found a state."""
    pair = world(tmp_path)
    (refusal,) = send(pair, begin(offer_phase1(settings(OSAKA, TOKYO, "", groups=("modp8192",)))))
    assert decode_header(refusal).exchange == Exchange.INFORMATIONAL
    assert pair.osaka.engine.sessions == []
    header = decode_header(refusal)
    follow_up = encode_clear(header.spi_i, header.spi_r, Exchange.MAIN_MODE, 0, [KeyExchange(bytes(128))])
    assert send(pair, follow_up) == []


def test_cve_2024_2357_without_a_key_nothing_crashes_and_nothing_spins(tmp_path):
    """No PSK was found; the retransmission crashed, and the daemon started over, and over."""
    pair = half_open(tmp_path, 1)
    (tmp_path / "osaka.psk").unlink()
    pair.run(300)
    assert pair.osaka.said("No such file")
    assert pair.osaka.engine.sessions == []
    assert not pair.tokyo.kernel.installed
    assert len(pair.wire) < 60


@pytest.mark.parametrize("count, fits", [(MAX_PAYLOADS - 1, True), (MAX_PAYLOADS, True), (MAX_PAYLOADS + 1, False)])
def test_cve_2026_12413_the_limit_of_payloads_is_exact(count, fits):
    """One outer payload too many during reassembly met an assertion that was off by one."""
    first, chain = build([(Payload.VID, b"x")] * count)
    if fits:
        assert len(walk(first, chain)[0]) == count
    else:
        with pytest.raises(WireError):
            walk(first, chain)


def test_cve_2016_10396_joining_fragments_takes_linear_time():
    """Each fragment walked the list of all earlier ones."""

    def seconds(sets: int) -> float:
        reassembly, start = fragments.Reassembly(), time.process_time()
        for _ in range(sets):
            for number in range(255, 1, -1):
                reassembly.add(*piece(number, b"x"))
        return time.process_time() - start

    assert seconds(8) < 40 * max(seconds(1), 0.002)


def piece(number, data, last=False):
    datagram = encode_clear(SPI, b"responds", Exchange.MAIN_MODE, 0, [Fragment(1, number, last, data)])
    return decode_header(datagram), datagram


@pytest.mark.parametrize("body", [b"", b"\0\1", b"\0\1\1\1", b"\0\1\0\1data"])
def test_cve_2013_6076_and_2009_1574_an_empty_fragment_is_dropped(tmp_path, body):
    """A fragment without a body was dereferenced."""
    pair = half_open(tmp_path, 2)
    session = session_of(pair.osaka)
    first, chain = build([(Payload.FRAGMENT, body)])
    header = Header(session.spi_i, session.spi_r, first, VERSION_1, 2, 0, 0, HEADER_SIZE + len(chain))
    assert send(pair, header.encode() + chain) == []
    pair.exchange()
    assert pair.established()


def test_cve_2016_5361_a_half_open_responder_sends_nothing_unasked(tmp_path):
    """Responders sent main mode's second message again and again, to whomever a spoofed first one named."""
    pair = half_open(tmp_path, 1)
    assert len(pair.osaka.engine.outbox) == 1
    for second in range(300):
        pair.osaka.engine.run_timers(pair.now + second)
    assert len(pair.osaka.engine.outbox) == 1
    assert pair.osaka.engine.sessions == []


def test_cve_2018_5389_aggressive_mode_begins_nothing(tmp_path):
    """A responder's hash in aggressive mode lets anybody guess the pre-shared key offline."""
    pair = world(tmp_path)
    offer = offer_phase1(settings(OSAKA, TOKYO, ""))
    datagram = encode_clear(SPI, NO_SPI, Exchange.AGGRESSIVE, 0, [offer, KeyExchange(bytes(128))])
    assert send(pair, datagram) == []
    assert pair.osaka.engine.sessions == []


def test_cve_2002_1623_secrets_are_compared_in_constant_time():
    """The same for main mode's hashes, by timing."""
    for module in (phase1, quick_mode, informational):
        assert "compare_digest" in inspect.getsource(module)


@pytest.mark.parametrize("length", [0, 1, 127, 129, 256, 65000])
def test_cve_2023_41913_a_public_value_has_its_groups_length(length):
    """The length of a public value wasn't checked before it was copied."""
    with pytest.raises(groups.KeyExchangeError):
        groups.generate(GROUPS["modp1024"]).shared(b"\2" * length)


def test_cve_2008_3651_and_3652_invalid_proposals_leave_no_session(tmp_path):
    """Each invalid proposal left its state behind. (The flood is in test_v1_weather.py.)"""
    pair = world(tmp_path)
    unwanted = offer_phase1(settings(OSAKA, TOKYO, "", groups=("modp8192",)))
    for number in range(200):
        send(pair, begin(unwanted, number.to_bytes(8, "big") if number else SPI))
    assert pair.osaka.engine.sessions == []
    assert pair.osaka.engine.deadline() is None


def test_cve_2006_4436_each_sa_has_a_replay_window(tmp_path):
    """The window was silently none."""
    pair = connected(tmp_path)
    assert all(sa.replay_window >= 32 for gateway in pair.gateways() for sa in gateway.installed())


def test_cve_2020_16088_only_a_right_hash_authenticates(tmp_path, monkeypatch):
    """A daemon whose authentication could be passed by."""
    monkeypatch.setattr("ike.crypto.v1_keys.Phase1Keys.hash_i", lambda keys, sa, identity: random.randbytes(20))
    pair = half_open(tmp_path, 5)
    assert pair.osaka.said("authentication failed")
    assert all(session.state != "established" for session in pair.osaka.engine.sessions)


def test_cve_2021_45079_the_right_key_with_another_identity_is_not_enough(tmp_path):
    """Success came before the peer had proved all that its configuration asks for."""
    pair = half_open(tmp_path, 5, tokyo={"my_ids": (Identity("fqdn", "somebody.example"),)})
    assert pair.osaka.said("the peer calls itself fqdn somebody.example")
    assert all(session.state != "established" for session in pair.osaka.engine.sessions)


@pytest.mark.parametrize("spi", [0, 1, 255])
def test_a_reserved_spi_is_refused(tmp_path, spi, monkeypatch):
    """No CVE yet: RFC 4303 2.1 reserves the SPIs up to 255."""
    pair = half_open(tmp_path, 5)
    monkeypatch.setattr(quick_mode, "_packed", lambda number: spi.to_bytes(4, "big"))
    pair.exchange()
    assert pair.osaka.said("reserved SPI")
    assert not pair.osaka.kernel.installed
