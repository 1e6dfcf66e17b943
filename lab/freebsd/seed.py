"""What makes a FreeBSD machine its site's gateway: a NoCloud seed for nuageinit(7), which runs at the first boot.

Releases differ in what they know of #cloud-config: that of 13 has neither write_files nor runcmd. All of them run a
user-data that begins with #!, but the older ones do so before the network comes up and straight from the seed, the
newer ones at the end of the boot and from a copy. So the script only writes what the next boot reads, and powers the
machine off: rc.conf is read once in a boot, what is written during it comes too late.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Interface
from pathlib import Path

from lab.keys import Keys
from lab.seed import MANAGEMENT_ADDRESS
from lab.topology import Site

LABEL = "cidata"  # in small letters: it becomes /dev/iso9660/cidata
MANAGEMENT, OUTSIDE = "vtnet0", "vtnet1"  # FreeBSD counts virtio cards in the order of QEMU's command line

# Some releases parse whatever user-data there is as YAML before they look at its first line. So the script is a plain
# scalar of YAML as well: no comment, no colon before a blank.
SCRIPT = """\
#!/bin/sh
set -eu
sysrc hostname={name} sshd_enable=YES
sysrc ifconfig_{management}='inet {management_address}' ifconfig_{outside}='inet {outside_address}'
sysrc defaultrouter={router} static_routes='{route_names}' {routes}
sysrc -x ifconfig_DEFAULT || true
sysrc firstboot_freebsd_update_enable=NO firstboot_pkg_upgrade_enable=NO
echo nameserver {resolver} >/etc/resolv.conf
mkdir -p -m 700 /root/.ssh
cat >/root/.ssh/authorized_keys <<'END'
{user_public}
END
cat >/etc/ssh/ssh_host_ed25519_key <<'END'
{host_private}
END
cat >/etc/ssh/ssh_host_ed25519_key.pub <<'END'
{host_public}
END
chmod 600 /root/.ssh/authorized_keys /etc/ssh/ssh_host_ed25519_key
echo PermitRootLogin prohibit-password | cat - /etc/ssh/sshd_config >/etc/ssh/sshd_config.lab
mv /etc/ssh/sshd_config.lab /etc/ssh/sshd_config
rm -f /firstboot
halt -p
"""


def user_data(site: Site, others: Sequence[Site], keys: Keys) -> str:
    """The script. The default route is QEMU's, where packages come from; the other sites are the lab's internet's."""
    management = IPv4Interface(MANAGEMENT_ADDRESS)
    routes = [f"route_{other.name}='-net {other.outside.network} {site.next_hop}'" for other in others]
    return SCRIPT.format(
        name=site.name,
        management=MANAGEMENT,
        management_address=management,
        outside=OUTSIDE,
        outside_address=site.outside,
        router=management.network[2],
        resolver=management.network[3],
        route_names=" ".join(other.name for other in others),
        routes=" ".join(routes),
        user_public=keys.user_public.strip(),
        host_private=keys.host_private.strip(),
        host_public=keys.host_public.strip(),
    )


def meta_data(site: Site) -> str:
    return f"instance-id: {site.name}\nlocal-hostname: {site.name}\n"


def write_seed(path: Path, site: Site, others: Sequence[Site], keys: Keys) -> None:
    """The seed as a CD. With Rock Ridge, for long names and because early releases execute user-data right there."""
    folder = path.with_suffix(".d")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta-data").write_text(meta_data(site))
    (folder / "user-data").write_text(user_data(site, others, keys))
    (folder / "user-data").chmod(0o755)
    command = ["genisoimage", "-quiet", "-volid", LABEL, "-rational-rock", "-output", str(path), str(folder)]
    subprocess.run(command, check=True)
