"""The capture of the wire: written, read back, told apart, shown."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address

import pytest

from lab.internet import frames
from lab.internet.capture import Captured, CaptureWriter, count_kinds, describe, kind, read_capture
from lab.internet.frames import Packet, ethernet, icmp, ipv4
from lab.wire import CANARY, canaries, esp_spis

TOKYO, OSAKA = IPv4Address("210.11.11.11"), IPv4Address("210.22.22.22")
TOKYO_CLIENT, OSAKA_CLIENT = IPv4Address("192.168.10.2"), IPv4Address("192.168.20.2")


def udp(port, payload):
    return port.to_bytes(2, "big") * 2 + (8 + len(payload)).to_bytes(2, "big") + bytes(2) + payload


def frame(data):
    return ethernet(bytes(6), bytes(6), frames.ETHERTYPE_IPV4, data)


PING = ipv4(TOKYO_CLIENT, OSAKA_CLIENT, frames.ICMP, icmp(frames.ICMP_ECHO_REQUEST, 0, bytes(4) + CANARY))
ESP = ipv4(TOKYO, OSAKA, frames.ESP, b"\xde\xad\xbe\xef\0\0\0\x07" + bytes(40))
IKE = ipv4(TOKYO, OSAKA, frames.UDP, udp(500, bytes(28)))
PACKETS = {
    "esp": ESP,
    "ah": ipv4(TOKYO, OSAKA, frames.AH, bytes(24)),
    "ike": IKE,
    "esp-in-udp": ipv4(TOKYO, OSAKA, frames.UDP, udp(4500, b"\0\0\0\1" + bytes(20))),
    "cleartext": PING,
    "other": ipv4(TOKYO, OSAKA, frames.ICMP, icmp(frames.ICMP_ECHO_REQUEST, 0, bytes(8))),
}


@pytest.mark.parametrize("name", PACKETS)
def test_kind(name):
    assert kind(Packet.parse(PACKETS[name])) == name


def test_ike_on_the_nat_port_is_told_by_its_marker():
    assert kind(Packet.parse(ipv4(TOKYO, OSAKA, frames.UDP, udp(4500, bytes(32))))) == "ike"


@pytest.mark.parametrize(("protocol", "header"), [(frames.IPIP, b""), (frames.GRE, b"\0\0\x08\0")])
def test_a_private_packet_in_a_plain_tunnel_is_cleartext(protocol, header):
    assert kind(Packet.parse(ipv4(TOKYO, OSAKA, protocol, header + PING))) == "cleartext"


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "wire.pcap"
    writer = CaptureWriter(path)
    writer.write(frame(ESP), 1_000_000_000.25)
    middle = path.stat().st_size
    writer.write(frame(PING), 1_000_000_001.5)
    assert list(read_capture(path)) == [Captured(1_000_000_000.25, frame(ESP)), Captured(1_000_000_001.5, frame(PING))]
    assert list(read_capture(path, middle)) == [Captured(1_000_000_001.5, frame(PING))]


def test_counts_kinds_and_leaves_out_what_is_no_ipv4():
    captured = [Captured(0, frame(data)) for data in PACKETS.values()] + [Captured(0, b"\0" * 12), Captured(0, b"")]
    assert count_kinds(captured) == dict.fromkeys(PACKETS, 1)


def test_describes_as_tcpdump_does():
    assert describe(Captured(0.5, frame(ESP))) == (
        "00:00:00.500000 IP 210.11.11.11 > 210.22.22.22: ESP(spi=0xdeadbeef,seq=0x7), length 48"
    )
    assert describe(Captured(0, frame(IKE))) == (
        "00:00:00.000000 IP 210.11.11.11.500 > 210.22.22.22.500: isakmp, length 36"
    )


def test_tcpdump_reads_it(tmp_path):
    path = tmp_path / "wire.pcap"
    writer = CaptureWriter(path)
    writer.write(frame(ESP), 0)
    with path.open("rb") as file:
        output = subprocess.run(["tcpdump", "-nr", "-"], stdin=file, check=True, capture_output=True, text=True).stdout
    assert "IP 210.11.11.11 > 210.22.22.22: ESP(spi=0xdeadbeef,seq=0x7), length 48" in output


def test_spis_by_direction():
    captured = [Captured(0, frame(ESP)), Captured(0, frame(PING)), Captured(0, b"")]
    assert esp_spis(captured, TOKYO, OSAKA) == {0xDEADBEEF}
    assert esp_spis(captured, OSAKA, TOKYO) == set()


def test_finds_the_canary_in_whatever_wrapping():
    assert canaries([Captured(0, frame(PING)), Captured(0, frame(ESP)), Captured(0, b"odd" + PING)]) == 2
