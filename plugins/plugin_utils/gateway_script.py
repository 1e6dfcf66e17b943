# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's work as a script that loads and unloads it, and the systemd unit that runs the script at boot."""

from __future__ import annotations

from collections.abc import Sequence

from .gateway_work import (
    AUTO,
    CHAIN,
    IPTABLES,
    NFTABLES,
    NOTHING,
    TABLE,
    GatewayWork,
    Traffic,
    iptables_tables,
    mark_of,
    nftables_rules,
)
from .paths import Paths

UNIT = """\
# Written by tanuki.ipsec; changes are overwritten. Local settings belong into a drop-in: systemctl edit {service}

[Unit]
Description=Packet filter rules for the traffic of IPsec tunnels (tanuki.ipsec)
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target systemd-modules-load.service nftables.service netfilter-persistent.service
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
# nftables' own service flushes every table, ours too. Once it has started or reloaded, a drop-in of that service loads
# the rules again; here they only stop with it, and start with it where they had stopped.
PartOf=nftables.service
# They have to come back however often that is restarted.
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {script} start
ExecReload=/bin/sh {script} start
ExecStop=/bin/sh {script} stop

[Install]
WantedBy=multi-user.target nftables.service
"""

_NFTABLES_DROP_IN = """\
# Written by tanuki.ipsec; changes are overwritten.
# Starting and reloading flush every table: the rules for the tunnels' traffic are loaded again.
[Service]
ExecStartPost=-/bin/sh {script} start
ExecReload=-/bin/sh {script} start
"""

_SCRIPT = """\
#!/bin/sh
# Written by tanuki.ipsec; changes are overwritten.
# What the packet filter does for the traffic of this site's tunnels: `gateway start`, stop, check (would it load?),
# loaded (is it?).
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

has() {{ command -v "$1" >/dev/null; }}

# ---- nftables: a table of our own, replaced as a whole

nftables_rules() {{
    cat <<'END'
table inet {table}
delete table inet {table}
table inet {table} {{
\tchain loaded_{mark} {{
\t}}
{nftables}}}
END
}}

nftables_drop() {{
    if has nft && nft list table inet {table} >/dev/null 2>&1; then nft delete table inet {table}; fi
}}

nftables_works() {{ # a kernel may lack it; a table that is made and deleted in one go leaves nothing
    has nft && printf '%s inet {table}_probe\n' 'add table' 'delete table' | nft -f - 2>/dev/null
}}
nftables_start() {{ nftables_rules | nft -f -; iptables_each drop; }}
nftables_check() {{ nftables_rules | nft -c -f -; }}
nftables_loaded() {{ nft list table inet {table} 2>/dev/null | grep -q loaded_{mark}; }}

# ---- iptables: a chain of our own in each table, and a jump to it at the head of the table's

iptables_each() {{ # ACTION: called with TOOL TABLE HOOK, the chain's rules on its standard input
{iptables}}}

put() {{
    rules=$(cat)
    if [ -z "$rules" ]; then drop "$@"; return; fi
    rules=$(restored "$@")
    echo "$rules" | "$1-restore" -w --noflush
}}

try() {{
    rules=$(cat)
    if [ -z "$rules" ]; then return; fi
    rules=$(restored "$@")
    echo "$rules" | "$1-restore" -w --noflush --test
}}

restored() {{ # TOOL TABLE HOOK: made before it's read, since iptables and iptables-restore wait for the same lock
    echo "*$2"
    echo ":{chain} - [0:0]"
    if "$1" -w -t "$2" -C "$3" -j {chain} 2>/dev/null; then echo "-D $3 -j {chain}"; fi
    echo "-I $3 -j {chain}"
    echo "-A {chain} -m comment --comment {mark}"
    echo "$rules"
    echo COMMIT
}}

drop() {{
    used "$1" "$2" || return 0
    "$1" -w -t "$2" -S {chain} >/dev/null 2>&1 || return 0
    "$1" -w -t "$2" -D "$3" -j {chain} || true
    "$1" -w -t "$2" -F {chain}
    "$1" -w -t "$2" -X {chain}
}}

used() {{ # TOOL TABLE. A table that is only asked for is loaded
    has "$1" || return 1
    case $("$1" -V) in
    *nf_tables*) ;;
    *) grep -qsx "$2" "/proc/net/${{1%tables}}_tables_names" ;;
    esac
}}

find() {{
    rules=$(cat)
    [ -z "$rules" ] || "$1" -w -t "$2" -S {chain} 2>/dev/null | grep -q {mark} || missing=$2
}}

iptables_works() {{ has iptables && iptables -w -t nat -S >/dev/null 2>&1; }}
iptables_start() {{
    iptables_each put
    nftables_drop
}}
iptables_check() {{ iptables_each try; }}
iptables_loaded() {{ missing=; iptables_each find; [ -z "$missing" ]; }}

# ---- Nothing is asked for, or can be done

nothing_works() {{
    [ "{tools}" = nothing ] || echo "neither nftables nor iptables works on this host: what goes through" \
        "the tunnels is neither exempt from NAT nor clamped" >&2
}}
nothing_start() {{ iptables_each drop; nftables_drop; }}
nothing_check() {{ :; }}
nothing_loaded() {{ :; }}

tool() {{ # the first one that works here
    for tool in {tools}; do
        if "${{tool}}_works"; then echo "$tool"; return; fi
    done
    echo "{tools} doesn't work on this host; take another xfrm_linux_packet_filter, or switch off what it's for:" \
        "xfrm_linux_nat_exemption, xfrm_linux_mss_clamp, xfrm_linux_ftp_helper" >&2
    return 1
}}

case "${{1:-}}" in
start | check | loaded) tool=$(tool) && "${{tool}}_$1" ;;
stop) nothing_start ;;
*) echo "usage: $0 start | stop | check | loaded" >&2; exit 2 ;;
esac
"""


def script_text(work: GatewayWork, traffic: Sequence[Traffic]) -> str:
    """The script. Both packet filters' rules are in it where either may be used; what isn't to be done is unloaded."""
    nftables = nftables_rules(work, traffic) if NFTABLES in work.tools else ""
    tables = list(iptables_tables(work if IPTABLES in work.tools else NOTHING, traffic))
    iptables = "".join(_each(*table) for table in tables)
    return _SCRIPT.format(
        table=TABLE,
        chain=CHAIN,
        nftables=nftables,
        iptables=iptables,
        mark=mark_of(nftables + iptables),
        tools=" ".join(_candidates(work)),
    )


def _candidates(work: GatewayWork) -> list[str]:
    """What the script tries. A packet filter that was asked for by name has to work."""
    return [*work.tools, *(["nothing"] if work.packet_filter == AUTO or not work.wanted else [])]


def _each(tool: str, table: str, hook: str, rules: Sequence[str]) -> str:
    lines = "".join("{}\n".format(rule) for rule in rules)
    return "    \"$1\" {} {} {} <<'END'\n{}END\n".format(tool, table, hook, lines)


def gateway_unit_text(paths: Paths) -> str:
    """The unit's text for these paths."""
    return UNIT.format(service=paths.gateway_service, script=paths.gateway_script)


def nftables_drop_in_text(paths: Paths) -> str:
    """The drop-in's text; it does nothing where there is no such service."""
    return _NFTABLES_DROP_IN.format(script=paths.gateway_script)
