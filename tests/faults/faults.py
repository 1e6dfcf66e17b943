# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults: each breaks one thing of a working pair, says which cause is to be named, and mends it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.faults.network import OSAKA, TOKYO, internet, write
from tests.faults.pair import KEY, WorkingPair

Step = Callable[[WorkingPair], object]


def nothing(_pair: WorkingPair) -> None:
    """Some faults are mended with the pair's files."""


@dataclass(frozen=True)
class Fault:
    """``renegotiate``: the daemons start anew with the fault, since a tunnel that is up wouldn't notice it.

    ``disturbs``: it leaves the daemons or kernels with less than they had, so that they start anew after it.
    """

    name: str
    cause: str
    inject: Step
    mend: Step = nothing
    renegotiate: bool = False
    disturbs: bool = False


def _edit(gateway: str, old: str, new: str) -> Step:
    return lambda pair: getattr(pair, gateway).edit(old, new)


def _on(site, *commands: str) -> Step:
    return lambda _pair: [site.run(command) for command in commands]


def _on_the_way(*commands: str) -> Step:
    return lambda _pair: [internet(command) for command in commands]


def _dropped(match: str) -> tuple[Step, Step]:
    """A firewall on the way, and its end."""
    rule = "iptables-legacy -{} FORWARD " + match + " -j DROP"
    return _on_the_way(rule.format("I")), _on_the_way(rule.format("D"))


def _set(site, name: str, value: str) -> Step:
    return lambda _pair: write("/proc/sys/" + name, value, site.name)


def _own_filter(site, rule: str) -> tuple[Step, Step]:
    """A rule of the gateway's own packet filter, and its end. This kernel has iptables, not nftables."""
    return _on(site, "iptables-legacy -I " + rule), _on(site, "iptables-legacy -D " + rule)


def _both(*steps: Step) -> Step:
    return lambda pair: [step(pair) for step in steps]


def _small_mtu(_pair: WorkingPair) -> None:
    """A hop of 1400 bytes behind the next one, and nobody who says so."""
    for site in (TOKYO, OSAKA):
        internet("ip link set {} mtu 1400".format(site.name))
    internet("iptables-legacy -I OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP")


def _usual_mtu(_pair: WorkingPair) -> None:
    for site in (TOKYO, OSAKA):
        internet("ip link set {} mtu 1500".format(site.name))
    internet("iptables-legacy -D OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP")


_SHADOW = "ip xfrm policy {} src 192.168.0.0/16 dst 192.168.0.0/16 dir out"
_MASQUERADE = "iptables-legacy -t nat -{} POSTROUTING -o wan -j MASQUERADE"

_GIF = "ip link add gif0 type ipip local 210.11.11.11 remote 210.22.22.22"
_BACK = "ip route {} 210.11.11.11 via 210.33.33.1 dev backup"

_esp_dropped, _esp_passes = _dropped("-p esp")

NEGOTIATION = (
    Fault("wrong PSK", "psk_differs", lambda pair: pair.osaka.write_key("another key altogether")),
    Fault("newline in the PSK", "psk_differs", lambda pair: pair.osaka.write_key(KEY + "\n")),
    Fault("PSK file of mode 0644", "key_file", lambda pair: pair.osaka.write_key(KEY, 0o644)),
    Fault("wrong my_id", "ids_differ", _edit("osaka", "my_id ipaddr", "my_id fqdn")),
    Fault("wrong peers_id", "ids_differ", _edit("osaka", 'peers_id ipaddr "210.11.11.11"', 'peers_id fqdn "tokyo"')),
    Fault("phase 1 proposal", "ike_proposal", _edit("osaka", "modp3072", "modp2048")),
    Fault("phase 2 proposal", "esp_proposal", _edit("osaka", "esp_enc_alg { aes256", "esp_enc_alg { aes128")),
    Fault(
        "PFS at one end only",
        "pfs_differs",
        _both(
            _edit("tokyo", "need_pfs on", "need_pfs off"),
            _edit("osaka", "proposal_check obey", "proposal_check strict"),
        ),
    ),
    Fault(
        "networks differ",
        "selectors_differ",
        _both(_edit("osaka", "192.168.10.0", "192.168.12.0"), _edit("osaka", "192.168.11.0", "192.168.13.0")),
    ),
    Fault("one of two networks missing", "selectors_differ", _edit("osaka", "192.168.11.0", "192.168.13.0")),
    Fault("UDP 500 dropped on the way", "ike_unreachable", *_dropped("-p udp")),
    Fault("UDP 500 dropped one way", "ike_unreachable", *_dropped("-p udp -s 210.22.22.22")),
    Fault("own filter drops IKE", "ike_filter", *_own_filter(OSAKA, "INPUT -p udp --dport 500 -j DROP")),
    Fault(
        "wrong PSK and forwarding off",
        "psk_differs",
        _both(lambda pair: pair.osaka.write_key("another"), _set(OSAKA, "net/ipv4/ip_forward", "0")),
        _set(OSAKA, "net/ipv4/ip_forward", "1"),
    ),
)

