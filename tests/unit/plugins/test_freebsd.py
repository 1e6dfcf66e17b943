"""Deploying to FreeBSD: what stands in the way, what is written, what the services are told, in which order.

The system's commands are simulated (see simulated_freebsd.py); plan, files and the module's code are real.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import stat
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.tanuki.ipsec.plugins.action import ipsec_deploy
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy import obstacles as looked_at
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.freebsd import Bundled as BundledHost
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.freebsd import Racoon2 as Racoon2Host
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import DeployError
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.obstacles import Demands, obstacles
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.kernel.base import KernelError
from ansible_collections.tanuki.ipsec.plugins.modules import ipsec_apply
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.implementations import (
    Bundled,
    Racoon2,
    Unfit,
    XfrmLinux,
    demands,
)
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import FREEBSD_PATHS
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rc import script_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rotation import KeySet
from jinja2 import Environment

from tests.unit.plugins.simulated import SimulatedHost
from tests.unit.plugins.simulated_freebsd import SimulatedFreebsd, SimulatedKernel

SITES = {
    "tokyo": {
        "ipsec_address": "210.11.11.11",
        "ipsec_networks": ["192.168.10.0/24"],
        "ipsec_profile": "ikev1-aes",
    },
    "osaka": {
        "ipsec_address": "210.22.22.22",
        "ipsec_networks": ["192.168.20.0/24"],
        "ipsec_profile": "ikev1-aes",
    },
}
NARA = {"ipsec_address": "210.33.33.33", "ipsec_networks": ["192.168.30.0/24"], "ipsec_profile": "ikev1-aes"}
OF_2007 = {name: {**site, "ipsec_profile": "2007"} for name, site in SITES.items()}
PEER, FAR = ipaddress.ip_address("210.22.22.22"), ipaddress.ip_network("192.168.20.0/24")
DEMANDS = Demands(("aes_cbc", "hmac_sha2_256"), False, (PEER,), (FAR,))


@pytest.fixture
def freebsd(monkeypatch):
    monkeypatch.setattr(looked_at, "PfkeyKernel", SimulatedKernel)
    return SimulatedFreebsd()


# ---- What stands in the way ------------------------------------------------------------------------------------------


def found(freebsd, tmp_path, demanded=DEMANDS):
    return obstacles(freebsd.run, demanded, tmp_path / "ipsec.conf")


def test_nothing_stands_in_the_way_of_a_plain_gateway(freebsd, tmp_path):
    assert found(freebsd, tmp_path) == []


def test_a_kernel_without_ipsec(freebsd, tmp_path, monkeypatch):
    def refuse():
        raise KernelError("open PF_KEY", 43, "the kernel has no PF_KEY (FreeBSD: module ipsec)")

    monkeypatch.setattr(looked_at, "PfkeyKernel", refuse)
    (text,) = found(freebsd, tmp_path)
    assert "no PF_KEY" in text and "kldload ipsec" in text


def test_a_kernel_without_an_algorithm(freebsd, tmp_path):
    (text,) = found(freebsd, tmp_path, replace(DEMANDS, algorithms=("3des_cbc", "hmac_sha1")))
    assert text.startswith("this kernel has no 3des_cbc: FreeBSD 13 and later")


def test_a_gif_interface_to_a_peer_and_not_one_to_elsewhere(freebsd, tmp_path):
    gif = "gif{}: flags=8051<UP> metric 0 mtu 1280\n\ttunnel inet 210.11.11.11 --> {}\n"
    freebsd.ifconfig += gif.format(0, "198.51.100.1") + gif.format(1, PEER)
    (text,) = found(freebsd, tmp_path)
    assert text.startswith("interface gif1:") and "210.11.11.11 --> 210.22.22.22" in text


def test_policies_of_setkey(freebsd, tmp_path):
    freebsd.rc_conf["ipsec_enable"] = "YES"
    (tmp_path / "ipsec.conf").write_text("# setkey\n\nspdadd 192.168.10.0/24 192.168.20.0/24 any -P out ipsec\n")
    enabled, command = found(freebsd, tmp_path)
    assert enabled.startswith('ipsec_enable="YES"')
    assert command.startswith("{}:3: spdadd 192.168.10.0/24".format(tmp_path / "ipsec.conf"))


def test_a_file_of_comments_is_no_obstacle(freebsd, tmp_path):
    (tmp_path / "ipsec.conf").write_text("# spdadd nothing\n")
    assert found(freebsd, tmp_path) == []


ROUTE = "192.168.20.0/24    210.22.22.22       UGS         em0\n"


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (ROUTE, "`route -4 delete -net 192.168.20.0/24 210.22.22.22`"),
        (
            "192.168.20.128/25  210.11.11.1        UGS         em0\n",
            "`route -4 delete -net 192.168.20.128/25 210.11.11.1`",
        ),
        ("192.168.20.7       link#4             UHS        gif0\n", "`route -4 delete -host 192.168.20.7`"),
    ],
)
def test_a_static_route_into_the_far_network(freebsd, line, advice):
    freebsd.netstat += line
    (text,) = BundledHost(freebsd.run, DEMANDS).obstacles()
    assert text.startswith("route `192.168.20.") and text.endswith("no route is needed; " + advice)


def test_a_static_route_that_only_rc_conf_has(freebsd):
    freebsd.rc_conf.update(
        static_routes="dmz osaka", route_osaka="-net 192.168.20.0/24 210.22.22.22", route_dmz="-net 10/8 em2"
    )
    (text,) = BundledHost(freebsd.run, DEMANDS).obstacles()
    assert text.startswith('rc.conf: route_osaka="-net 192.168.20.0/24 210.22.22.22"')
    assert "`sysrc static_routes-=osaka` and `sysrc -x route_osaka`" in text


def test_the_route_by_our_own_lan_address_is_the_allowed_one(freebsd):
    freebsd.netstat += "192.168.20.0/24    192.168.10.1       UGS         em1\n"
    freebsd.rc_conf.update(static_routes="osaka", route_osaka="-net 192.168.20.0/24 192.168.10.1")
    assert BundledHost(freebsd.run, DEMANDS).obstacles() == []


@pytest.mark.parametrize(
    ("version", "said", "complaint"),
    [
        ("20060712a\n", "", "racoon2 20060712a has no IKEv1"),
        ("", "iked 0.7 (20061228a)\n", None),
        ("20181215_3\n", "", None),
        ("", "usage: iked\n", "version can't be found out"),
    ],
)
def test_racoon2s_version(freebsd, tmp_path, version, said, complaint):
    freebsd.answers["pkg", "query"] = (0, version, "")
    freebsd.answers[str(program(tmp_path, "iked")), "-V"] = (1, said, "")
    host = Racoon2Host(freebsd.run, DEMANDS, programs=(program(tmp_path, "spmd"), program(tmp_path, "iked")))
    texts = host.obstacles()
    assert (texts == []) if complaint is None else (complaint in texts[0])


def test_3des_in_ike_on_openssl_3(freebsd, tmp_path):
    freebsd.answers["openssl", "version"] = (0, "OpenSSL 3.0.13 30 Jan 2024 (Library: OpenSSL 3.0.13)\n", "")
    programs = (program(tmp_path, "spmd"), program(tmp_path, "iked"))
    assert Racoon2Host(freebsd.run, DEMANDS, programs=programs).obstacles() == []
    (text,) = Racoon2Host(freebsd.run, replace(DEMANDS, ike_3des=True), programs=programs).obstacles()
    assert "3DES on OpenSSL 3.0.13" in text and "bundled" in text


def test_3des_on_openssl_3_is_refused_before_racoon2_is_installed(freebsd, tmp_path):
    freebsd.answers["openssl", "version"] = (0, "OpenSSL 3.0.13 30 Jan 2024 (Library: OpenSSL 3.0.13)\n", "")
    absent = (tmp_path / "spmd", tmp_path / "iked")
    (text,) = Racoon2Host(freebsd.run, replace(DEMANDS, ike_3des=True), programs=absent).obstacles()
    assert "3DES on OpenSSL 3.0.13" in text


def test_the_other_implementations_service(freebsd):
    freebsd.running = {"spmd", "iked"}
    texts = BundledHost(freebsd.run, DEMANDS).obstacles()
    assert [text.split(",")[0] for text in texts] == ["the service iked runs", "the service spmd runs"]


def program(tmp_path, name):
    path = tmp_path / name
    path.touch(mode=0o755)
    return path


# ---- Whole deployments -----------------------------------------------------------------------------------------------


class Host:
    """tokyo, with everything below a temporary root."""

    def __init__(self, freebsd, root, implementation):
        self.freebsd, self.root = freebsd, root
        names = {"config": "etc", "library": "lib", "state": "db/state", "unit": "rc.d", "run": "run"}
        (root / "db").mkdir()
        paths = replace(FREEBSD_PATHS, **{name + "_directory": str(root / path) for name, path in names.items()})
        self.implementation = replace(implementation, paths=paths)
        self.configuration = root / "etc/racoon2.conf"

    def deploy(self, sites=SITES, key=b"a key of thirty-two bytes or so.", check_mode=False, remove_routes=False):
        self.freebsd.told.clear()
        plan = make_plan(sites)
        ends = plan.ends["tokyo"]
        files = self.implementation.files(plan.sites["tokyo"], ends, {end.name: KeySet(key) for end in ends}, "python3")
        parameters = {
            "secrets": [],
            "probe": False,
            "validate": True,
            "confirm_seconds": 0,
            "python": "python3",
            "remove_routes": remove_routes,
        }
        parameters.update(self.implementation.parameters(ends))
        parameters["files"] = [file.parameters("00", with_content=True) for file in files]
        module = SimpleNamespace(
            params={**parameters, "key": "00"},
            check_mode=check_mode,
            _diff=True,
            warn=lambda text: None,
        )
        return ipsec_apply.deploy(module)

    def run(self, command):
        return (0, "", "") if command[0] == "python3" else self.freebsd.run(command)


@pytest.fixture
def racoon2(freebsd, tmp_path, monkeypatch):
    (tmp_path / "sbin").mkdir()
    programs = (program(tmp_path / "sbin", "spmd"), program(tmp_path / "sbin", "iked"))
    monkeypatch.setattr(ipsec_apply, "Racoon2", partial(Racoon2Host, programs=programs))
    host = Host(freebsd, tmp_path, Racoon2())
    monkeypatch.setattr(ipsec_apply, "run", host.run)
    return host


@pytest.fixture
def bundled(freebsd, tmp_path, monkeypatch):
    simulated = tmp_path / "linux"
    simulated.mkdir()
    daemon = SimulatedHost(simulated)  # its control socket answers
    (tmp_path / "run").mkdir()
    (tmp_path / "run/tanuki-ipsec").symlink_to(simulated)
    host = Host(freebsd, tmp_path, Bundled())
    monkeypatch.setattr(ipsec_apply, "run", host.run)
    host.requests = daemon.commands
    yield host
    daemon.close()


ENABLED = ["sysrc gateway_enable=YES", "sysctl net.inet.ip.forwarding=1"]


def test_racoon2_on_a_fresh_host(racoon2):
    result = racoon2.deploy()
    assert racoon2.freebsd.told == [
        *ENABLED, "sysrc spmd_enable=YES", "sysrc iked_enable=YES", "service spmd start", "service iked start"
    ]  # fmt: skip
    assert result["changed"] and result["service"] == ["start"]
    password = racoon2.root / "etc/spmd.pwd"
    assert len(password.read_bytes()) == 64 and stat.S_IMODE(password.stat().st_mode) == 0o600
    assert (racoon2.root / "etc/psk/osaka.psk").read_bytes() == b"a key of thirty-two bytes or so."
    assert "ikev2 {" in racoon2.configuration.read_text(), "without the block upstream's spmd crashes"
    assert not (racoon2.root / "lib").exists()


def test_a_second_run_changes_nothing(racoon2):
    racoon2.deploy()
    password = (racoon2.root / "etc/spmd.pwd").read_bytes()
    assert not racoon2.deploy()["changed"] and racoon2.freebsd.told == []
    assert (racoon2.root / "etc/spmd.pwd").read_bytes() == password


def test_a_new_key_restarts_nothing(racoon2):
    racoon2.deploy()
    result = racoon2.deploy(key=b"another key")
    assert list(result["files"].values()) == ["updated"] and racoon2.freebsd.told == []


def test_a_new_peer_restarts_the_pair_in_order(racoon2):
    racoon2.deploy()
    result = racoon2.deploy({**SITES, "nara": NARA})
    assert result["service"] == ["restart"]
    assert racoon2.freebsd.told == [
        "service iked onestop", "service spmd onestop", "service spmd start", "service iked start"
    ]  # fmt: skip


def test_an_iked_that_died_is_started_again_with_its_spmd(racoon2):
    racoon2.deploy()
    racoon2.freebsd.running = {"spmd"}
    assert racoon2.deploy()["service"] == ["restart"]
    assert racoon2.freebsd.told == ["service spmd onestop", "service spmd start", "service iked start"]


def test_a_start_that_fails_is_told_and_done_again_by_the_next_run(racoon2):
    racoon2.freebsd.failing = (("iked", "start"),)
    with pytest.raises(DeployError, match="service iked start: no available spmd I/F"):
        racoon2.deploy()
    racoon2.freebsd.failing = ()
    assert racoon2.deploy()["service"] == ["restart"]


@pytest.mark.parametrize("implementation", ["racoon2", "bundled"])
def test_check_mode_says_all_of_it_and_writes_nothing(request, implementation):
    host = request.getfixturevalue(implementation)
    before = sorted(host.root.rglob("*"))
    foreseen = host.deploy(check_mode=True)
    assert sorted(host.root.rglob("*")) == before and host.freebsd.told == []
    done = host.deploy()
    assert (foreseen["files"], foreseen["settings"], foreseen["service"], foreseen["diff"]) == (
        done["files"], done["settings"], done["service"], done["diff"]
    )  # fmt: skip


def test_someones_racoon2_conf_is_kept_and_shown(racoon2):
    racoon2.configuration.parent.mkdir()
    racoon2.configuration.write_text("# theirs\n")
    result = racoon2.deploy()
    (copy,) = racoon2.configuration.parent.glob("racoon2.conf.*~")
    assert copy.read_text() == "# theirs\n"
    assert "# theirs\n" in [entry["before"] for entry in result["diff"]]


def test_static_routes_go_where_the_operator_says_so(racoon2):
    racoon2.freebsd.netstat += ROUTE
    racoon2.freebsd.rc_conf.update(static_routes="dmz osaka", route_osaka="-net 192.168.20.0/24 210.22.22.22")
    with pytest.raises(DeployError, match=r"nothing was changed:\nroute `192\.168\.20\.0/24"):
        racoon2.deploy()
    foreseen = racoon2.deploy(check_mode=True, remove_routes=True)
    assert racoon2.freebsd.told == []
    result = racoon2.deploy(remove_routes=True)
    assert racoon2.freebsd.told[-5:-2] == [
        "route -4 delete -net 192.168.20.0/24 210.22.22.22", "sysrc static_routes-=osaka", "sysrc -x route_osaka"
    ]  # fmt: skip
    assert result["routes"] == foreseen["routes"] and len(result["routes"]) == 2
    assert [entry for entry in result["diff"] if entry["before_header"] == "static routes"] == [
        entry for entry in foreseen["diff"] if entry["before_header"] == "static routes"
    ] != []  # fmt: skip
    assert racoon2.freebsd.rc_conf["static_routes"] == "dmz"
    assert not racoon2.deploy(remove_routes=True)["changed"]


def test_an_obstacle_leaves_everything_as_it_was(racoon2):
    racoon2.freebsd.rc_conf["ipsec_enable"] = "YES"
    before = sorted(racoon2.root.rglob("*"))
    with pytest.raises(DeployError, match="nothing was changed:\nipsec_enable"):
        racoon2.deploy()
    assert sorted(racoon2.root.rglob("*")) == before and racoon2.freebsd.told == []


def test_true_in_another_spelling_is_left_alone(racoon2):
    racoon2.freebsd.rc_conf["gateway_enable"] = "yes"
    assert "gateway_enable" not in racoon2.deploy()["settings"]


def test_the_bundled_daemon_is_started_and_waited_for(bundled):
    result = bundled.deploy()
    assert bundled.freebsd.told == [*ENABLED, "sysrc tanuki_iked_enable=YES", "service tanuki_iked start"]
    assert bundled.requests == ["status"] and result["service"] == ["start"]
    assert stat.S_IMODE((bundled.root / "rc.d/tanuki_iked").stat().st_mode) == 0o555
    assert not bundled.deploy()["changed"]


def test_the_bundled_daemon_reloads_where_racoon2_restarts(bundled):
    bundled.deploy()
    bundled.requests.clear()
    result = bundled.deploy({**SITES, "nara": NARA})
    assert result["service"] == ["reload"] and bundled.freebsd.told == []
    assert bundled.requests == ["status", "reload", "status"]


class Action(ipsec_deploy.ActionModule):
    """The action plugin on a host that lacks its program; what it runs there is kept."""

    def __init__(self, check_mode=False, **arguments):
        self.ran = []
        self._task = SimpleNamespace(check_mode=check_mode, args=arguments, action="ipsec_deploy")
        self.task_vars, self.executions = {}, 0
        defaults = {name: option["default"] for name, option in ipsec_deploy.ARGUMENT_SPEC.items()}
        self.arguments = {**defaults, **arguments}
        self.implementation = ipsec_deploy._implementation(self.arguments)

    def _execute_module(self, module_name, module_args, task_vars):
        self.ran.append((module_name, module_args.get("argv")))
        return {"failed": module_args["argv"][0] == "false", "stderr": "no such port"}

    def install(self):
        answer = {"lacks_program": True, "lacks_packages": [], "package_manager": "apt"}
        return self._install(answer, self.arguments["packages"], self.arguments["commands"])


def test_freebsd_installs_by_pkg_whatever_else_is_there():
    action = Action(implementation="racoon2", packages=["racoon2"])
    assert not action.install().get("failed")
    assert action.ran == [("ansible.builtin.command", ["pkg", "install", "-y", "racoon2"])]


def test_a_port_is_built_by_commands_until_one_fails():
    action = Action(implementation="racoon2", packages=[], commands=[["true"], ["false"], ["make"]])
    assert action.install()["msg"].startswith(
        "false: no such port\nFreeBSD took racoon2 out of its ports on 2025-06-02"
    )
    assert [argv for _module, argv in action.ran] == [["true"], ["false"]]


def test_check_mode_installs_nothing_and_says_that_it_would():
    action = Action(check_mode=True, implementation="bundled", packages=["python3"])
    assert action.install() == {"changed": True} and action.ran == []


def test_upstreams_daemons_that_are_said_to_be_present_have_to_be():
    with pytest.raises(AnsibleActionFail, match=r"docs/freebsd\.md"):
        Action(implementation="racoon2", packages=[]).install()


# ---- What upstream can't have ----------------------------------------------------------------------------------------


def ends_of(sites):
    return make_plan(sites).ends["tokyo"]


def test_what_the_tunnels_ask_of_the_host():
    assert demands(ends_of(OF_2007)) == {
        "algorithms": ["3des_cbc", "hmac_sha1"],
        "ike_3des": True,
        "peers": ["210.22.22.22"],
        "far_networks": ["192.168.20.0/24"],
    }
    assert XfrmLinux().parameters(ends_of(OF_2007)).get("demands") is None


def with_cryptography(**changes):
    (end,) = ends_of(SITES)
    cryptography = replace(end.profile.cryptography, **changes)
    return replace(end, profile=replace(end.profile, name="modern", cryptography=cryptography))


@pytest.mark.parametrize("implementation", [Racoon2(), Bundled()])
def test_a_key_with_a_newline_is_refused(implementation):
    (end,) = ends_of(SITES)
    keys = {end.name: KeySet(b"a key from a text editor\n")}
    with pytest.raises(Unfit, match="the key of tokyo and osaka has a newline in it"):
        implementation.files(end.local, [end], keys, "python3")
    foreign = replace(end, peer=replace(end.peer, managed=False))
    assert implementation.files(end.local, [foreign], keys, "python3")


def test_ikev2_needs_the_operators_word():
    version2 = with_cryptography(version=2, ike_hash=("hmac_sha1",), ike_prf=("hmac_sha1",), dpd_delay=0)
    with pytest.raises(Unfit, match="profile modern: racoon2's iked crashes"):
        Racoon2().files(version2.local, [version2], {}, "")
    configuration, _key = Racoon2(ikev2=True).files(version2.local, [version2], {version2.name: KeySet(b"a key")}, "")
    assert b"acceptable_kmp { ikev2; };" in configuration.content


def test_what_upstreams_language_has_no_word_for():
    aead = with_cryptography(esp_encryption=("aes256_gcm",), esp_integrity=())
    with pytest.raises(Unfit, match="racoon2 can't be told this profile"):
        Racoon2().files(aead.local, [aead], {}, "")


# ---- The rc.d script -------------------------------------------------------------------------------------------------

RC_SUBR = """
load_rc_config() { tanuki_iked_args="-D 1"; }
run_rc_command() { echo "$command $command_args"; echo "$rcvar $pidfile $required_files"; $reload_cmd; }
"""


def test_the_script_says_what_rc_subr_wants(tmp_path):
    """A shell reads it, with a stand-in for rc.subr that prints what it was told."""
    (tmp_path / "rc.subr").write_text(RC_SUBR)
    paths = replace(FREEBSD_PATHS, library_directory="/lib/tanuki-ipsec")
    script = script_text(paths, "echo")
    done = subprocess.run(
        ["/bin/sh", "-eu", "-c", script.replace("/etc/rc.subr", str(tmp_path / "rc.subr")), "tanuki_iked", "start"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    start, variables, reload = done.stdout.splitlines()
    assert " ".join(start.split()) == (
        "/usr/sbin/daemon -r -R 1 -S -T tanuki_iked -P /var/run/tanuki_iked.pid "
        "echo /lib/tanuki-ipsec/ike.pyz iked -F -f /usr/local/etc/racoon2/racoon2.conf --kernel pfkey "
        "--control /var/run/tanuki-ipsec/control.sock --hold -D 1"
    )
    assert variables == (
        "tanuki_iked_enable /var/run/tanuki_iked.pid /lib/tanuki-ipsec/ike.pyz /usr/local/etc/racoon2/racoon2.conf"
    )
    assert reload == "/lib/tanuki-ipsec/ike.pyz ctl --control /var/run/tanuki-ipsec/control.sock reload"


# ---- The role --------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles" / "racoon2_freebsd"
OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
LINUX = yaml.safe_load((ROOT / "roles/xfrm_linux/meta/argument_specs.yml").read_text())["argument_specs"]["main"]


def test_the_roles_defaults_are_the_documented_ones():
    documented = {name: option["default"] for name, option in OPTIONS.items() if name.startswith("racoon2_freebsd_")}
    assert yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()) == documented


def test_both_roles_describe_a_site_in_the_same_words():
    shared = [name for name in LINUX["options"] if name.startswith("ipsec_")]
    assert {name: OPTIONS[name] for name in shared} == {name: LINUX["options"][name] for name in shared}


def test_the_roles_describe_every_variable_that_a_plan_is_made_of():
    plan = [ROOT / "plugins/plugin_utils" / name for name in ("inventory.py", "topology.py", "plan.py", "pairs.py")]
    read = {name for path in plan for name in re.findall(r'"(ipsec_[a-z_]+)"', path.read_text())}
    assert {"ipsec_own_address", "ipsec_tunnel_profiles"} <= read <= OPTIONS.keys()


@pytest.mark.parametrize("name", sorted(name for name in OPTIONS if name.startswith("racoon2_freebsd_")))
def test_every_variable_is_on_the_roles_page(name):
    assert "| `{}` |".format(name) in (ROLE / "README.md").read_text()


# ---- The ports tree --------------------------------------------------------------------------------------------------


def run_port_commands(tmp_path, git):
    """The role's commands for `ports`, until one fails, with a git of ours and no make; the last one's errors."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text("#!/bin/sh\n" + git)
    (tmp_path / "bin/git").chmod(0o755)
    templates = Environment()
    templates.filters["quote"] = shlex.quote
    found = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    values = {"racoon2_freebsd_ports_directory": str(tmp_path / "ports"), "racoon2_freebsd_ports_branch": "2025Q2"}
    values["__racoon2_freebsd_port"] = templates.from_string(found["__racoon2_freebsd_port"]).render(values)
    environment = {**os.environ, "PATH": "{}:{}".format(tmp_path / "bin", os.environ["PATH"])}
    *shells, _make = found["__racoon2_freebsd_commands"]["ports"]
    for shell in shells:
        command = [templates.from_string(word).render(values) for word in shell]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            break
    return done.stderr


CLONES = 'for word; do port=$word/security/racoon2; done; mkdir -p $port; echo "$@" >$port/Makefile\n'


@pytest.mark.parametrize("exists", [False, True], ids=["none", "an empty folder"])
def test_a_ports_tree_is_cloned_where_there_is_none(tmp_path, exists):
    if exists:
        (tmp_path / "ports").mkdir()
    assert run_port_commands(tmp_path, CLONES) == ""
    assert " --branch 2025Q2 " in (tmp_path / "ports/security/racoon2/Makefile").read_text()


def test_a_ports_tree_that_is_there_is_taken_as_it_is(tmp_path):
    (tmp_path / "ports/security").mkdir(parents=True)
    said = run_port_commands(tmp_path, CLONES)
    assert said == "{} is missing in this ports tree\n".format(tmp_path / "ports/security/racoon2")
