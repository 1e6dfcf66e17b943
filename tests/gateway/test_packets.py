"""The gateway's script against everybody's masquerading: whose address do packets between the sites leave with?

What is looked at happens before ESP; tests/faults has ESP with iptables, molecule/ with nftables.
"""

from __future__ import annotations

import pytest

from tests.gateway.conftest import ADDRESS, CLIENT, FAR, WORLD, run

SEGMENT = 1398  # profile modern, 1492 bytes
MASQUERADE = {
    "another table of nftables": [
        "nft add table ip nat",
        "nft add chain ip nat post { type nat hook postrouting priority srcnat ; }",
        "nft add rule ip nat post masquerade",
    ],
    "iptables-nft": ["iptables-nft -t nat -A POSTROUTING -o wan -j MASQUERADE"],
    "iptables-legacy": ["iptables-legacy -t nat -A POSTROUTING -o wan -j MASQUERADE"],
}


@pytest.mark.parametrize("kind", MASQUERADE)
def test_tunnel_traffic_keeps_its_source_whoever_masquerades(gateway, kind):
    for command in MASQUERADE[kind]:
        gateway.run(command)
    assert gateway.seen_by(FAR)[0] == ADDRESS, "nothing masquerades"
    gateway.work("start", packet_filter="nftables")
    assert gateway.seen_by(FAR)[0] == CLIENT
    assert gateway.seen_by(WORLD)[0] == ADDRESS


@pytest.mark.parametrize("kind", ["iptables-nft", "iptables-legacy"])
def test_iptables_exempts_from_its_own_masquerading(gateway, kind, tmp_path, monkeypatch):
    """`iptables` is one of two programs: the script takes what the host calls so."""
    for name in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            program = kind.replace("iptables", name) + suffix
            (tmp_path / (name + suffix)).symlink_to("/usr/sbin/" + program)
    gateway.work("stop", packet_filter="iptables")
    text = gateway.script.read_text().replace("PATH=", "PATH={}:".format(tmp_path), 1)
    gateway.script.write_text(text)
    for command in MASQUERADE[kind]:
        gateway.run(command)
    assert gateway.work("check") == 0 and gateway.work("loaded", check=False) == 1
    gateway.work("start")
    assert gateway.work("loaded") == 0
    assert gateway.seen_by(FAR) == (CLIENT, SEGMENT - 12)
    assert gateway.seen_by(WORLD) == (ADDRESS, 1448)
    gateway.run(kind + " -t nat -I POSTROUTING -j ACCEPT")
    gateway.work("start")
    assert gateway.run(kind + " -t nat -S POSTROUTING").splitlines()[1] == "-A POSTROUTING -j TANUKI_IPSEC"
    gateway.work("stop")
    assert "TANUKI_IPSEC" not in gateway.run(kind + "-save")


def test_segments_fit_the_tunnel_and_others_are_left_alone(gateway):
    gateway.work("start", packet_filter="nftables")
    assert gateway.seen_by(FAR) == (CLIENT, SEGMENT - 12), "less the time stamps' option"
    assert gateway.seen_by(WORLD)[1] == 1448


def test_what_was_loaded_is_known_replaced_and_taken_away(gateway):
    before = gateway.rules()
    gateway.run("nft add table inet other")
    assert gateway.work("loaded", check=False, packet_filter="nftables") == 1
    gateway.work("start")
    loaded = gateway.rules()
    assert gateway.work("loaded") == 0
    gateway.work("start")
    assert gateway.rules() == loaded, "loading twice is loading once"
    assert gateway.work("loaded", check=False, mss_clamp=False, packet_filter="nftables") == 1, "other rules"
    gateway.work("start")
    assert "maxseg" not in gateway.rules()
    gateway.run("nft flush ruleset")
    assert gateway.work("loaded", check=False) == 1
    gateway.work("start", packet_filter="iptables")
    assert "TANUKI_IPSEC" in gateway.run("iptables-save") and "tanuki_ipsec" not in gateway.run("nft list tables")
    gateway.work("start", nat_exemption=False, mss_clamp=False)
    assert "anuki_ipsec" not in gateway.rules().lower()
    gateway.work("stop")
    assert "table inet other" not in before


@pytest.mark.parametrize(("packet_filter", "code"), [("auto", 0), ("nftables", 1), ("iptables", 1)])
def test_where_no_packet_filter_works_that_is_said(gateway, packet_filter, code, tmp_path):
    """Programs that are there and fail, as on a kernel that lacks what they ask for."""
    for name in ("nft", "iptables"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    gateway.work("stop", packet_filter=packet_filter)
    gateway.script.write_text(gateway.script.read_text().replace("PATH=", "PATH={}:".format(tmp_path), 1))
    for verb in ("check", "start"):
        done = run("ip netns exec gateway sh {} {}".format(gateway.script, verb), check=False)
        assert done.returncode == code
        assert "works on this host" in done.stderr or "doesn't work on this host" in done.stderr
    gateway.work("stop")


def test_the_kernel_refuses_before_anything_is_loaded(gateway):
    gateway.work("start", packet_filter="nftables")
    loaded = gateway.rules()
    text = gateway.script.read_text()
    gateway.script.write_text(text.replace("snat ip to ip saddr", "snat ip to nowhere", 1))
    assert gateway.work("check", check=False) == 1 and gateway.work("start", check=False) == 1
    assert gateway.rules() == loaded
