"""What FreeBSD's commands print, read as a gateway's surroundings: links, routes, settings, pf and ipfw."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_tunnels import ipsec_tunnels
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.ipfw import read_ipfw
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.packet_filter import Packet
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.pf import read_pf, read_skipped
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.sanity import check_tunnel, ways
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.survey import survey
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import expectation
from ansible_collections.tanuki.ipsec.plugins.module_utils.freebsd.listings import (
    read_entries,
    read_interfaces,
    read_lookup,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.told import INVENTORY, policies

(DATA,) = ipsec_tunnels(INVENTORY, "tokyo", list(INVENTORY))
EXPECTED = expectation(DATA)
PEER, US = "210.22.22.22", "210.11.11.11"
LAN, FAR = "192.168.10.0/24", "192.168.20.0/24"

# The formats are those of FreeBSD 14's manual pages and sources; no FreeBSD was at hand.
IFCONFIG = """\
em0: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500
\toptions=48505bb<RXCSUM,TXCSUM,VLAN_MTU>
\tether 52:54:00:00:01:01
\tinet 210.11.11.11 netmask 0xffffff00 broadcast 210.11.11.255
\tinet6 2001:db8::1 prefixlen 64
\tmedia: Ethernet autoselect (1000baseT <full-duplex>)
\tstatus: active
\tnd6 options=21<PERFORMNUD,AUTO_LINKLOCAL>
em1: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500
\tinet 192.168.10.1 netmask 0xffffff00 broadcast 192.168.10.255
\tinet6 fe80::1%em1 prefixlen 64 scopeid 0x2
lo0: flags=1008049<UP,LOOPBACK,RUNNING,MULTICAST,LOWER_UP> metric 0 mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
\tgroups: lo
"""
GIF = """\
office: flags=8051<UP,POINTOPOINT,RUNNING,MULTICAST> metric 0 mtu 1280
\ttunnel inet 210.11.11.11 --> 210.22.22.22
\tinet 10.0.0.1 --> 10.0.0.2 netmask 0xffffffff
\tgroups: gif
"""
NETSTAT = """\
Routing tables

Internet:
Destination        Gateway            Flags     Netif Expire
default            210.11.11.1        UGS         em0
127.0.0.1          link#3             UH          lo0
192.168.10.0/24    link#2             U           em1
210.11.11.0/24     link#1             U           em0

Internet6:
Destination                       Gateway                       Flags     Netif Expire
::1                               link#3                        UHS         lo0
fe80::%em1/64                     link#2                        U           em1
"""
ROUTE_GET = """\
   route to: 192.168.20.254
destination: 0.0.0.0
       mask: 0.0.0.0
    gateway: 210.11.11.1
        fib: 0
  interface: em0
      flags: <UP,GATEWAY,DONE,STATIC>
 recvpipe  sendpipe  ssthresh  rtt,msec    mtu        weight    expire
       0         0         0         0      1500         1         0
