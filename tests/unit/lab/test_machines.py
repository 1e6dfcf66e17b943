"""What makes a machine its site's gateway, how it's reached, and how its process is known."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab import processes, seed, unix
from lab.keys import Keys
from lab.machine import Machine
from lab.setkey import read_associations, read_directions
from lab.ssh import ssh_config
from lab.topology import OSAKA, SITES, TOKYO

SAD = """\
210.11.11.11 210.22.22.22
	esp mode=tunnel spi=201387(0x000312ab) reqid=1(0x00000001)
	E: 3des-cbc
	A: hmac-sha1
	seq=0x00000000 replay=4 flags=0x00000000 state=mature
210.22.22.22[4500] 210.11.11.11[4500]
	esp-udp mode=tunnel spi=3735928559(0xdeadbeef) reqid=1(0x00000001)
	E: aes-cbc
	A: hmac-sha256
	seq=0x00000000 replay=4 flags=0x00000000 state=larval
"""
SPD = """\
192.168.20.0/24[any] 192.168.10.0/24[any] 255
	fwd prio def ipsec
	esp/tunnel/210.22.22.22-210.11.11.11/require
192.168.20.0/24[any] 192.168.10.0/24[any] 255
	in prio def ipsec
	esp/tunnel/210.22.22.22-210.11.11.11/require
192.168.10.0/24[any] 192.168.20.0/24[any] 255
	out prio def ipsec
	esp/tunnel/210.11.11.11-210.22.22.22/require
(per-socket policy)
	out(socket) none
"""


def test_sites_are_the_how_to_s():
    assert [(str(s.outside.ip), str(s.next_hop), str(s.gateway), str(s.client.ip)) for s in SITES] == [
        ("210.11.11.11", "210.11.11.1", "192.168.10.1/24", "192.168.10.2"),
        ("210.22.22.22", "210.22.22.1", "192.168.20.1/24", "192.168.20.2"),
    ]
    assert len({site.mac(card) for site in SITES for card in (0, 1)}) == 4


def test_gateway_and_client_commands():
    gateway = seed.gateway_commands(TOKYO).splitlines()
    assert "address add 210.11.11.11/24 dev outside" in gateway
    assert "route add default via 210.11.11.1" in gateway
    assert "address add 192.168.10.1/24 dev lan" in gateway
    client = seed.client_commands(TOKYO).splitlines()
    assert "address add 192.168.10.2/24 dev eth0" in client
    assert "route add default via 192.168.10.1" in client


def test_ssh_config_is_read_by_ssh_as_meant(tmp_path):
    machines = [Machine(site, tmp_path / site.name) for site in SITES]
    path = tmp_path / "ssh_config"
    path.write_text(ssh_config(machines, Keys(tmp_path / "keys with a space"), Path("/lab/ssh")))
    for host, user, machine in (("tokyo", "root", machines[0]), ("osaka-client", "client", machines[1])):
        output = subprocess.run(["ssh", "-G", "-F", path, host], check=True, capture_output=True, text=True).stdout
        settings = dict(line.split(" ", 1) for line in output.splitlines())
        assert (settings["hostname"], settings["user"]) == ("127.0.0.1", user)
        assert (settings["port"], settings["hostkeyalias"]) == (str(machine.ssh_port), machine.site.name)
        assert settings["identityfile"] == str(tmp_path / "keys with a space/user")
        assert settings["stricthostkeychecking"] in ("yes", "true")
        assert settings["controlpath"] == f"/lab/ssh/{host}"


def test_no_shared_connection_where_the_socket_s_path_would_be_too_long(tmp_path):
    text = ssh_config([Machine(TOKYO, tmp_path)], Keys(tmp_path), Path("/" + "long" * 20))
    assert "ControlPath" not in text


def test_ssh_port_is_kept(tmp_path):
    assert Machine(TOKYO, tmp_path).ssh_port == Machine(TOKYO, tmp_path).ssh_port
    assert Machine(OSAKA, tmp_path / "other").ssh_port != Machine(TOKYO, tmp_path).ssh_port


def test_only_a_process_that_names_its_pid_file_is_ours(tmp_path):
    pid_path = tmp_path / "pid"
    assert processes.running(pid_path) is None
    pid_path.write_text(f"{os.getpid()}\n")
    assert processes.running(pid_path) is None
    pid_path.write_text("not a number")
    assert not processes.end(pid_path)


def test_end_waits_until_the_process_is_gone(tmp_path):
    pid_path = tmp_path / "pid"
    # A grandchild, so that the test isn't the parent that leaves a zombie.
    script = 'sh -c "sleep 60; :" "$0" >/dev/null & echo $!'
    pid = int(subprocess.check_output(["sh", "-c", script, pid_path]))
    pid_path.write_text(f"{pid}\n")
    assert processes.running(pid_path) == pid
    assert processes.end(pid_path)
    command_line = Path(f"/proc/{pid}/cmdline")
    assert not command_line.exists() or not command_line.read_bytes(), "neither running nor more than a zombie"
    assert not pid_path.exists()


def test_unix_sockets_at_long_paths(tmp_path):
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    with unix.listen(folder / "socket") as listener, unix.connect(folder / "socket", 1) as client:
        server, _ = listener.accept()
        client.sendall(b"hello")
        assert server.recv(5) == b"hello"
        server.close()


def test_setkey_output_is_read_back():
    first, second = read_associations(SAD)
    assert (first.source, first.destination, first.spi) == (TOKYO.outside.ip, OSAKA.outside.ip, 0x000312AB)
    assert (first.mode, first.state, first.encryption, first.integrity) == ("tunnel", "mature", "3des-cbc", "hmac-sha1")
    assert (second.source, second.spi, second.state) == (OSAKA.outside.ip, 0xDEADBEEF, "larval")
    assert read_associations("No SAD entries.\n") == []
    assert read_directions(SPD) == ["fwd", "in", "out"]
