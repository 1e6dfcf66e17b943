# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ike.kernel.base import KernelError
from ike.kernel.none import NoneKernel
from ike.kernel.open import open_kernel
from ike.kernel.statistics import meaning, read_statistics


def test_open_by_name():
    kernel = open_kernel("none")
    assert isinstance(kernel, NoneKernel)
    kernel.close()


def test_an_unknown_name():
    with pytest.raises(ValueError, match="no kernel backend 'bsd': choose one of auto, "):
        open_kernel("bsd")


def test_statistics(tmp_path):
    counters = tmp_path / "xfrm_stat"
    counters.write_text("XfrmInNoStates          \t12\nXfrmOutNoStates         \t0\n")
    assert read_statistics(str(counters)) == {"XfrmInNoStates": 12, "XfrmOutNoStates": 0}
    assert meaning("XfrmInNoStates").startswith("inbound: no SA with the packet's SPI")
    assert meaning("XfrmOfTomorrow") == ""


def test_statistics_of_a_kernel_that_does_not_count(tmp_path):
    with pytest.raises(KernelError, match="No such file"):
        read_statistics(str(tmp_path / "xfrm_stat"))
