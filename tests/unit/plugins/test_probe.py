"""Pings: what ping says, and how the biggest packet that passes is found."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_probes import ipsec_probes
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence import gather
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.probe import Probe, run_probe
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.snapshot import read_ip_counters

from tests.unit.plugins.told import INVENTORY, SPIS, evidence, sa

PROBE = Probe("osaka", "192.168.10.0/24", "192.168.20.0/24", "192.168.10.1", "192.168.20.1")
HEADERS = 28


class Path:
    """A tunnel in which this host's kernel allows ``mtu`` bytes, and of which the way lets ``passes`` bytes through."""

    system = "Linux"
    refusal = "ping: local error: message too long, mtu={}"
    received = "{} packets transmitted, {} received, 0% packet loss"

    def __init__(self, mtu=1438, passes=1500):
        self.mtu, self.passes = mtu, passes
        self.sizes = []

    def __call__(self, words):
        if words == ["uname", "-s"]:
            return 0, self.system + "\n", ""
        assert (words[words.index("-s") - 1], "-D" in words) == ("0.2", self.system == "FreeBSD")
        size, count = (int(words[words.index(option) + 1]) for option in ("-s", "-c"))
        self.sizes.append(size)
        if size + HEADERS > self.mtu:
            return 1, self.received.format(1, 0), self.refusal.format(self.mtu)
        answered = count if size + HEADERS <= self.passes else 0
        return int(not answered), self.received.format(count, answered), ""


class FreebsdPath(Path):
    """FreeBSD's ping(8) has other words, and its kernel doesn't say how much would have been allowed."""

    system = "FreeBSD"
    refusal = "ping: sendto: Message too long"
    received = "{} packets transmitted, {} packets received, 0.0% packet loss"


def test_freebsd_is_asked_in_its_words_and_its_limit_found_by_trying():
    found = run_probe(Look(FreebsdPath(mtu=1438)), PROBE)
    assert (found["sent"], found["received"], found["big"]) == (3, 3, True)
    assert 1400 < found["path_mtu"] == found["largest"] <= 1438


def test_freebsd_on_a_path_that_swallows_big_packets():
    found = run_probe(Look(FreebsdPath(passes=1300)), PROBE)
    assert found["big"] is False and 1250 < found["largest"] <= 1300


def test_a_path_that_is_as_wide_as_the_kernel_believes():
    found = run_probe(Look(Path()), PROBE)
    assert (found["sent"], found["received"], found["big"], found["largest"]) == (3, 3, True, 1438)
    assert found["path_mtu"] == 1438


def test_a_path_that_swallows_big_packets():
    found = run_probe(Look(Path(passes=1300)), PROBE)
    assert found["big"] is False and found["path_mtu"] == 1438
    assert 1250 < found["largest"] <= 1300


def test_a_path_that_swallows_everything_is_asked_no_more():
    path = Path(passes=0)
    found = run_probe(Look(path), PROBE)
    assert (found["received"], found["big"], path.sizes) == (0, None, [56])


def test_a_host_without_ping_has_sent_nothing():
    look = Look(lambda words: (127, "", "not installed"))
    assert run_probe(look, PROBE)["sent"] == 0
    assert look.unseen == ["ping -I 192.168.10.1 192.168.20.1: not installed"]


def variables(**osaka):
    found = {name: {"inner": {INVENTORY[name]["ipsec_networks"][0]: inner}} for name, inner in
             (("tokyo", "192.168.10.1"), ("osaka", "192.168.20.1"))}  # fmt: skip
    sites = {name: {**INVENTORY[name], "seen": found[name]} for name in INVENTORY}
    sites["osaka"].update(osaka)
    return sites


def probes(**osaka):
    return ipsec_probes(variables(**osaka), "tokyo", list(INVENTORY), "seen")


def test_the_probes_of_a_site():
    assert probes() == [vars(PROBE)]


def test_the_inventory_may_name_the_target():
    assert probes(ipsec_probe_address="192.168.20.77")[0]["target"] == "192.168.20.77"
    with pytest.raises(AnsibleFilterError, match="osaka: ipsec_probe_address"):
        probes(ipsec_probe_address="the printer")


def test_a_site_that_was_not_reached_is_not_probed():
    assert probes(seen={"unreachable": True}) == []


def test_the_kernels_ip_counters():
    text = "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 5 7\nIpExt: InNoRoutes\nIpExt: 9\n"
    assert read_ip_counters(text) == {"IPReversePathFilter": 7}


def test_which_sas_there_are_is_looked_at_before_a_probe(monkeypatch):
    """One that comes up while it's under way explains nothing of it."""
    path = Path()
    sas = [*evidence("tokyo")["sas"], {**sa("tokyo", 0), "spi": "0x00000000", "state": "larval"}]
    monkeypatch.setattr(gather, "databases", lambda _run, _unseen: {"sas": [] if path.sizes else sas})
    found = gather.Gatherer(Look(path), [], None, "racoon2.conf").probe(PROBE)
    assert found["spis"] == [SPIS["tokyo"], SPIS["osaka"]] and found["received"] == 3
