"""The verdict on a tunnel: what the kernel has against what the plan asks for."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_tunnels import ipsec_tunnels
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.daemon import DaemonError
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import expectation, judge
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.watch import Watch, report
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.none import NoneKernel
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.policy.sa import (
    ESP,
    Policy,
    PolicyState,
    SaState,
    Template,
    TrafficSelector,
)

INVENTORY = {
    "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"], "ipsec_profile": "2007"},
    "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"], "ipsec_profile": "2007"},
}
(DATA,) = ipsec_tunnels(INVENTORY, "tokyo", ["tokyo", "osaka"])
EXPECTED = expectation(DATA)
TOKYO, OSAKA = ipaddress.ip_address("210.11.11.11"), ipaddress.ip_address("210.22.22.22")
LAN, FAR_LAN = ipaddress.ip_network("192.168.10.0/24"), ipaddress.ip_network("192.168.20.0/24")

OUT_SA = SaState(
    TOKYO, OSAKA, ESP, 0x1001, "tunnel", "mature", encryption="3des_cbc", encryption_bits=192, integrity="hmac_sha1"
)
IN_SA = replace(OUT_SA, source=OSAKA, destination=TOKYO, spi=0x2002)
OUTBOUND = "SA out 210.11.11.11 -> 210.22.22.22 for 192.168.10.0/24 -> 192.168.20.0/24"
INBOUND = "SA in 210.22.22.22 -> 210.11.11.11 for 192.168.20.0/24 -> 192.168.10.0/24"


def policy(direction, source, destination, ends, reqid=0):
    template = Template(ESP, "tunnel", *ends, reqid)
    return PolicyState(Policy(TrafficSelector(source, destination), direction, "ipsec", (template,)))


POLICIES = [
    policy("out", LAN, FAR_LAN, (TOKYO, OSAKA)),
    policy("in", FAR_LAN, LAN, (OSAKA, TOKYO)),
    policy("fwd", FAR_LAN, LAN, (OSAKA, TOKYO)),
]


def missing(sas=(OUT_SA, IN_SA), policies=POLICIES):
    return list(judge(EXPECTED, sas, policies).missing)


def test_a_tunnel_that_is_as_asked_is_up():
    verdict = judge(EXPECTED, [OUT_SA, IN_SA], POLICIES)
    assert verdict.up and len(verdict.holds) == 5
    assert f"{OUTBOUND}: SPI 0x00001001, mature, 3des_cbc hmac_sha1" in verdict.holds


def test_an_empty_kernel_has_nothing_of_it():
    assert missing((), ()) == [
        "policy out 192.168.10.0/24 -> 192.168.20.0/24: none in the kernel",
        f"{OUTBOUND}: none in the kernel",
        "policy in 192.168.20.0/24 -> 192.168.10.0/24: none in the kernel",
        f"{INBOUND}: none in the kernel",
        "policy fwd 192.168.20.0/24 -> 192.168.10.0/24: none in the kernel",
    ]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"state": "larval"}, "is larval: its negotiation isn't finished"),
        ({"state": "dead"}, "is dead"),
        ({"mode": "transport"}, "has mode transport, tunnel was asked for"),
        ({"encryption": "aes_cbc", "encryption_bits": 128}, "encrypts with aes128_cbc, 3des_cbc was asked for"),
        ({"encryption": "ecb(x)", "encryption_bits": 8}, "encrypts with ecb(x) with 8 bits, 3des_cbc was asked for"),
        ({"integrity": ""}, "authenticates with nothing, hmac_sha1 was asked for"),
    ],
)
def test_an_sa_that_is_not_as_asked_is_described(change, found):
    assert missing((OUT_SA, replace(IN_SA, **change))) == [f"{INBOUND}: SPI 0x00002002 {found}"]


def test_a_dying_sa_still_carries_traffic():
    assert missing((OUT_SA, replace(IN_SA, state="dying"))) == []


def test_a_sound_sa_beside_a_leftover_is_enough():
    assert missing((OUT_SA, replace(IN_SA, spi=0x3003, state="larval"), IN_SA)) == []


def test_an_sa_between_other_addresses_does_not_count():
    assert len(missing((OUT_SA, replace(IN_SA, source=ipaddress.ip_address("210.33.33.33"))))) == 1


def test_an_sa_that_serves_another_pair_of_networks_does_not_count():
    policies = [policy("out", LAN, FAR_LAN, (TOKYO, OSAKA), reqid=7), *POLICIES[1:]]
    assert missing((replace(OUT_SA, reqid=8), IN_SA), policies) == [f"{OUTBOUND}: none in the kernel"]
    assert missing((replace(OUT_SA, reqid=7), IN_SA), policies) == []


def test_a_policy_that_lets_traffic_pass_is_named():
    bypass = replace(POLICIES[0], policy=replace(POLICIES[0].policy, action="bypass", templates=()))
    assert missing(policies=[bypass, *POLICIES[1:]]) == [
        "policy out 192.168.10.0/24 -> 192.168.20.0/24: its action is bypass, so traffic isn't protected"
    ]


def test_a_policy_that_leads_elsewhere_is_named():
    elsewhere = policy("in", FAR_LAN, LAN, (ipaddress.ip_address("210.33.33.33"), TOKYO))
    assert missing(policies=[POLICIES[0], elsewhere, POLICIES[2]]) == [
        "policy in 192.168.20.0/24 -> 192.168.10.0/24: leads 210.33.33.33 -> 210.11.11.11"
    ]


@pytest.mark.parametrize(("option", "value"), [("encryption", ["rot13"]), ("integrity", ["crc32"]), ("local", "x")])
def test_an_option_that_means_nothing_is_named(option, value):
    with pytest.raises(ValueError, match=r"rot13|crc32|x"):
        expectation({**DATA, option: value})


class SimulatedDaemon:
    """Records what it's asked for, and fails with a reason where it was given one."""

    def __init__(self, failure=""):
        self.asked = []
        self.failure = failure

    def bring_up(self, tunnel, seconds):
        self.asked.append(tunnel)
        if self.failure:
            raise DaemonError(self.failure)

    def status(self):
        return {"tunnels": [{"policy": "osaka", "reason": "no answer from 210.22.22.22"}]}


def watch(daemon, **options):
    settings = {"initiators": frozenset({"osaka"}), "bring_up": True, "timeout": 1.2, **options}
    return Watch(kernel=NoneKernel(), daemon=daemon, expectations=(EXPECTED,), **settings)


def test_a_tunnel_that_is_down_is_asked_for_once_and_explained():
    daemon = SimulatedDaemon("osaka: the peer refuses")
    (verdict,) = watch(daemon).verdicts()
    assert daemon.asked == ["osaka"] and not verdict["up"]
    assert verdict["reasons"] == ["no answer from 210.22.22.22", "the peer refuses"]
    text = report([verdict])
    assert text.startswith("1 of 1 tunnels not up\nosaka:\n  missing: policy out ")
    assert text.endswith("  the daemon says: the peer refuses")


def test_the_other_end_waits_before_it_asks():
    eager, patient = SimulatedDaemon(), SimulatedDaemon()
    watch(eager, timeout=0.3).verdicts()
    watch(patient, timeout=0.3, initiators=frozenset()).verdicts()
    assert (eager.asked, patient.asked) == (["osaka"], [])


def test_nothing_is_asked_for_unless_wanted():
    daemon = SimulatedDaemon()
    watch(daemon, bring_up=False, timeout=0.1).verdicts()
    assert daemon.asked == []
