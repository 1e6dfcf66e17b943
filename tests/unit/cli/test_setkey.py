# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import ipaddress
from dataclasses import replace

import pytest

from ike.cli import setkey
from ike.kernel.base import KernelError
from ike.kernel.none import NoneKernel
from ike.policy.sa import ESP, OUT, Policy, SecurityAssociation, TrafficSelector

TOKYO, OSAKA = ipaddress.ip_address("210.11.11.11"), ipaddress.ip_address("210.22.22.22")


def run(*words):
    parser = argparse.ArgumentParser()
    setkey.add_arguments(parser)
    return setkey.run(parser.parse_args(words))


@pytest.fixture()
def kernel(monkeypatch):
    opened = NoneKernel()
    monkeypatch.setattr(setkey, "open_kernel", lambda name: opened)
    return opened


def test_the_sad_and_no_key(kernel, capsys):
    association = SecurityAssociation(TOKYO, OSAKA, ESP, 0x1234, "tunnel", "aes_cbc", b"0123456789abcdef", "hmac_sha1")
    kernel.add_sa(replace(association, integrity_key=b"01234567890123456789"))
    assert run("-D") == 0
    text = capsys.readouterr().out
    assert text.startswith("210.11.11.11 210.22.22.22 \n\tesp mode=tunnel spi=4660(0x00001234)")
    assert "E: aes-cbc  (128 bits, key not shown)" in text
    assert "30313233" not in text


def test_the_spd(kernel, capsys):
    network = ipaddress.ip_network("10.0.0.0/8")
    kernel.add_policy(Policy(TrafficSelector(network, network), OUT, "discard"))
    assert run("-DP") == 0
    assert capsys.readouterr().out.startswith("10.0.0.0/8[any] 10.0.0.0/8[any] any\n\tout discard\n")


def test_empty_tables(capsys):
    assert run("-D", "--kernel", "none") == 0
    assert run("-D", "-P", "--kernel", "none") == 0
    assert capsys.readouterr().out == "No SAD entries.\nNo SPD entries.\n"


def test_a_kernel_that_refuses(monkeypatch, capsys):
    def refuse(name):
        raise KernelError("open netlink socket", 1, "root or CAP_NET_ADMIN is needed")

    monkeypatch.setattr(setkey, "open_kernel", refuse)
    assert run("-D") == 1
    assert capsys.readouterr().err == "setkey: open netlink socket: root or CAP_NET_ADMIN is needed\n"


def test_nothing_asked_for(capsys):
    with pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == 2
