"""The machines that this scenario made, as testinfra hosts and as the lab that they belong to."""

from __future__ import annotations

import pytest
import testinfra

from lab.lab import ROOT, Lab
from lab.topology import SITES

STATE = ROOT / "build/molecule"


@pytest.fixture(scope="session")
def lab():
    return Lab(STATE / "lab")


@pytest.fixture(scope="session", params=SITES, ids=lambda site: site.name)
def site(request):
    """Each site in turn."""
    return request.param


@pytest.fixture(scope="session")
def peer(site):
    """The other site."""
    return next(other for other in SITES if other != site)


@pytest.fixture(scope="session")
def gateway(lab, site):
    """The site's gateway machine."""
    return testinfra.get_host(f"ssh://{site.name}", ssh_config=str(lab.ssh_config_path))


@pytest.fixture(scope="session")
def key():
    """The pair's pre-shared key as the controller keeps it."""
    (path,) = (STATE / "psk").glob("*.psk")
    return path.read_bytes()
