# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults: each breaks one thing of a working pair, says which cause is to be named, and mends it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def _nft(site, *rules: str) -> tuple[Step, Step]:
    """A table of its own with these commands, and its end."""
    commands = ["nft add table ip fault", *("nft add " + rule for rule in rules)]
    return _on(site, *commands), _on(site, "nft delete table ip fault")


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

FAULTS = (
    Fault("wrong PSK", "psk_differs", lambda pair: pair.osaka.write_key("another key altogether"), renegotiate=True),
    Fault("newline in the PSK", "psk_differs", lambda pair: pair.osaka.write_key(KEY + "\n"), renegotiate=True),
    Fault("PSK file of mode 0644", "key_file", lambda pair: pair.osaka.write_key(KEY, 0o644), renegotiate=True),
    Fault("wrong my_id", "ids_differ", _edit("osaka", "my_id ipaddr", "my_id fqdn"), renegotiate=True),
    Fault("phase 1 proposal", "ike_proposal", _edit("osaka", "modp3072", "modp2048"), renegotiate=True),
    Fault(
        "phase 2 proposal", "esp_proposal", _edit("osaka", "esp_enc_alg { aes256", "esp_enc_alg { aes128"),
        renegotiate=True,
    ),
    Fault(
        "networks differ", "selectors_differ", _edit("osaka", "192.168.10.0/24", "192.168.12.0/24"), renegotiate=True
    ),
    Fault("UDP 500 dropped on the way", "ike_unreachable", *_dropped("-p udp"), renegotiate=True),
    Fault("UDP 500 dropped one way", "ike_unreachable", *_dropped("-p udp -s 210.22.22.22"), renegotiate=True),
    Fault(
        "own filter drops IKE", "ike_filter",
        *_nft(
            OSAKA, "chain ip fault input { type filter hook input priority 0 ; }",
            "rule ip fault input udp dport { 500, 4500 } drop",
        ),
        renegotiate=True,
    ),
    Fault("daemon dead", "daemon_dead", lambda pair: pair.osaka.kill(), disturbs=True),
    Fault("ESP dropped on the way", "esp_lost", *_dropped("-p esp")),
    Fault("own filter drops ESP", "esp_filter", _on(OSAKA, "iptables-legacy -I INPUT -p esp -j DROP"),
          _on(OSAKA, "iptables-legacy -F INPUT")),
    Fault("masquerade ahead of the policy", "masquerade", _on(TOKYO, _MASQUERADE.format("A")),
          _on(TOKYO, _MASQUERADE.format("D"))),
    Fault("a route steals the network", "route", _on(TOKYO, "ip route add unreachable 192.168.20.0/24"),
          _on(TOKYO, "ip route del unreachable 192.168.20.0/24")),
    Fault("disable_xfrm", "xfrm_disabled", _set(TOKYO, "net/ipv4/conf/wan/disable_xfrm", "1"),
          _set(TOKYO, "net/ipv4/conf/wan/disable_xfrm", "0")),
    Fault("a policy shadows the tunnel's", "policy_shadowed",
          _on(TOKYO, _SHADOW.format("add") + " priority 1 action allow"), _on(TOKYO, _SHADOW.format("delete"))),
    Fault("policies flushed", "policy_missing", _on(OSAKA, "ip xfrm policy flush"), disturbs=True),
    Fault("forwarding off", "forwarding", _set(OSAKA, "net/ipv4/ip_forward", "0"),
          _set(OSAKA, "net/ipv4/ip_forward", "1")),
    Fault("forward chain drops", "forward_filter",
          *_nft(OSAKA, "chain ip fault forward { type filter hook forward priority 0 ; policy drop ; }")),
    Fault("peer rebooted", "one_sided", _on(OSAKA, "ip xfrm state flush"), disturbs=True),
    Fault("MTU 1400 on the way, ICMP dropped", "mtu", _small_mtu, _usual_mtu),
    Fault("leftover ipip", "leftover_tunnel",
          _on(TOKYO, "ip link add gif0 type ipip local 210.11.11.11 remote 210.22.22.22"),
          _on(TOKYO, "ip link delete gif0")),
)  # fmt: skip
