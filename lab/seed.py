"""What makes a machine its site's gateway: a small archive that the initramfs lays over the shared image at boot."""

from __future__ import annotations

import hashlib

from lab.image.cpio import Archive
from lab.keys import Keys
from lab.topology import Site

MANAGEMENT_ADDRESS = "10.0.2.15/24"  # what QEMU's user-mode network expects its guest to have


def build_seed(site: Site, keys: Keys) -> bytes:
    """The site's files as an initramfs archive: all that is below seed/ lands in the machine's root directory."""
    archive = Archive()
    for path, content, mode in _files(site, keys):
        archive.add_file(f"seed/{path}", content.encode(), mode)
    return archive.to_bytes()


def _files(site: Site, keys: Keys) -> list[tuple[str, str, int]]:
    """(path, content, mode) of each file that is this machine's own."""
    return [
        ("etc/hostname", f"{site.name}\n", 0o644),
        ("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {site.name}\n", 0o644),
        ("etc/machine-id", f"{hashlib.md5(site.name.encode()).hexdigest()}\n", 0o444),
        ("etc/lab/gateway.ip", gateway_commands(site), 0o644),
        ("etc/lab/client.ip", client_commands(site), 0o644),
        ("etc/ssh/ssh_host_ed25519_key", keys.host_private, 0o600),
        ("etc/ssh/ssh_host_ed25519_key.pub", keys.host_public, 0o644),
        ("root/.ssh/authorized_keys", keys.user_public, 0o600),
    ]


def gateway_commands(site: Site) -> str:
    """`ip -batch` commands for the gateway: the cards get names, the LAN client's namespace is made and joined."""
    return "\n".join(
        [
            "link set lo up",
            "link set eth0 name management",
            f"address add {MANAGEMENT_ADDRESS} dev management",
            "link set management up",
            "link set eth1 name outside",
            f"address add {site.outside} dev outside",
            "link set outside up",
            f"route add default via {site.next_hop}",
            "netns add client",
            "link add lan type veth peer name eth0 netns client",
            f"address add {site.gateway} dev lan",
            "link set lan up",
            "",
        ]
    )


def client_commands(site: Site) -> str:
    """`ip -batch` commands for the LAN client, run in its namespace."""
    return "\n".join(
        [
            "link set lo up",
            f"address add {site.client} dev eth0",
            "link set eth0 up",
            f"route add default via {site.gateway.ip}",
            "",
        ]
    )