"""


class Gateway:
    """A FreeBSD gateway by its commands' output; ``pf`` and ``ipfw`` are None where the module isn't loaded."""

    def __init__(self, ifconfig=IFCONFIG, netstat=NETSTAT, forwarding="1", pf=None, nat="", ipfw=None):
        self.outputs = {
            ("uname",): "FreeBSD\n",
            ("ifconfig",): ifconfig,
            ("netstat",): netstat,
            ("route",): ROUTE_GET,
            ("sysctl", "-n", "net.inet.ip.forwarding"): forwarding + "\n",
            ("pfctl", "-s", "rules"): pf,
            ("pfctl", "-s", "nat"): nat,
            ("pfctl", "-s", "info"): None if pf is None else "Status: Enabled for 0 days 00:01:00\n",
            ("pfctl", "-s", "Interfaces"): "em0\n\tCleared: never\nem1\nlo0 (skip)\n",
            ("ipfw", "list"): ipfw,
            ("sysctl", "-n", "net.inet.ip.fw.enable"): None if ipfw is None else "1\n",
        }

    def __call__(self, words):
        found = [output for key, output in self.outputs.items() if tuple(words[: len(key)]) == key]
        if not found or found[0] is None:
            return 1, "", "pfctl: /dev/pf: No such file or directory\n"
        return 0, found[0], ""

    def states(self):
        around = survey(Look(self), ways(EXPECTED), policies("tokyo"))
        checks = [check for check in check_tunnel(around, EXPECTED) if check.state != "holds"]
        return {(check.name, check.state): check.text for check in checks}


# ---- Links, routes, settings -----------------------------------------------------------------------------------------


def test_a_healthy_gateway_passes_every_check():
    look = Look(Gateway())
    around = survey(look, ways(EXPECTED), policies("tokyo"))
    checks = check_tunnel(around, EXPECTED)
    assert {check.state for check in checks} == {"holds"} and look.unseen == []
    assert {check.name for check in checks} == {
        "leftover_tunnel", "route", "forwarding", "masquerade", "forward_filter", "ike_filter", "esp_filter"
    }  # fmt: skip
    assert around.inner(ipaddress.ip_network(LAN)) == ("em1", ipaddress.ip_address("192.168.10.1"))


def test_a_renamed_gif_interface_to_the_peer_is_left_over():
    states = Gateway(ifconfig=IFCONFIG + GIF).states()
    assert states == {("leftover_tunnel", "fails"): "the device office (gif) leads to 210.22.22.22"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("192.168.20.0/24    210.22.22.22       UGS         em0", "static 192.168.20.0/24 via 210.22.22.22 dev em0"),
        ("192.168.20.128/25  210.11.11.1        UGS         em0", "static 192.168.20.128/25 via 210.11.11.1 dev em0"),
        ("192.168.20.7       link#4             UHS        gif0", "static 192.168.20.7/32 dev gif0"),
        ("192.168.20.0/24    127.0.0.1          UGSB        lo0", "blackhole 192.168.20.0/24 via 127.0.0.1 dev lo0"),
        ("192.168.20.0/24    127.0.0.1          UGSR        lo0", "unreachable 192.168.20.0/24 via 127.0.0.1 dev lo0"),
    ],
)
def test_a_route_that_leads_away_is_named(line, says):
    states = Gateway(netstat=NETSTAT.replace("127.0.0.1 ", line + "\n127.0.0.1 ", 1)).states()
    assert states == {("route", "fails"): f"a route takes {FAR} away from the tunnel: {says}"}


def test_the_route_by_our_own_lan_address_is_right_on_freebsd():
    line = "192.168.20.0/24    192.168.10.1       UGS         em1\n"
    assert Gateway(netstat=NETSTAT.replace("192.168.10.0/24", line + "192.168.10.0/24", 1)).states() == {}


def test_forwarding_by_its_own_name():
    assert Gateway(forwarding="0").states() == {("forwarding", "fails"): "net.inet.ip.forwarding is 0"}


def test_older_columns_are_found_by_their_headlines():
    text = "Destination Gateway Flags Refs Use Netif Expire\n192.168.20.0/24 210.22.22.22 UGS 0 123 em0\n"
    assert [str(entry) for entry in read_entries(text)] == ["192.168.20.0/24 210.22.22.22 UGS em0"]


def test_what_ifconfig_prints():
    em0, em1, lo0, office = read_interfaces(IFCONFIG + GIF)
    assert (em0.up, em0.mtu, [str(one) for one in em0.addresses]) == (True, 1500, ["210.11.11.11/24", "2001:db8::1/64"])
    assert [str(one) for one in em1.addresses] == ["192.168.10.1/24", "fe80::1/64"]
    assert lo0.groups == ("lo",)
    assert (str(office.tunnel_end), [str(one) for one in office.addresses]) == (PEER, ["10.0.0.1/32"])


def test_what_route_answers():
    found = read_lookup(ROUTE_GET)
    assert (found["interface"], found["gateway"]) == ("em0", "210.11.11.1")


@given(st.text(max_size=300))
def test_no_listing_stops_the_reader(text):
    read_interfaces(text)
    read_entries("Destination Gateway Flags Netif Expire\n" + text)
    read_lookup(text)


# ---- pf --------------------------------------------------------------------------------------------------------------

OWN = {"em0": [US], "em1": ["192.168.10.1"]}
PF = """\
scrub in all fragment reassemble
block drop in log all
block drop in quick on ! em0 inet from 210.11.11.0/24 to any
pass in quick on em0 inet proto udp from 210.22.22.22 to (em0) port = isakmp keep state
pass in on em0 inet proto udp from any to 210.11.11.11 port 4500:4501 keep state (if-bound)
pass in on em0 inet proto esp from 210.22.22.22 to any keep state label "the peer's ESP"
pass in on em1 inet from 192.168.10.0/24 to any flags S/SA keep state
pass out all flags S/SA keep state
"""


def packet(source, destination, protocol, port=0, **more):
    return Packet(ipaddress.ip_network(source), ipaddress.ip_network(destination), protocol, port, **more)


@pytest.mark.parametrize(
    ("incoming", "verdict"),
    [
        (packet(PEER, US, "udp", 500, in_device="em0"), "accept"),
        (packet(PEER, US, "udp", 4500, in_device="em0"), "accept"),
        (packet("210.33.33.33", US, "udp", 500, in_device="em0"), "drop"),
        (packet(PEER, US, "esp", in_device="em0"), "accept"),
        (packet(LAN, FAR, "tcp", 80, in_device="em1"), "accept"),
        (packet(PEER, US, "tcp", 22, in_device="em0"), "drop"),
        (packet("210.11.11.9", US, "udp", 4500, in_device="em1"), "drop"),
        (packet(PEER, US, "tcp", 22, in_device="lo0"), "accept"),
    ],
)
def test_pf_takes_the_last_rule_or_the_first_quick_one(incoming, verdict):
    fate = read_pf(PF, "", OWN, ["lo0"]).fate(incoming, "input")
    assert (fate.verdict, fate.certain) == (verdict, True)


@pytest.mark.parametrize(
    "rule",
    [
        'anchor "blocklistd/*" in',
        "block drop in from <bad> to any",
        "block drop in on em0 proto esp from any to any tagged X",
        "block drop in proto esp from ! <friends> to any",
        "block drop in quick proto esp from any to any probability 10%",
    ],
)
def test_a_rule_that_is_not_understood_leaves_a_doubt(rule):
    fate = read_pf("pass in all\n" + rule + "\n", "", OWN).fate(packet(PEER, US, "esp", in_device="em0"), "input")
    assert (fate.verdict, fate.certain) == ("accept", False)
    assert rule in fate.doubts[0]


def test_pf_in_the_gateways_verdict():
    assert Gateway(pf=PF).states() == {}
    without_esp = "".join(line for line in PF.splitlines(keepends=True) if "esp" not in line)
    ((name, state),) = Gateway(pf=without_esp).states()
    assert (name, state) == ("esp_filter", "fails")
    ((name, state),) = Gateway(pf=PF.replace("192.168.10.0/24 to any", "192.168.10.0/24 to ! 192.168.20.0/24")).states()
    assert (name, state) == ("forward_filter", "fails")


def test_nat_harms_only_where_it_sees_the_tunnels_packets():
    nat = "nat on {} inet from 192.168.10.0/24 to any -> (em0) round-robin\n"
    assert Gateway(pf=PF, nat=nat.format("em0")).states() == {}
    assert list(Gateway(pf=PF, nat=nat.format("enc0")).states()) == [("masquerade", "fails")]
    exempted = "no nat on enc0 inet from 192.168.10.0/24 to 192.168.20.0/24\n"
    assert Gateway(pf=PF, nat=exempted + nat.format("enc0")).states() == {}


def test_enc0_is_not_followed_and_said_so():
    enc = "enc0: flags=41<UP,RUNNING> metric 0 mtu 1536\n\tgroups: enc\n"
    ((name, state), text), = Gateway(ifconfig=IFCONFIG + enc, pf=PF).states().items()  # fmt: skip
    assert (name, state) == ("forward_filter", "unsure") and "enc0 is up" in text


def test_a_pf_that_may_not_be_read_is_not_taken_for_none():
    gateway = Gateway(pf=PF)
    gateway.outputs["pfctl", "-s", "rules"] = None
    assert {state for _name, state in gateway.states()} == {"unsure"}


def test_skipped_interfaces():
    assert read_skipped("em0\n\tCleared: (skip)\nlo0 (skip)\n") == ["lo0"]


@given(st.text(alphabet="passblockinouton!<>(){}=:/\"'10., \n\t", max_size=200))
def test_no_ruleset_stops_the_readers(text):
    incoming = packet(PEER, US, "esp", in_device="em0")
    for lines in (text, "\n".join(f"{word} {line}" for line in text.splitlines() for word in ("pass in", "100 deny"))):
        read_pf(lines, lines, OWN).fate(incoming, "input")
        read_ipfw(lines, [US]).fate(incoming, "input")


# ---- ipfw ------------------------------------------------------------------------------------------------------------

IPFW = """\
00100 allow ip from any to any via lo0
00200 deny ip from any to 127.0.0.0/8
00300 check-state :default
00400 allow udp from 210.22.22.22 to me 500,4500 in recv em0 keep-state :default
00500 allow esp from 210.22.22.22 to me in via em0
00600 allow ip from me to any out keep-state :default
00700 count log logamount 5 ip from any to any
00800 allow ip from 192.168.10.0/24 to any in via em1 // the LAN
00900 allow ip from any to 192.168.10.0/24 out via em1
01000 allow tcp from any to any established
65535 deny ip from any to any
"""


def test_ipfw_in_the_gateways_verdict():
    assert Gateway(ipfw=IPFW).states() == {}


@pytest.mark.parametrize(
    ("number", "name"), [("00400", "ike_filter"), ("00500", "esp_filter"), ("00900", "forward_filter")]
)
def test_ipfw_drops_what_no_rule_allows(number, name):
    rules = "".join(line for line in IPFW.splitlines(keepends=True) if not line.startswith(number))
    assert list(Gateway(ipfw=rules).states()) == [(name, "fails")]


@pytest.mark.parametrize(
    "rule", ["00050 skipto 900 ip from any to any", "00050 nat 1 ip from any to any via em0",
             "00050 deny ip from table(bad) to any", "00050 deny esp from { 1.2.3.4 or 5.6.7.8 } to me"]
)  # fmt: skip
def test_an_ipfw_rule_that_is_not_followed_leaves_a_doubt(rule):
    assert ("esp_filter", "unsure") in Gateway(ipfw=rule + "\n" + IPFW).states()
