"""FreeBSD machines of the lab: the image, the seed read back, and two boots of a disk that isn't FreeBSD."""

from __future__ import annotations

import lzma
import os
import stat
import subprocess

import pytest
import yaml

from lab.accelerator import EMULATION
from lab.freebsd.image import FreebsdImage, FreebsdImageError, open_image
from lab.freebsd.machine import FreebsdMachine
from lab.freebsd.seed import LABEL, user_data, write_seed
from lab.keys import ensure_keys
from lab.lab import Lab
from lab.machine import Machine, MachineError
from lab.topology import OSAKA, TOKYO


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return ensure_keys(tmp_path_factory.mktemp("keys"))


# ---- The image -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "kind"), [(b"QFI\xfb" + bytes(508), "qcow2"), (bytes(512), "raw")])
@pytest.mark.parametrize("pack", [bytes, lzma.compress], ids=["plain", "xz"])
def test_an_image_is_known_by_its_first_bytes(tmp_path, content, kind, pack):
    path = tmp_path / "FreeBSD-14.3-RELEASE-amd64-BASIC-CLOUDINIT-ufs.qcow2.xz"
    path.write_bytes(pack(content))
    image = open_image(path, tmp_path / "images")
    assert (image.format, image.disk.read_bytes()) == (kind, content)
    assert open_image(path, tmp_path / "images") == image


@pytest.mark.parametrize("content", [None, lzma.compress(bytes(512))[:-20]], ids=["missing", "cut short"])
def test_an_image_that_is_none_is_named(tmp_path, content):
    path = tmp_path / "freebsd.xz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FreebsdImageError, match=r"FREEBSD_IMAGE: .*freebsd\.xz"):
        open_image(path, tmp_path / "images")


# ---- The seed --------------------------------------------------------------------------------------------------------


def test_the_cd_holds_the_seed_under_its_names(tmp_path, keys):
    path = tmp_path / "seed.iso"
    write_seed(path, TOKYO, [OSAKA], keys)
    iso = ["isoinfo", "-R", "-i", str(path)]
    assert f"Volume id: {LABEL}\n" in subprocess.check_output([*iso, "-d"], text=True)
    listed = subprocess.check_output([*iso, "-l"], text=True)
    assert [line.split()[0] for line in listed.splitlines() if "user-data" in line] == ["-r-xr-xr-x"]
    assert subprocess.check_output([*iso, "-x", "/user-data"], text=True) == user_data(TOKYO, [OSAKA], keys)
    meta = yaml.safe_load(subprocess.check_output([*iso, "-x", "/meta-data"], text=True))
    assert meta == {"instance-id": "tokyo", "local-hostname": "tokyo"}


def test_the_script_is_yaml_too_for_releases_that_parse_whatever_there_is(keys):
    text = user_data(TOKYO, [OSAKA], keys)
    assert text.startswith("#!/bin/sh\n")
    assert isinstance(yaml.safe_load(text), str)


def test_the_script_writes_what_the_next_boot_reads(tmp_path, keys):
    """A shell runs it below a root of its own, with programs that only say how they were called."""
    for folder in ("bin", "etc/ssh", "root"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "firstboot").touch()
    (tmp_path / "etc/ssh/sshd_config").write_text("PasswordAuthentication yes\n")
    for program in ("sysrc", "halt"):
        (tmp_path / "bin" / program).write_text(f'#!/bin/sh\nprintf "%s\\n" {program} "$@" >>{tmp_path}/called\n')
        (tmp_path / "bin" / program).chmod(0o755)
    script = user_data(TOKYO, [OSAKA], keys)
    for path in ("/etc/", "/root/", "/firstboot"):
        script = script.replace(path, f"{tmp_path}{path}")
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", script.removeprefix("#!/bin/sh\n")], check=True, env=environment)

    called = (tmp_path / "called").read_text().splitlines()
    assert called[-2:] == ["halt", "-p"]
    assert {
        "hostname=tokyo",
        "ifconfig_vtnet0=inet 10.0.2.15/24",
        "ifconfig_vtnet1=inet 210.11.11.11/24",
        "defaultrouter=10.0.2.2",
        "static_routes=osaka",
        "route_osaka=-net 210.22.22.0/24 210.11.11.1",
        "firstboot_freebsd_update_enable=NO",
    } <= set(called)
    assert not (tmp_path / "firstboot").exists()
    assert (tmp_path / "etc/ssh/sshd_config").read_text().startswith("PermitRootLogin prohibit-password\nPassword")
    assert (tmp_path / "root/.ssh/authorized_keys").read_text() == keys.user_public
    host_key = tmp_path / "etc/ssh/ssh_host_ed25519_key"
    assert (host_key.read_text(), stat.S_IMODE(host_key.stat().st_mode)) == (keys.host_private, 0o600)


# ---- The machine -----------------------------------------------------------------------------------------------------

# A boot sector that writes a line to the serial port and powers a q35 machine off.
SAID = b"booted from the disk\r\n"
BOOT_SECTOR = (
    bytes.fromhex("31c0 8ed8 be1d7c fc ac 84c0 7406 baf803 ee ebf5 ba0406 b80020 ef f4 ebfd") + SAID + b"\0"
).ljust(510, b"\0") + b"\x55\xaa"


def test_a_disk_boots_twice_and_the_image_stays_as_it_is(tmp_path, keys):
    disk = tmp_path / "disk.raw"
    disk.write_bytes(BOOT_SECTOR.ljust(1 << 20, b"\0"))
    machine = FreebsdMachine(TOKYO, tmp_path / "tokyo", (OSAKA,))
    assert machine.start(FreebsdImage(disk, "raw"), keys, [EMULATION])
    with pytest.raises(MachineError, match="QEMU ended while booting"):
        machine.wait()
    machine.stop()
    assert SAID in machine.first_console_path.read_bytes()
    assert SAID in machine.console_path.read_bytes()
    assert disk.read_bytes() == BOOT_SECTOR.ljust(1 << 20, b"\0")


def test_only_the_second_boot_reaches_beyond_the_lab(tmp_path):
    machine = FreebsdMachine(TOKYO, tmp_path, (OSAKA,))
    first, second = machine._first_command([EMULATION]), machine._second_command([EMULATION])
    assert [any("restrict=on" in word for word in command) for command in (first, second)] == [True, False]
    assert [any("seed.iso" in word for word in command) for command in (first, second)] == [True, False]


def test_a_lab_has_freebsd_where_it_was_asked_for(tmp_path):
    lab = Lab(tmp_path, freebsd={"tokyo": FreebsdImage(tmp_path / "disk", "raw")})
    assert [type(machine) for machine in lab.machines] == [FreebsdMachine, Machine]
