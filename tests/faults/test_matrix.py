# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault, injected into a pair that works, has to be named first; where there is none, nothing may be."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.faults import conftest


def _record(fault: str, expected: str, diagnosis, started: float) -> str:
    named = diagnosis.findings[0].cause.name if diagnosis.findings else "healthy" if diagnosis.healthy else "none"
    conftest.rows.append((fault, expected, named, time.monotonic() - started))
    return named


def pytest_generate_tests(metafunc):
    if "fault" in metafunc.fixturenames:
        from tests.faults.faults import FAULTS

        metafunc.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))


@pytest.fixture()
def mended(request, fault):
    """The pair that the fault is for, as it was, whatever a fault did to it."""
    pair = request.getfixturevalue("natted" if fault.natted else "pair")
    yield pair
    if fault.renegotiate:
        for gateway in pair.gateways:
            gateway.write_files()
    if fault.renegotiate or fault.disturbs:
        pair.renegotiate()
    pair.up()


def test_the_healthy_pair_gives_no_alarm(pair):
    from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.diagnosis import report

    assert pair.first.site.lan_pings("192.168.20.2")
    started = time.monotonic()
    diagnosis = pair.diagnosis()
    assert _record("none", "healthy", diagnosis, started) == "healthy", report([diagnosis])


def test_the_healthy_pair_behind_nat_gives_no_alarm(natted):
    from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.diagnosis import report

    assert natted.second.site.lan_pings("192.168.30.2")
    started = time.monotonic()
    diagnosis = natted.diagnosis()
    assert _record("none: behind NAT", "healthy", diagnosis, started) == "healthy", report([diagnosis])


def test_a_rekey_under_load_gives_no_alarm(pair):
    from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.diagnosis import report

    flood = ["ip", "netns", "exec", "tokyo-lan", "ping", "-q", "-i", "0.02", "-c", "2000", "192.168.20.2"]
    load = subprocess.Popen(flood, stdout=subprocess.DEVNULL)
    try:
        assert pair.first.ask("rekey", name=pair.first.tunnel["name"], wait=20)["ok"]
        started = time.monotonic()
        diagnosis = pair.diagnosis()
    finally:
        load.terminate()
        load.wait()
    assert _record("none: a rekey under load", "healthy", diagnosis, started) == "healthy", report([diagnosis])


def test_a_fault_is_named(mended, fault):
    from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.diagnosis import report

    fault.inject(mended)
    try:
        if fault.renegotiate:
            mended.renegotiate()
        started = time.monotonic()
        diagnosis = mended.diagnosis()
        named = _record(fault.name, fault.cause, diagnosis, started)
    finally:
        fault.mend(mended)
    print(report([diagnosis]))
    assert named == fault.cause, report([diagnosis])
    assert set(fault.also) <= {finding.cause.name for finding in diagnosis.findings}, report([diagnosis])
