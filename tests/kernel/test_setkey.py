# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real kernel's tables in setkey's format, and its counters."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from ike.cli import setkey
from ike.kernel.setkey import format_sad, format_spd
from ike.kernel.setkey_parser import parse_sad, parse_spd
from ike.kernel.statistics import meaning, read_statistics
from ike.policy.sa import Encapsulation
from tests.kernel.samples import policies, recorded_sas, tunnel_sa


def dump(site, capsys, *words) -> str:
    parser = argparse.ArgumentParser()
    setkey.add_arguments(parser)
    with site.inside():
        assert setkey.run(parser.parse_args(words)) == 0
    return capsys.readouterr().out


def test_the_sad(gateways, capsys):
    tokyo, _osaka = gateways
    others = [tunnel_sa(tokyo.address6, tokyo.peer6, 0x1000, "aes_gcm", 256, "", esn=True, reqid=16385)]
    others.append(tunnel_sa(tokyo.peer, tokyo.address, 0x2000, encapsulation=Encapsulation(4500, 4500)))
    for association in recorded_sas() + others:
        tokyo.kernel.add_sa(association)
    states = tokyo.kernel.list_sas()
    assert parse_sad(format_sad(states, time.time())) == states
    text = dump(tokyo, capsys, "-D")
    assert parse_sad(text) == states
    assert "\tesp mode=tunnel spi=175105226(0x0a6fe4ca) reqid=0(0x00000000)\n\tE: 3des-cbc" in text
    assert not any(association.encryption_key[:4].hex() in text for association in recorded_sas() + others)


def test_the_spd(sites, capsys):
    tokyo, _osaka = sites
    for policy in policies(tokyo, reqid=16385) + policies(tokyo, six=True):
        tokyo.kernel.add_policy(replace(policy, priority=0x80000000))
    states = tokyo.kernel.list_policies()
    assert parse_spd(format_spd(states)) == states
    assert parse_spd(dump(tokyo, capsys, "-DP")) == states


def test_empty_tables(sites, capsys):
    tokyo, _osaka = sites
    assert dump(tokyo, capsys, "-D") == "No SAD entries.\n"
    assert dump(tokyo, capsys, "-DP") == "No SPD entries.\n"


def test_every_counter_has_a_meaning_and_a_packet_without_an_sa_is_counted(sites):
    tokyo, _osaka = sites
    with tokyo.inside():
        before = read_statistics("/proc/thread-self/net/xfrm_stat")
    assert [name for name in before if not meaning(name)] == []
    tokyo.kernel.add_policy(policies(tokyo)[0])
    tokyo.ping(tokyo.far, count=1)
    with tokyo.inside():
        after = read_statistics("/proc/thread-self/net/xfrm_stat")
    assert after["XfrmOutNoStates"] + after["XfrmAcquireError"] > before["XfrmOutNoStates"] + before["XfrmAcquireError"]
