# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everything lies on a target. The documented places; tests use others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paths:
    """Directories and names; the files' paths follow from them. The defaults are Linux's."""

    config_directory: str = "/etc/racoon2"
    library_directory: str = "/usr/local/lib/tanuki-ipsec"
    state_directory: str = "/var/lib/tanuki-ipsec"
    unit_directory: str = "/etc/systemd/system"
    sysctl_directory: str = "/etc/sysctl.d"
    run_directory: str = "/run"
    runtime: str = "tanuki-ipsec"
    service: str = "tanuki-iked.service"
    gateway_service: str = "tanuki-ipsec-gateway.service"
    nftables_directory: str = "/etc/systemd/system/nftables.service.d"  # drop-ins; "" where there is no systemd

    @property
    def configuration(self) -> str:
        return self.config_directory + "/racoon2.conf"

    @property
    def psk_directory(self) -> str:
        return self.config_directory + "/psk"

    @property
    def spmd_password(self) -> str:
        """What upstream's two daemons know each other by. The language wants it named for ours too."""
        return self.config_directory + "/spmd.pwd"

    @property
    def application(self) -> str:
        return self.library_directory + "/ike.pyz"

    @property
    def unit(self) -> str:
        return self.unit_directory + "/" + self.service

    @property
    def gateway_script(self) -> str:
        """Loads and unloads the packet filter's rules for the tunnels' traffic."""
        return self.library_directory + "/gateway"

    @property
    def gateway_unit(self) -> str:
        return self.unit_directory + "/" + self.gateway_service

    @property
    def nftables_drop_in(self) -> str:
        """Has nftables' own service load the rules again that it flushes when it starts."""
        return self.nftables_directory + "/tanuki-ipsec.conf"

    @property
    def sysctl(self) -> str:
        return self.sysctl_directory + "/90-tanuki-ipsec.conf"

    @property
    def control(self) -> str:
        return self.runtime_directory + "/control.sock"

    @property
    def runtime_directory(self) -> str:
        return "{}/{}".format(self.run_directory, self.runtime)

    def psk(self, name: str, beside: str = "") -> str:
        """The key file of the remote of this index, or the one ``beside`` it that a rotation needs."""
        return "{}/{}.psk{}".format(self.psk_directory, name, beside)

    def directories(self) -> dict[str, str]:
        """The directories to make, with their permissions in octal."""
        private, public = [self.config_directory, self.psk_directory], [self.library_directory, self.nftables_directory]
        return {**dict.fromkeys(private, "0700"), **dict.fromkeys(filter(None, public), "0755")}


LINUX_PATHS = Paths()
FREEBSD_PATHS = Paths(
    config_directory="/usr/local/etc/racoon2",
    library_directory="/usr/local/libexec/tanuki-ipsec",
    state_directory="/var/db/tanuki-ipsec",
    unit_directory="/usr/local/etc/rc.d",
    nftables_directory="",
    run_directory="/var/run",
    service="tanuki_iked",
)
