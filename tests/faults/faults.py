# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults: each breaks one thing of a working pair, says which cause is to be named, and mends it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.faults.network import NARA, OSAKA, TOKYO, internet, narrow, widen, write
from tests.faults.pair import KEY, Gateway, WorkingPair

Step = Callable[[WorkingPair], object]


def nothing(_pair: WorkingPair) -> None:
    """Some faults are mended with the pair's files."""


@dataclass(frozen=True)
class Fault:
    """``also`` are causes that have to be named too, after the first, where a fault has two parts.

    ``renegotiate``: the daemons start anew with the fault, since a tunnel that is up wouldn't notice it.

    ``disturbs``: it leaves the daemons or kernels with less than they had, so that they start anew after it.

    ``natted``: it's for the pair of which one end is behind NAT.
    """

    name: str
    cause: str
    inject: Step
    mend: Step = nothing
    also: tuple[str, ...] = ()
    renegotiate: bool = False
    disturbs: bool = False
    natted: bool = False


def _edit(gateway: str, old: str, new: str) -> Step:
    return lambda pair: _named(pair, gateway).edit(old, new)


def _named(pair: WorkingPair, name: str) -> Gateway:
    return next(gateway for gateway in pair.gateways if gateway.site.name == name)


def _clock_off(pair: WorkingPair) -> None:
    pair.second.clock_ahead = 3600


def _clock_right(pair: WorkingPair) -> None:
    pair.second.clock_ahead = 0


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


_SHADOW = "ip xfrm policy {} src 192.168.0.0/16 dst 192.168.0.0/16 dir out"
_MASQUERADE = "iptables-legacy -t nat -{} POSTROUTING -o wan -j MASQUERADE"

_THEFT = "ip route {} unreachable 192.168.20.0/24"
_GIF = "ip link add gif0 type ipip local 210.11.11.11 remote 210.22.22.22"
_BACK = "ip route {} 210.11.11.11 via 210.33.33.1 dev backup"

_esp_dropped, _esp_passes = _dropped("-p esp")
_ike_dropped, _ike_passes = _dropped("-p udp")
_natt_dropped, _natt_passes = _dropped("-p udp --dport 4500")

NEGOTIATION = (
    Fault("wrong PSK", "psk_differs", lambda pair: pair.second.write_key("another key altogether")),
    Fault("newline in the PSK", "psk_differs", lambda pair: pair.second.write_key(KEY + "\n")),
    Fault("PSK file of mode 0644", "key_file", lambda pair: pair.second.write_key(KEY, 0o644)),
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
    Fault("UDP 500 dropped on the way", "ike_unreachable", _ike_dropped, _ike_passes),
    Fault("UDP 500 dropped one way", "ike_unreachable", *_dropped("-p udp -s 210.22.22.22")),
    Fault("own filter drops IKE", "ike_filter", *_own_filter(OSAKA, "INPUT -p udp --dport 500 -j DROP")),
    Fault(
        "wrong PSK and forwarding off",
        "psk_differs",
        _both(lambda pair: pair.second.write_key("another"), _set(OSAKA, "net/ipv4/ip_forward", "0")),
        _set(OSAKA, "net/ipv4/ip_forward", "1"),
        also=("forwarding",),
    ),
    Fault(
        "wrong PSK and clock off",
        "psk_differs",
        _both(lambda pair: pair.second.write_key("another"), _clock_off),
        _clock_right,
        also=("clock",),
    ),
    Fault("UDP 4500 dropped behind NAT, from the start", "udp4500_lost", _natt_dropped, _natt_passes, natted=True),
)

TRAFFIC = (
    Fault("daemon dead", "daemon_dead", lambda pair: pair.second.kill(), disturbs=True),
    Fault(
        "daemon dead and a route steals the network",
        "route",
        _both(lambda pair: pair.second.kill(), _on(TOKYO, _THEFT.format("add"))),
        _on(TOKYO, _THEFT.format("del")),
        also=("daemon_dead",),
        disturbs=True,
    ),
    Fault("ESP dropped on the way", "esp_lost", _esp_dropped, _esp_passes),
    Fault("own filter drops ESP", "esp_filter", *_own_filter(OSAKA, "INPUT -p esp -j DROP")),
    Fault(
        "masquerade ahead of the exemption",
        "masquerade",
        _on(TOKYO, _MASQUERADE.format("I")),
        _on(TOKYO, _MASQUERADE.format("D")),
    ),
    Fault(
        "masquerade here and forwarding off there",
        "masquerade",
        _both(_on(TOKYO, _MASQUERADE.format("I")), _set(OSAKA, "net/ipv4/ip_forward", "0")),
        _both(_on(TOKYO, _MASQUERADE.format("D")), _set(OSAKA, "net/ipv4/ip_forward", "1")),
        also=("forwarding",),
    ),
    Fault(
        "a route steals the network",
        "route",
        _on(TOKYO, _THEFT.format("add")),
        _on(TOKYO, _THEFT.format("del")),
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
    Fault("peer rebooted", "one_sided", lambda pair: pair.second.reboot(), disturbs=True),
    Fault("peer's SAs flushed", "one_sided", _on(OSAKA, "ip xfrm state flush"), disturbs=True),
    Fault(
        "peer rebooted and UDP 500 dropped on the way",
        "ike_unreachable",
        _both(_ike_dropped, lambda pair: pair.second.reboot()),
        _ike_passes,
        also=("one_sided",),
        disturbs=True,
    ),
    Fault("clock off", "clock", _clock_off, _clock_right),
    Fault("UDP 4500 dropped behind NAT", "udp4500_lost", _natt_dropped, _natt_passes, natted=True),
    Fault(
        "UDP 4500 dropped behind NAT and forwarding off",
        "udp4500_lost",
        _both(_natt_dropped, _set(NARA, "net/ipv4/ip_forward", "0")),
        _both(_natt_passes, _set(NARA, "net/ipv4/ip_forward", "1")),
        also=("forwarding",),
        natted=True,
    ),
    Fault("MTU 1400 on the way, ICMP dropped", "mtu", lambda _pair: narrow(1400), lambda _pair: widen()),
    Fault("leftover ipip", "leftover_tunnel", _on(TOKYO, _GIF), _on(TOKYO, "ip link delete gif0")),
    Fault(
        "ESP dropped and a leftover ipip",
        "esp_lost",
        _both(_esp_dropped, _on(TOKYO, _GIF)),
        _both(_esp_passes, _on(TOKYO, "ip link delete gif0")),
        also=("leftover_tunnel",),
    ),
)

FAULTS = tuple(replace(fault, renegotiate=True) for fault in NEGOTIATION) + TRAFFIC
