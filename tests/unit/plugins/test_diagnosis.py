"""Each cause is named first when its evidence is there, and nothing is when nothing is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.causes import CAUSES, table
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.diagnosis import diagnose, report

from tests.faults.faults import FAULTS
from tests.unit.plugins.told import SPAN, Told, capture, esp_is_lost, evidence, ike_sa, probe

GUIDE = Path(__file__).parents[3] / "docs" / "troubleshooting.md"


def psk_differs(told):
    told.no_ike()
    told.after["osaka"]["keys"]["tokyo"]["fingerprint"] = "0123"


def key_file(told):
    told.no_ike()
    told.after["osaka"]["keys"]["tokyo"]["problems"] = ["psk: mode 0644: group or others may use it, set 0600"]


def daemon_dead(told):
    told.no_ike()
    told.after["osaka"]["daemon"] = {"answers": False, "error": "no answer on control.sock: refused"}


def ids_differ(told):
    told.no_ike()
    told.edit("osaka", "my_id ipaddr", "my_id fqdn")


def ike_proposal(told):
    told.no_ike()
    told.edit("osaka", "modp2048", "modp3072")


def esp_proposal(told):
    told.no_sas()
    told.edit("osaka", "esp_enc_alg { 3des_cbc", "esp_enc_alg { aes256_cbc")


def pfs_differs(told):
    told.no_sas()
    for name, value in (("tokyo", "on"), ("osaka", "off")):
        told.edit(name, "proposal_check obey", "proposal_check strict")
        told.edit(name, "need_pfs off", "need_pfs " + value)


def selectors_differ(told):
    told.no_sas()
    told.edit("osaka", "192.168.10.0/24", "192.168.12.0/24")


def ike_filter(told):
    told.no_ike()
    told.fails("osaka", "ike_filter")


def ike_unreachable(told):
    told.no_ike()
    told.after["tokyo"]["ike_sas"] = [ike_sa("tokyo", "connecting")]


def udp4500_lost(told):
    told.stopped(left=3, came=0)
    told.captures = {"tokyo": capture(udp_4500=(3, 0)), "osaka": capture(udp_4500=(0, 0))}


def clock(told):
    for moments in (told.before, told.after):
        moments["osaka"]["time"] += 3600


def policy_missing(told):
    told.stopped(left=0, came=0)
    told.after["tokyo"]["policies"].pop(0)


def one_sided(told):
    told.stopped(left=3, came=0)
    told.after["osaka"]["sas"] = []


def kernel_refuses(told):
    told.stopped(left=3, came=0)
    told.after["osaka"]["counters"] = [{"name": "XfrmInStateSeqError", "packets": 3, "meaning": "replayed"}]


def mtu(told):
    told.probes["tokyo"] = [probe("tokyo", big=False, largest=1300)]


def target_silent(told):
    told.stopped(left=3, came=3)


def negotiation(told):
    told.no_sas()
    told.after["tokyo"]["tunnels"][0]["reason"] = "the peer sent NO-PROPOSAL-CHOSEN"


def rp_filter(told):
    told.stopped(left=3, came=0)
    told.after["osaka"]["counters"] = [{"name": "IPReversePathFilter", "packets": 3, "meaning": "dropped"}]


def failed(check, **counts):
    def spoil(told):
        told.stopped(**{"left": 0, "came": 0, **counts})
        told.fails("tokyo" if counts == {} else "osaka", check)

    return spoil


def does_no_harm_yet(name):
    return lambda told: told.fails("tokyo", name)


SPOILS = {
    "psk_differs": psk_differs,
    "key_file": key_file,
    "daemon_dead": daemon_dead,
    "ids_differ": ids_differ,
    "ike_proposal": ike_proposal,
    "esp_proposal": esp_proposal,
    "pfs_differs": pfs_differs,
    "selectors_differ": selectors_differ,
    "ike_filter": ike_filter,
    "rp_filter": rp_filter,
    "policy_missing": policy_missing,
    "policy_shadowed": failed("policy_shadowed"),
    "route": failed("route"),
    "xfrm_disabled": failed("xfrm_disabled"),
    "masquerade": failed("masquerade"),
    "esp_filter": failed("esp_filter", left=3),
    "forwarding": failed("forwarding", left=3, came=3),
    "forward_filter": failed("forward_filter", left=3, came=3),
    "one_sided": one_sided,
    "kernel_refuses": kernel_refuses,
    "ike_unreachable": ike_unreachable,
    "udp4500_lost": udp4500_lost,
    "esp_lost": esp_is_lost,
    "clock": clock,
    "mtu": mtu,
    "stale_translation": does_no_harm_yet("stale_translation"),
    "leftover_tunnel": does_no_harm_yet("leftover_tunnel"),
    "negotiation": negotiation,
    "target_silent": target_silent,
}


def test_health_is_silence():
    diagnosis = diagnose(Told().pair())
    assert diagnosis.healthy and diagnosis.findings == () and diagnosis.unseen == ()
    assert report([diagnosis]) == "OK  tokyo and osaka: works"


@pytest.mark.parametrize("cause", [row["cause"] for row in table()])
def test_each_cause_is_named_first(cause):
    told = Told()
    SPOILS[cause](told)
    diagnosis = diagnose(told.pair())
    assert diagnosis.findings[0].cause.name == cause, report([diagnosis])
    assert not diagnosis.healthy


def test_a_fault_in_waiting_comes_after_the_one_that_does_harm():
    told = Told()
    esp_is_lost(told)
    psk_differs_only = told.after["osaka"]["keys"]["tokyo"]
    psk_differs_only["fingerprint"] = "0123"
    names = [(finding.cause.name, finding.explains) for finding in diagnose(told.pair()).findings]
    assert names == [("esp_lost", True), ("psk_differs", False)]


def test_a_gateway_that_does_not_forward_is_no_reason_for_what_gateways_send_each_other_to_be_lost():
    told = Told()
    esp_is_lost(told)
    told.fails("osaka", "forwarding")
    assert [one.cause.name for one in diagnose(told.pair()).findings] == ["esp_lost", "forwarding"]


def test_two_faults_are_both_named():
    told = Told()
    psk_differs(told)
    told.edit("osaka", "modp2048", "modp3072")
    assert [one.cause.name for one in diagnose(told.pair()).findings][:2] == ["psk_differs", "ike_proposal"]


def test_a_newline_in_the_key_is_shown():
    told = Told()
    psk_differs(told)
    told.after["osaka"]["keys"]["tokyo"]["problems"] = ["psk: ends in a newline, which is part of the key"]
    (finding, *_others) = diagnose(told.pair()).findings
    assert ("osaka", "psk: ends in a newline, which is part of the key") in finding.signs


@pytest.mark.parametrize(
    ("blocked", "heard"), [("210.11.11.11 to 210.22.22.22", False), ("210.22.22.22 to 210.11.11.11", True)]
)
def test_the_direction_in_which_ike_is_blocked(blocked, heard):
    told = Told()
    ike_unreachable(told)
    if heard:
        told.after["osaka"]["ike_sas"] = [ike_sa("osaka", "connecting", "responder")]
    assert "{} is blocked".format(blocked) in report([diagnose(told.pair())])


def test_proposals_stand_side_by_side():
    told = Told()
    ike_proposal(told)
    evidence = diagnose(told.pair()).as_data()["causes"][0]["evidence"]
    assert evidence == ["tokyo: ikev1 kmp_dh_group: modp2048", "osaka: modp3072 (nothing in common)"]


def test_an_end_that_was_not_seen_is_no_health():
    told = Told()
    told.after["osaka"] = {}
    diagnosis = diagnose(told.pair())
    assert not diagnosis.healthy
    assert "osaka: not looked at" in diagnosis.unseen


def test_a_rekey_is_no_fault():
    told = Told()
    for name in ("tokyo", "osaka"):
        older = told.after[name]["sas"]
        told.after[name]["sas"] = [{**sa, "spi": sa["spi"] + "f", "packets": 9} for sa in older]
        told.after[name]["sas"] += [{**sa, "state": "dying"} for sa in older]
        told.after[name]["sas"] += [{**sa, "spi": "0x00000000", "state": "larval", "packets": 0} for sa in older]
    assert diagnose(told.pair()).healthy


def test_an_sa_that_came_up_after_a_probe_began_explains_why_it_was_not_answered():
    """One end may initiate what the other is refused: PFS, proposal_check. The other end's pings move the counters."""
    told = Told()
    pfs_differs(told)
    told.after = {name: {**told.after[name], "sas": evidence(name)["sas"]} for name in told.after}
    diagnosis = diagnose(told.pair())
    assert diagnosis.findings[0].cause.name == "pfs_differs" and diagnosis.findings[0].explains


