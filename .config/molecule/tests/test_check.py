"""What check mode announced on fresh sites is what the deployment then did, and nothing was changed by the check."""

from __future__ import annotations

import os

import pytest

from lab.changes import read_run

pytestmark = pytest.mark.skipif(
    os.environ.get("MOLECULE_SCENARIO_NAME") == "freebsd" and not os.environ.get("FREEBSD_IMAGE"),
    reason="FREEBSD_IMAGE names no image",
)


@pytest.mark.parametrize("host", ["tokyo", "osaka"])
def test_the_check_changed_nothing(host):
    before, after = (set(read_run(name).states[host].splitlines()) for name in ("check", "converge"))
    assert any(line.endswith(" /etc/hosts") for line in before)
    assert after ^ before == set()


@pytest.mark.parametrize("host", ["tokyo", "osaka"])
def test_the_deployment_did_what_the_check_announced(host):
    (announced,), (done,) = (
        [change for change in read_run(name).changes if change["host"] == host] for name in ("check", "converge")
    )
    configuration = next(entry["after"] for entry in announced["diff"] if "racoon2.conf" in entry["after_header"])
    assert "remote " in configuration
    assert done == announced