TRAFFIC = (
    Fault("daemon dead", "daemon_dead", lambda pair: pair.osaka.kill(), disturbs=True),
    Fault("ESP dropped on the way", "esp_lost", _esp_dropped, _esp_passes),
    Fault("own filter drops ESP", "esp_filter", *_own_filter(OSAKA, "INPUT -p esp -j DROP")),
    Fault(
        "masquerade ahead of the policy",
        "masquerade",
        _on(TOKYO, _MASQUERADE.format("A")),
        _on(TOKYO, _MASQUERADE.format("D")),
    ),
    Fault(
        "a route steals the network",
        "route",
        _on(TOKYO, "ip route add unreachable 192.168.20.0/24"),
        _on(TOKYO, "ip route del unreachable 192.168.20.0/24"),
    ),
    Fault(
        "IPsec switched off for the device",
        "xfrm_disabled",
        _set(TOKYO, "net/ipv4/conf/wan/disable_xfrm", "1"),
        _set(TOKYO, "net/ipv4/conf/wan/disable_xfrm", "0"),
    ),
    Fault(
        "a policy shadows the tunnel's",
        "policy_shadowed",
        _on(TOKYO, _SHADOW.format("add") + " priority 1 action allow"),
        _on(TOKYO, _SHADOW.format("delete")),
    ),
    Fault("policies flushed", "policy_missing", _on(OSAKA, "ip xfrm policy flush"), disturbs=True),
    Fault(
        "rp_filter strict, the way back another",
        "rp_filter",
        _both(_set(OSAKA, "net/ipv4/conf/wan/rp_filter", "1"), _on(OSAKA, _BACK.format("add"))),
        _both(_set(OSAKA, "net/ipv4/conf/wan/rp_filter", "0"), _on(OSAKA, _BACK.format("del"))),
    ),
    Fault(
        "forwarding off",
        "forwarding",
        _set(OSAKA, "net/ipv4/ip_forward", "0"),
        _set(OSAKA, "net/ipv4/ip_forward", "1"),
    ),
    Fault("forward chain drops", "forward_filter", *_own_filter(OSAKA, "FORWARD -d 192.168.20.0/24 -j DROP")),
    Fault("peer rebooted", "one_sided", _on(OSAKA, "ip xfrm state flush"), disturbs=True),
    Fault("MTU 1400 on the way, ICMP dropped", "mtu", _small_mtu, _usual_mtu),
    Fault("leftover ipip", "leftover_tunnel", _on(TOKYO, _GIF), _on(TOKYO, "ip link delete gif0")),
    Fault(
        "ESP dropped and a leftover ipip",
        "esp_lost",
        _both(_esp_dropped, _on(TOKYO, _GIF)),
        _both(_esp_passes, _on(TOKYO, "ip link delete gif0")),
    ),
)

FAULTS = tuple(replace(fault, renegotiate=True) for fault in NEGOTIATION) + TRAFFIC
