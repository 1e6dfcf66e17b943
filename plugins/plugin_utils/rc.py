# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FreeBSD's rc(8) is told: our daemon's script, and the variables of rc.conf."""

from __future__ import annotations

from collections.abc import Sequence

from .paths import Paths

SCRIPT = """\
#!/bin/sh
#
# Written by tanuki.ipsec; changes are overwritten. Local settings belong into rc.conf.
#
# Before routing, which turns forwarding on: from the first forwarded packet on, what the policies cover waits for its
# SA. The daemon binds addresses that come up later.
#
# PROVIDE: {service} ike
# REQUIRE: FILESYSTEMS ldconfig
# BEFORE: routing
# KEYWORD: shutdown
#
# rc.conf:
# {service}_enable (bool)	Set to YES to run the daemon. Default: NO
# {service}_args (str)	More words for its command line, such as -D 1. Default: none

. /etc/rc.subr

name={service}
desc="IKE daemon and IPsec policies (tanuki.ipsec)"
rcvar={service}_enable

load_rc_config $name
: ${{{service}_enable:=NO}}
: ${{{service}_args:=}}

python={python}
application={application}
configuration={configuration}
runtime={runtime}
control={control}

# daemon(8) starts it again however often it fails: policies without a daemon block traffic.
# --hold: its policies outlive it. Whatever ends the daemon, traffic between the sites waits; it never passes in clear.
pidfile=/var/run/{service}.pid
command=/usr/sbin/daemon
command_args="-r -R 1 -S -T $name -P $pidfile $python $application iked -F -f $configuration --kernel pfkey \\
    --control $control --hold ${service}_args"
required_files="$application $configuration"
extra_commands=reload
start_precmd={service}_prestart
reload_cmd={service}_reload

{service}_prestart()
{{
\tumask 077
\tinstall -d -m 0700 -o root -g wheel $runtime
}}

{service}_reload()
{{
\t$python $application ctl --control $control reload
}}

run_rc_command "$1"
"""


def script_text(paths: Paths, python: str) -> str:
    """The script of /usr/local/etc/rc.d for these paths and this interpreter."""
    return SCRIPT.format(
        service=paths.service,
        python=python,
        application=paths.application,
        configuration=paths.configuration,
        runtime=paths.runtime_directory,
        control=paths.control,
    )


def rc_settings(services: Sequence[str], ipv6: bool) -> dict[str, str]:
    """The settings of a gateway: rc.conf's variables for the next boot, the kernel's (with a dot) for now.

    IPv6 forwarding only where a tunnel needs it: it ends autoconfiguration.
    """
    settings = {"gateway_enable": "YES", "net.inet.ip.forwarding": "1"}
    if ipv6:
        settings.update({"ipv6_gateway_enable": "YES", "net.inet6.ip6.forwarding": "1"})
    return {**settings, **{service + "_enable": "YES" for service in services}}
