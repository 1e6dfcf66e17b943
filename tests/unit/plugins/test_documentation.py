"""What the documentation says is what the code does, where no other test compares the two."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.tanuki.ipsec.plugins.action.ipsec_deploy import ARGUMENT_SPEC
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_deploy
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.profiles import DEFAULT_PROFILE, PROFILES
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.topology import DEFAULT_TOPOLOGY

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles" / "xfrm_linux"
OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]


@pytest.mark.parametrize("name", sorted(ARGUMENT_SPEC))
def test_the_action_takes_what_is_documented(name):
    documented = yaml.safe_load(ipsec_deploy.DOCUMENTATION)["options"]
    assert sorted(documented) == sorted(ARGUMENT_SPEC)
    for key in ("type", "default", "elements"):
        assert documented[name].get(key) == ARGUMENT_SPEC[name].get(key)


def test_the_role_knows_the_profiles_and_defaults():
    assert ", ".join("V({})".format(name) for name in PROFILES) in OPTIONS["ipsec_profile"]["description"][1]
    assert OPTIONS["ipsec_profile"]["default"] == DEFAULT_PROFILE
    assert OPTIONS["ipsec_topology"]["default"] == DEFAULT_TOPOLOGY


def test_the_roles_defaults_are_the_documented_ones():
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    documented = {name: option["default"] for name, option in OPTIONS.items() if name.startswith("xfrm_linux_")}
    assert defaults == documented


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_variable_is_in_the_reference(name):
    page = ROLE / "README.md" if name.startswith("xfrm_linux_") else ROOT / "docs" / "inventory.md"
    assert "| `{}` |".format(name) in page.read_text()


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_profile_is_in_the_reference(name):
    assert "| `{}` |".format(name) in (ROOT / "docs" / "inventory.md").read_text()