def test_an_sa_that_a_rekey_has_replaced_since_the_probe_was_there():
    told = Told()
    told.stopped(left=3, came=3)
    for name in told.after:
        told.after[name]["sas"] = [{**sa, "spi": sa["spi"] + "f", "packets": 4} for sa in told.after[name]["sas"]]
    assert diagnose(told.pair()).findings[0].cause.name == "target_silent"


def test_sas_that_an_end_had_lost_are_named_although_the_pings_have_mended_it():
    told = Told()
    for name in told.after:
        told.after[name]["sas"] = [{**sa, "spi": sa["spi"] + "f"} for sa in told.after[name]["sas"]]
    told.before["osaka"]["sas"] = []
    diagnosis = diagnose(told.pair())
    assert [finding.cause.name for finding in diagnosis.findings] == ["one_sided"] and not diagnosis.healthy
    assert ("osaka", "had no inbound SA of tokyo then") in diagnosis.findings[0].signs


@pytest.mark.parametrize("lacks", ["sas of one that comes up", "both, since the kernel could not be read"])
def test_an_end_that_was_looked_at_too_early_has_lost_nothing(lacks):
    """Hosts aren't looked at in the same moment, and a tunnel may come up in between."""
    told = Told()
    told.before["osaka"]["sas"] = []
    if lacks != "sas of one that comes up":
        told.before["osaka"]["directions"] = []
        told.after = {name: {**told.after[name], "sas": []} for name in told.after}
    assert "one_sided" not in [finding.cause.name for finding in diagnose(told.pair()).findings]


