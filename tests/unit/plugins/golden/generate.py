"""The configurations of every site of the inventories here, in both dialects, as they are generated now."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import Paths
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import Plan, make_plan

HERE = Path(__file__).parent
INVENTORIES = sorted(path.parent.name for path in HERE.glob("*/inventory.yml"))
PATHS = {"tanuki": Paths(), "racoon2": Paths(config_directory="/usr/local/etc/racoon2")}


def plan_of(inventory: str) -> Plan:
    return make_plan(yaml.safe_load((HERE / inventory / "inventory.yml").read_text()))


def file_of(inventory: str, site: str, dialect: str) -> Path:
    return HERE / inventory / "{}.{}.conf".format(site, dialect)


def generate(inventory: str) -> dict[Path, str]:
    """The text of each golden file of an inventory."""
    plan = plan_of(inventory)
    return {
        file_of(inventory, name, dialect): configuration_text(site, plan.ends[name], paths, dialect)
        for name, site in plan.sites.items()
        for dialect, paths in PATHS.items()
    }
