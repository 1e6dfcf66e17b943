"""Taking a deployment off a host again: everything of ours, and nothing else.

On a real file system under a temporary root, with a simulated systemd and a simulated kernel.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.ending import SystemdEnding
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.freebsd import Bundled, Racoon2
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import DeployError, Manifest, save_manifest
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.removal import Deployed, Removal
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.none import NoneKernel
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.policy.sa import (
    ESP,
    TUNNEL,
    Policy,
    SecurityAssociation,
    Template,
    TrafficSelector,
)
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_remove
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import FREEBSD_PATHS, LINUX_PATHS

from tests.unit.plugins.golden.generate import HERE as GOLDEN
from tests.unit.plugins.simulated import SERVICE, SimulatedHost
from tests.unit.plugins.simulated_freebsd import SimulatedFreebsd

TOKYO, OSAKA = ipaddress.ip_address("210.11.11.11"), ipaddress.ip_address("210.22.22.22")
OURS = NoneKernel.reqids[7]


class Host(SimulatedHost):
    """A simulated host that can be removed from."""

    def __init__(self, root):
        super().__init__(root)
        self.kernel = NoneKernel()

    def run(self, command):
        verb = command[1]
        if verb in ("stop", "disable"):
            self.active = self.active and verb != "stop"
            self.enabled = self.enabled and verb != "disable"
        return super().run(command)

    def fill_kernel(self, reqid, number):
        selector = TrafficSelector(
            ipaddress.ip_network(f"192.168.{number}.0/24"), ipaddress.ip_network("192.168.20.0/24")
        )
        self.kernel.add_policy(Policy(selector, "out", templates=(Template(ESP, TUNNEL, TOKYO, OSAKA, reqid),)))
        self.kernel.add_sa(
            SecurityAssociation(
                TOKYO, OSAKA, ESP, 0x1000 + number, TUNNEL, "aes128_cbc", bytes(16), "hmac_sha1", bytes(20), reqid
            )
        )

    def remove(self, dry=False):
        self.commands.clear()
        directories = [self.root / "etc", self.root / "etc/psk", self.root / "lib"]
        services = SystemdEnding(self.run, SERVICE, self.gateway())
        return Removal(Deployed(self.kernel, self.root / "state", directories, services)).apply(dry)


@pytest.fixture
def host(tmp_path):
    simulated = Host(tmp_path)
    yield simulated
    simulated.kernel.close()
    simulated.close()


@pytest.fixture
def deployed(host):
    host.deploy()
    host.fill_kernel(OURS, 10)
    return host


def tree(host):
    return sorted(str(path.relative_to(host.root)) for path in host.root.rglob("*"))


def test_nothing_of_ours_is_left_and_nothing_else_is_touched(host):
    before = tree(host)
    host.deploy()
    host.fill_kernel(OURS, 10)
    host.fill_kernel(0, 99)
    removed = host.remove()
    assert tree(host) == before
    assert host.commands == ["stop", "disable", "gateway stop", "gateway disable", "daemon-reload"] and removed.changed
    assert [state.spi for state in host.kernel.list_sas()] == [0x1000 + 99]
    assert [str(state.policy.selector.source) for state in host.kernel.list_policies()] == ["192.168.99.0/24"]
    assert removed.policies == ["out: 192.168.10.0/24 to 192.168.20.0/24"]
    assert removed.sas == ["210.11.11.11 to 210.22.22.22, SPI 0x0000100a"]


def test_a_second_removal_changes_nothing(deployed):
    deployed.remove()
    again = deployed.remove()
    assert not again.changed and again.diff == [] and deployed.commands == []


def test_a_host_that_was_never_deployed_is_left_alone(host):
    (host.root / "etc").mkdir()
    host.active = host.enabled = True
    before = tree(host)
    assert not host.remove().changed
    assert tree(host) == before and host.commands == []


def test_check_mode_says_what_the_run_then_does_and_does_nothing(deployed):
    before = tree(deployed)
    foreseen = deployed.remove(dry=True)
    assert tree(deployed) == before and deployed.commands == [] and deployed.kernel.list_sas()
    done = deployed.remove()
    assert (foreseen, foreseen.diff) == (done, done.diff)


def test_a_file_that_someone_changed_stays_with_a_word(deployed):
    deployed.paths["configuration"].write_text("the operator's own\n")
    removed = deployed.remove()
    assert removed.left == ["{}: changed by someone else".format(deployed.paths["configuration"])]
    assert deployed.paths["configuration"].read_text() == "the operator's own\n"
    assert not deployed.remove().changed


def test_files_of_others_keep_their_directory(deployed):
    (deployed.root / "etc/psk/other.psk").write_bytes(b"not ours")
    removed = deployed.remove()
    assert (deployed.root / "etc/psk/other.psk").exists() and not deployed.paths["psk"].exists()
    assert str(deployed.root / "lib") in removed.files and str(deployed.root / "etc") not in removed.files


def test_an_interrupted_removal_is_finished_by_the_next(deployed):
    deployed.failing = "daemon-reload"
    with pytest.raises(DeployError, match="daemon-reload"):
        deployed.remove()
    deployed.failing = ""
    assert deployed.remove().changed and not deployed.target.manifest.exists()
    assert not deployed.remove().changed


def test_a_daemon_that_does_not_end_keeps_everything_in_place(deployed):
    before = tree(deployed)
    deployed.failing = "stop"
    with pytest.raises(DeployError, match="systemctl stop"):
        deployed.remove()
    assert tree(deployed) == before and deployed.kernel.list_policies()


def test_the_diff_names_what_goes_and_shows_no_key(deployed):
    text = str(deployed.remove(dry=True).diff)
    assert "osaka.psk" in text and "security policies" in text and "a secret key" not in text


@pytest.mark.parametrize(("system", "paths"), [("linux", LINUX_PATHS), ("freebsd", FREEBSD_PATHS)])
def test_the_module_knows_the_places_of_a_deployment(system, paths):
    assert ipsec_remove.STATE_DIRECTORY[system] == paths.state_directory
    assert ipsec_remove.DIRECTORIES[system] == list(paths.directories())


def test_the_module_knows_the_services_of_a_deployment():
    defaults = {name: option.get("default") for name, option in ipsec_remove.ARGUMENT_SPEC.items()}
    assert (defaults["service"], defaults["gateway_service"]) == (LINUX_PATHS.service, LINUX_PATHS.gateway_service)
    assert defaults["configuration"] == FREEBSD_PATHS.configuration
    documented = yaml.safe_load(ipsec_remove.DOCUMENTATION)["options"]
    assert {name: option.get("default") for name, option in documented.items()} == defaults
    started = {"bundled": tuple(Bundled.services), "racoon2": tuple(Racoon2.services)}
    assert started == ipsec_remove.SERVICES


# ---- FreeBSD ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def freebsd(tmp_path, monkeypatch):
    """A host with racoon2, as far as a removal looks: rc.conf, services, an SA of the tunnel and one of somebody's."""
    system = SimulatedFreebsd()
    system.running = {"spmd", "iked"}
    system.rc_conf.update(gateway_enable="YES", spmd_enable="YES", iked_enable="YES")
    for name in ("etc", "state"):
        (tmp_path / name).mkdir()
    configuration = tmp_path / "etc/racoon2.conf"
    configuration.write_text((GOLDEN / "howto/tokyo.racoon2.conf").read_text())
    manifest = Manifest()
    digests = {str(configuration): (manifest.digest(configuration.read_bytes()),)}
    save_manifest(tmp_path / "state/manifest.json", replace(manifest, files=digests))
    system.parameters = {
        "implementation": "racoon2",
        "state_directory": str(tmp_path / "state"),
        "configuration": str(configuration),
        "directories": [str(tmp_path / "etc")],
    }
    monkeypatch.setattr(ipsec_remove, "run", system.run)
    system.kernel = NoneKernel()
    for peer, spi in ((OSAKA, 0x1001), (ipaddress.ip_address("198.51.100.1"), 0x1002)):
        system.kernel.add_sa(
            SecurityAssociation(TOKYO, peer, ESP, spi, TUNNEL, "aes128_cbc", bytes(16), "hmac_sha1", bytes(20), 0)
        )
    yield system
    system.kernel.close()


def remove_freebsd(system, check_mode=False):
    system.told.clear()
    module = SimpleNamespace(params=system.parameters, check_mode=check_mode, _diff=True, warn=lambda text: None)
    return ipsec_remove.remove(module, system.kernel)


def test_racoon2_leaves_in_the_order_of_its_end(freebsd, tmp_path):
    foreseen = remove_freebsd(freebsd, check_mode=True)
    assert freebsd.told == [] and len(freebsd.kernel.list_sas()) == 2
    done = remove_freebsd(freebsd)
    assert done == foreseen
    assert freebsd.told == [
        "service iked onestop", "service spmd onestop", "sysrc -x iked_enable", "sysrc -x spmd_enable"
    ]  # fmt: skip
    assert freebsd.rc_conf == {"gateway_enable": "YES"}
    assert [state.spi for state in freebsd.kernel.list_sas()] == [0x1002], "the other one isn't between our ends"
    assert list(tmp_path.iterdir()) == []
    assert not remove_freebsd(freebsd)["changed"]
