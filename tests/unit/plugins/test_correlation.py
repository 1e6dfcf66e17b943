"""Two kernels' words side by side: what proves a tunnel, and what each gap is called."""

from __future__ import annotations

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.correlation import correlate

from tests.unit.plugins.told import SPIS, Told, probe


def states(told):
    checks = correlate(told.pair())
    return {state: [check.name for check in checks if check.state == state] for state in ("holds", "fails", "unsure")}


def texts(told, name):
    return [check.text for check in correlate(told.pair()) if (check.name, check.state) == (name, "fails")]


def test_a_healthy_pair_is_proven_in_both_directions():
    found = states(Told())
    assert found["fails"] == [] and found["unsure"] == []
    assert {name: found["holds"].count(name) for name in set(found["holds"])} == {
        "selectors": 2, "spi": 2, "agreement": 2, "lifetime": 2, "moves": 2, "leftover_sa": 2, "probe": 4,
    }  # fmt: skip


def test_the_spi_of_one_end_has_to_be_the_others():
    told = Told()
    told.after["osaka"]["sas"][1]["spi"] = "0x0000dead"
    assert texts(told, "spi") == [
        "192.168.10.0/24 -> 192.168.20.0/24, tokyo to osaka: "
        "tokyo sends with SPI {}, osaka receives with SPI 0x0000dead".format(SPIS["tokyo"])
    ]


@pytest.mark.parametrize(
    ("field", "value"), [("encryption", "aes_cbc"), ("mode", "transport"), ("integrity", "hmac_md5"), ("icv_bits", 128)]
)
def test_the_ends_have_to_agree(field, value):
    told = Told()
    told.after["osaka"]["sas"][1][field] = value
    (text,) = texts(told, "agreement")
    assert "{} ".format(field) in text and str(value) in text


def test_encapsulation_at_one_end_only():
    told = Told()
    told.after["osaka"]["sas"][1]["encapsulation"] = {"source_port": 4500, "destination_port": 4500}
    assert "UDP encapsulation at one end only" in texts(told, "agreement")[0]


def test_policies_have_to_mirror_each_other():
    told = Told()
    told.after["osaka"]["policies"] = [one for one in told.after["osaka"]["policies"] if one["direction"] != "fwd"]
    assert texts(told, "selectors") == ["192.168.10.0/24 -> 192.168.20.0/24, tokyo to osaka: no policy fwd at osaka"]


def test_a_kernel_without_fwd_policies_lacks_none():
    told = Told()
    told.after["osaka"]["policies"] = [one for one in told.after["osaka"]["policies"] if one["direction"] != "fwd"]
    told.after["osaka"]["directions"] = ["out", "in"]
    assert states(told)["fails"] == []


@pytest.mark.parametrize("lifetime", [{"soft_seconds": 0, "hard_seconds": 0}, {"soft_seconds": 60, "hard_seconds": 30}])
def test_a_lifetime_has_to_be_sane(lifetime):
    told = Told()
    told.after["tokyo"]["sas"][0]["lifetime"] = lifetime
    assert len(texts(told, "lifetime")) == 1


def test_counters_have_to_move_at_both_ends():
    told = Told()
    told.after["osaka"]["sas"][1]["packets"] = 1
    assert texts(told, "moves") == ["192.168.10.0/24 -> 192.168.20.0/24, tokyo to osaka: 9 packets left in ESP, 0 came"]


def test_what_was_not_probed_is_not_proven():
    told = Told()
    told.probes = {"tokyo": [{**probe("tokyo"), "far": "192.168.99.0/24"}], "osaka": []}
    assert "moves" in states(told)["unsure"]


def test_pings_that_are_not_answered_fail_and_a_missing_ping_is_unsure():
    told = Told()
    told.probes["tokyo"] = [probe("tokyo", received=0, big=None)]
    told.probes["osaka"] = [probe("osaka", sent=0, received=0, big=None)]
    found = states(told)
    assert found["fails"] == ["probe"] and found["unsure"] == ["probe"]


def test_larval_and_duplicate_sas_are_leftovers():
    told = Told()
    sa = told.after["tokyo"]["sas"][0]
    told.after["tokyo"]["sas"] += [{**sa, "spi": "0x00000bad", "state": "larval", "age": 500}]
    told.after["tokyo"]["sas"] += [{**sa, "spi": "0x0000000{}".format(number)} for number in (1, 2)]
    assert texts(told, "leftover_sa") == [
        "tokyo: larval SA 0x00000bad",
        "tokyo: 3 SAs out for 192.168.10.0/24 -> 192.168.20.0/24",
    ]


def test_an_end_that_was_not_seen_proves_nothing():
    told = Told()
    told.after["osaka"] = {}
    assert states(told) == {"holds": [], "fails": [], "unsure": ["spi"]}
