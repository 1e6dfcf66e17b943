"""What a host gets: one program with the same bytes everywhere, a configuration that loads, its own keys."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile

from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.config.effective import effective
from ansible_collections.tanuki.ipsec.plugins.module_utils.ike.config.loader import load_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.application import build_application
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.gateway_work import GatewayWork
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.host_files import host_files, key_files
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import Paths
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.rotation import KeySet

PLAN = make_plan(
    {
        "tokyo": {
            "ipsec_address": "210.11.11.11",
            "ipsec_networks": ["192.168.10.0/24", "2001:db8:10::/64"],
            "ipsec_profile": "2007",
        },
        "osaka": {
            "ipsec_address": "210.22.22.22",
            "ipsec_networks": ["192.168.20.0/24", "2001:db8:20::/64"],
            "ipsec_profile": "2007",
        },
        "esp": {"ipsec_address": "210.33.33.33", "ipsec_networks": ["192.168.30.0/24"], "ipsec_profile": "2007"},
    }
)
KEY = b"a key of thirty-two bytes or so."


def files_of(host):
    ends = PLAN.ends[host]
    files = host_files(
        PLAN.sites[host], ends, {end.name: KeySet(KEY) for end in ends}, Paths(), "/usr/bin/python3", GatewayWork()
    )
    return {file.path: file for file in files}


def loaded(host):
    file = files_of(host)["/etc/racoon2/racoon2.conf"]
    result = load_text(file.content, file.path, "tanuki")
    assert [str(problem) for problem in result.problems] == []
    return effective(result.configuration)


def test_a_hosts_files_and_their_modes():
    assert {path: file.mode for path, file in files_of("tokyo").items()} == {
        "/usr/local/lib/tanuki-ipsec/ike.pyz": "0644",
        "/etc/systemd/system/tanuki-iked.service": "0644",
        "/usr/local/lib/tanuki-ipsec/gateway": "0755",
        "/etc/systemd/system/tanuki-ipsec-gateway.service": "0644",
        "/etc/systemd/system/nftables.service.d/tanuki-ipsec.conf": "0644",
        "/etc/sysctl.d/90-tanuki-ipsec.conf": "0644",
        "/etc/racoon2/racoon2.conf": "0600",
        "/etc/racoon2/psk/osaka.psk": "0600",
        "/etc/racoon2/psk/site_esp.psk": "0600",
    }


def test_the_configuration_loads_without_a_word_and_names_the_key_files():
    remotes = loaded("tokyo").remotes
    assert {remote.ikev1.pre_shared_key for remote in remotes} <= set(files_of("tokyo"))
    assert [(remote.name, remote.acceptable) for remote in remotes] == [("site_esp", ("ikev1",)), ("osaka", ("ikev1",))]


def test_both_ends_mirror_each_other():
    def facts(host, peer):
        configuration = loaded(host)
        settings = configuration.remote(peer).ikev1
        traffic = [tunnel for tunnel in configuration.tunnels if tunnel.remote == peer]
        return settings, traffic

    (ours, our_traffic), (theirs, their_traffic) = facts("tokyo", "osaka"), facts("osaka", "tokyo")
    assert ours.my_ids == theirs.peers_ids and ours.peers_ids == theirs.my_ids
    assert (ours.encryption, ours.hashes, ours.groups) == (theirs.encryption, theirs.hashes, theirs.groups)
    assert {tunnel.selector for tunnel in our_traffic} == {tunnel.selector.reversed() for tunnel in their_traffic}
    assert len(our_traffic) == 2, "one for IPv4, one for IPv6, none that mixes them"
    for ours, theirs in zip(our_traffic, their_traffic):
        assert (ours.my_address, ours.peers_address) == (theirs.peers_address, theirs.my_address)
        assert (ours.proposals, ours.lifetime_seconds) == (theirs.proposals, theirs.lifetime_seconds)


def test_the_program_has_the_same_bytes_each_time_and_runs(tmp_path):
    program = build_application()
    assert program == build_application()
    path = tmp_path / "ike.pyz"
    path.write_bytes(program)
    done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "iked" in done.stdout, done.stderr


def test_the_program_holds_sources_only():
    with zipfile.ZipFile(io.BytesIO(build_application())) as archive:
        names = archive.namelist()
        times = {entry.date_time for entry in archive.infolist()}
    assert "__main__.py" in names and "ike/__init__.py" in names and names == sorted(names)
    assert all(name.endswith(".py") for name in names)
    assert times == {(1980, 1, 1, 0, 0, 0)}


def test_the_host_is_told_digests_that_dont_give_a_key_away():
    file = files_of("tokyo")["/etc/racoon2/psk/osaka.psk"]
    told, otherwise = file.parameters("0" * 64), file.parameters("1" * 64)
    assert told["digest"] != otherwise["digest"] and "content" not in told
    assert KEY.decode() not in json.dumps(told) and KEY.decode() not in repr(file)


def test_ipv6_forwarding_only_where_a_tunnel_carries_ipv6():
    path = "/etc/sysctl.d/90-tanuki-ipsec.conf"
    assert b"net.ipv6.conf.all.forwarding = 1" in files_of("tokyo")[path].content
    assert b"ipv6" not in files_of("esp")[path].content


def test_a_rotation_adds_a_key_file_that_is_written_before_the_current_one():
    for keys, names in (
        (KeySet(b"old", next=b"new"), ["osaka.psk.next", "osaka.psk"]),
        (KeySet(b"new", previous=b"old"), ["osaka.psk.previous", "osaka.psk"]),
    ):
        files = key_files(Paths(), {"osaka": keys})
        assert [file.path.rpartition("/")[2] for file in files] == names
        assert {(file.role, file.mode) for file in files} == {("psk", "0600")}
        assert files[-1].content == keys.current