def test_a_peer_that_lost_its_sas_and_can_not_negotiate_is_unreachable_first():
    told = Told()
    told.stopped(left=3, came=0)
    told.before["osaka"]["sas"] = told.after["osaka"]["sas"] = []
    told.after["osaka"]["ike_sas"] = [ike_sa("osaka", "connecting")]
    findings = diagnose(told.pair()).findings
    assert [finding.cause.name for finding in findings][:2] == ["ike_unreachable", "one_sided"]
    assert {host for host, _text in findings[0].signs} == {"tokyo"}, "the stale IKE SA tries nothing"


@pytest.mark.parametrize("seconds", [-SPAN - 60, SPAN + 60])
def test_spans_of_looking_that_might_overlap_accuse_no_clock(seconds):
    told = Told()
    for moments in (told.before, told.after):
        moments["osaka"]["time"] += seconds
    assert diagnose(told.pair()).healthy


def test_an_sa_beyond_its_lifetime_shows_that_the_clock_was_set():
    told = Told()
    told.after["tokyo"]["sas"][0]["age"] = 90000
    (finding,) = diagnose(told.pair()).findings
    assert finding.cause.name == "clock" and "90000 s old" in finding.signs[0][1]


def test_counters_of_the_whole_host_are_no_fault_where_traffic_passes():
    told = Told()
    told.after["osaka"]["counters"] = [{"name": "XfrmInNoStates", "packets": 3, "meaning": "another tunnel's"}]
    assert diagnose(told.pair()).healthy


def test_sas_that_an_end_has_lost_are_named_although_fresh_ones_are_there():
    told = Told()
    told.stopped(left=3, came=3)
    told.after["osaka"]["counters"] = [{"name": "XfrmInNoStates", "packets": 3, "meaning": "no such SPI"}]
    assert diagnose(told.pair()).findings[0].cause.name == "one_sided"


@pytest.mark.parametrize("cause", [row["cause"] for row in table()])
def test_every_cause_is_in_the_troubleshooting_guide(cause):
    assert "| `{}`: ".format(cause) in GUIDE.read_text()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_of_the_matrix_is_in_the_troubleshooting_guide(fault):
    also = ", ".join("`{}`".format(name) for name in fault.also)
    row = "| {} | `{}` | {} |\n".format(fault.name, fault.cause, also).replace("|  |", "| |")
    assert row in GUIDE.read_text()


def test_every_cause_has_words():
    assert all(cause.title and cause.remedy for cause in CAUSES)
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)
