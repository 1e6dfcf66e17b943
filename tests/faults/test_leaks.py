# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The canary for clear text on a real wire: silent while a tunnel is rekeyed, dies and comes back; else it sings."""

from __future__ import annotations

import contextlib
import subprocess
import time

import pytest

from tests.namespaces import inside

_FLOW = {"tokyo": "192.168.20.2", "osaka": "192.168.10.2"}


@pytest.fixture()
def canaries(pair):
    """By gateway, a canary at its outside device, while the LANs' hosts ping each other."""
    from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.canary import Canary, Watched
    from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import expectation

    with contextlib.ExitStack() as cleanup:
        found = {}
        for gateway in pair.gateways:
            name = gateway.site.name
            canary = Canary(["wan"], Watched.of([expectation(gateway.tunnel)]))
            with inside(name):
                found[name] = cleanup.enter_context(canary)
            command = ["ip", "netns", "exec", name + "-lan", "ping", "-q", "-i", "0.05", _FLOW[name]]
            pings = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            cleanup.callback(pings.wait)
            cleanup.callback(pings.terminate)
        yield found


def look(canaries, seconds: float = 0.0) -> tuple[list[str], list[int]]:
    """What leaked so far, and how many ESP packets left each gateway."""
    time.sleep(seconds)
    for canary in canaries.values():
        canary.look()
    return [text for one in canaries.values() for text in one.leaked()], [one.esp for one in canaries.values()]


def test_nothing_leaks_while_the_tunnel_is_rekeyed(pair, canaries):
    for gateway in pair.gateways:
        assert gateway.ask("rekey", name=gateway.tunnel["name"], wait=20)["ok"]
    leaks, esp = look(canaries, 1)
    assert leaks == [] and min(esp) > 0


def test_nothing_leaks_while_daemons_restart_or_die_and_sas_are_lost(pair, canaries):
    for gateway in pair.gateways:
        gateway.restart()
        assert look(canaries, 0.5)[0] == []
    for gateway in pair.gateways:
        gateway.kill()
        gateway.site.run("ip xfrm state flush")
    before = look(canaries)[1]
    leaks, esp = look(canaries, 1)
    assert leaks == [] and esp == before, "without daemon and SA nothing leaves at all"
    for gateway in pair.gateways:
        gateway.start()
    pair.up()
    leaks, esp = look(canaries, 1)
    assert leaks == [] and all(now > then for now, then in zip(esp, before))


@pytest.mark.parametrize("masqueraded", [False, True])
def test_a_leak_is_found_whatever_address_it_has(pair, canaries, masqueraded):
    tokyo = pair.first
    assert look(canaries, 0.5)[0] == []
    try:
        tokyo.work(nat_exemption=not masqueraded)
        tokyo.site.run("ip xfrm policy flush")
        _fresh_pings(tokyo.site.name)
        leaks, _esp = look(canaries)
    finally:
        tokyo.work()
        tokyo.restart()
        pair.up()
    source = tokyo.site.address if masqueraded else "192.168.10.2"
    assert any(text.endswith("packets icmp {} -> 192.168.20.2".format(source)) for text in leaks), leaks


def _fresh_pings(name: str) -> None:
    """A connection of its own: one that is known already keeps its address."""
    subprocess.run(["ip", "netns", "exec", name + "-lan", "ping", "-q", "-c", "3", "-W", "1", _FLOW[name]], check=False)
