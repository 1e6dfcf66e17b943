# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd unit of the daemon, and the kernel's settings that a gateway needs."""

from __future__ import annotations

from .paths import Paths

UNIT = """\
# Written by tanuki.ipsec; changes are overwritten. Local settings belong into a drop-in: systemctl edit {service}

[Unit]
Description=IKE daemon and IPsec policies (tanuki.ipsec)
# Before the network, as a packet filter: from the first packet on, what the policies cover waits for its SA. The
# daemon binds addresses that come up later.
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target systemd-sysctl.service systemd-modules-load.service
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
# However often it fails, it's started again: policies without a daemon block traffic.
StartLimitIntervalSec=0

[Service]
Type=notify
# --hold: its policies outlive it. Whatever ends the daemon, traffic between the sites waits; it never passes in clear.
ExecStart={python} {application} iked -F -f {configuration} --kernel xfrm --control {control} --hold
ExecReload={python} {application} ctl --control {control} reload
Restart=always
RestartSec=1
TimeoutStartSec=90
TimeoutStopSec=10
RuntimeDirectory={runtime}
RuntimeDirectoryMode=0700
UMask=0077

# What it may do. It stays root because the configuration and the keys belong to root and are 0600; as their owner
# it reads them without any capability. Beyond that:
#   CAP_NET_ADMIN         SAs and policies in the kernel (XFRM), the bypass policy of its own sockets
#   CAP_NET_BIND_SERVICE  UDP port 500
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
# Its control socket, the network, the kernel; nothing else.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
# It writes nowhere but in its runtime directory.
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit_text(paths: Paths, python: str) -> str:
    """The unit's text for these paths and this interpreter."""
    return UNIT.format(
        service=paths.service,
        python=python,
        application=paths.application,
        configuration=paths.configuration,
        control=paths.control,
        runtime=paths.runtime,
    )


def kernel_settings(ipv6: bool) -> dict[str, str]:
    """The settings of a gateway. IPv6 forwarding only where a tunnel needs it: it ends autoconfiguration."""
    settings = {
        "net.ipv4.ip_forward": "1",
        # Loose: the tunnels' own packets may arrive by another interface than the one that leads back to the peer.
        # The kernel takes the larger value of this and the interface's own, so a strict interface becomes loose too.
        "net.ipv4.conf.all.rp_filter": "2",
    }
    if ipv6:
        settings["net.ipv6.conf.all.forwarding"] = "1"
    return settings


def sysctl_text(settings: dict[str, str]) -> str:
    """The settings as a file for sysctl.d."""
    lines = ["{} = {}".format(name, value) for name, value in settings.items()]
    return "# Written by tanuki.ipsec: what an IPsec gateway needs.\n" + "\n".join(lines) + "\n"
