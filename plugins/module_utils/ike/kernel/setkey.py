# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SAD and SPD as setkey prints them (``setkey -D``, ``-DP``; ipsec-tools on Linux), but without keys.

In a key's place stands its length. Times are local, as setkey's are. :mod:`.setkey_parser` reads the format back.
"""

from __future__ import annotations

import time

from ..crypto.algorithms import CIPHERS
from ..policy.sa import AH, ESP, IPCOMP, TUNNEL, Address, Network, Policy, PolicyState, SaState, Template

# ipsec-tools' names; where setkey has none, the registry's with hyphens stands for it.
ENCRYPTION_NAMES = {
    "3des_cbc": "3des-cbc",
    "aes_cbc": "aes-cbc",
    "aes_ctr": "aes-ctr",
    "aes_gcm": "aes-gcm-16",
    "blowfish_cbc": "blowfish-cbc",
    "cast128_cbc": "cast128-cbc",
    "null_enc": "null",
}
INTEGRITY_NAMES = {
    "hmac_md5": "hmac-md5",
    "hmac_sha1": "hmac-sha1",
    "hmac_sha2_256": "hmac-sha256",
    "hmac_sha2_384": "hmac-sha384",
    "hmac_sha2_512": "hmac-sha512",
    "aes_xcbc": "aes-xcbc-mac",
}
SECURITY_PROTOCOLS = {ESP: "esp", AH: "ah", IPCOMP: "ipcomp"}
UPPER_PROTOCOLS = {
    0: "any",
    1: "icmp",
    4: "ip4",
    6: "tcp",
    17: "udp",
    41: "ipv6",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmp6",
    89: "ospf",
    115: "l2tp",
    132: "sctp",
}
ICMP_PROTOCOLS = (1, 58)  # their ports are a type and a code
ACTIONS = {"ipsec": "ipsec", "bypass": "none", "discard": "discard"}

# setkey names a priority by its distance from the nearest of three; a lower number wins, so the sign is turned.
PRIORITY_NAMES = {"high": 0x40000000, "def": 0x80000000, "low": 0xC0000000}
_HIGH_BELOW, _DEFAULT_BELOW = 0x60000000, 0xA0000000

MANUAL_REQID_MAXIMUM = 0x3FFF  # above it a reqid was made by the kernel or a daemon: '#' and not ':'
SAFLAGS_ESN = 0x400  # FreeBSD's SADB_X_SAFLAGS_ESN; Linux's PF_KEY has no word for it

NO_TIME = " " * 20


def format_sad(states: list[SaState], now: float) -> str:
    """``setkey -D``."""
    return "".join(format_sa(state, now) for state in states) or "No SAD entries.\n"


def format_spd(states: list[PolicyState]) -> str:
    """``setkey -DP``."""
    return "".join(format_policy(state) for state in states) or "No SPD entries.\n"


def format_sa(state: SaState, now: float) -> str:
    """One SA; ``now`` in seconds since the epoch."""
    limits = state.lifetime
    age = int(now) - state.added if state.added else 0
    lines = [
        _addresses(state),
        "\t{} mode={} spi={}(0x{:08x}) reqid={}(0x{:08x})".format(
            _protocol(state), state.mode, state.spi, state.spi, state.reqid, state.reqid
        ),
        *_keys(state),
        "\tseq=0x00000000 replay={} flags=0x{:08x} state={} ".format(
            state.replay_window, SAFLAGS_ESN if state.esn else 0, state.state
        ),
        "\tcreated: {}\tcurrent: {}".format(format_time(state.added), format_time(now)),
        "\tdiff: {}(s)\thard: {}(s)\tsoft: {}(s)".format(age, limits.hard_seconds, limits.soft_seconds),
        "\tlast: {}\thard: 0(s)\tsoft: 0(s)".format(format_time(state.used)),
        "\tcurrent: {}(bytes)\thard: {}(bytes)\tsoft: {}(bytes)".format(
            state.bytes, limits.hard_bytes, limits.soft_bytes
        ),
        "\tallocated: {}\thard: {}\tsoft: {}".format(state.packets, limits.hard_packets, limits.soft_packets),
        "\tsadb_seq=0 pid=0 refcnt=0",
    ]
    return "\n".join(lines) + "\n"


def _addresses(state: SaState) -> str:
    if state.encapsulation is None:
        return "{} {} ".format(state.source, state.destination)
    ports = state.encapsulation
    return "{}[{}] {}[{}] ".format(state.source, ports.source_port, state.destination, ports.destination_port)


def _protocol(state: SaState) -> str:
    if state.encapsulation is not None and state.protocol == ESP:
        return "esp-udp"
    return SECURITY_PROTOCOLS.get(state.protocol, str(state.protocol))


def _keys(state: SaState) -> list[str]:
    lines = []
    if state.encryption:
        name = ENCRYPTION_NAMES.get(state.encryption, state.encryption.replace("_", "-"))
        cipher = CIPHERS.get(state.encryption)
        lines.append(_key("E", name, state.encryption_bits + (8 * cipher.salt if cipher else 0)))
    if state.integrity:
        name = INTEGRITY_NAMES.get(state.integrity, state.integrity.replace("_", "-"))
        lines.append(_key("A", name, state.integrity_bits))
    return lines


def _key(letter: str, name: str, bits: int) -> str:
    return "\t{}: {}  ({} bits, key not shown)".format(letter, name, bits)


def format_policy(state: PolicyState | Policy) -> str:
    """One policy."""
    if isinstance(state, Policy):
        state = PolicyState(state)
    policy = state.policy
    lines = [
        _selector(policy),
        "\t{}{} {}".format(policy.direction, _priority(policy.priority), ACTIONS.get(policy.action, policy.action)),
        *("\t" + _template(template) for template in policy.templates),
        "\tcreated: {}  lastused: {}".format(format_time(state.added), format_time(state.used)),
        "\tlifetime: 0(s) validtime: 0(s)",
        "\tspid={} seq=0 pid=0".format(state.index),
        "\trefcnt=0",
    ]
    return "\n".join(lines) + "\n"


def _selector(policy: Policy) -> str:
    selector = policy.selector
    name = UPPER_PROTOCOLS.get(selector.protocol, str(selector.protocol))
    if selector.protocol not in ICMP_PROTOCOLS:
        return "{}{} {}{} {}".format(
            _network(selector.source),
            _port(selector.source_port),
            _network(selector.destination),
            _port(selector.destination_port),
            name,
        )
    if selector.source_port or selector.destination_port:
        name += " {},{}".format(selector.source_port, selector.destination_port)
    return "{} {} {}".format(_network(selector.source), _network(selector.destination), name)


def _network(network: Network) -> str:
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def _port(port: int) -> str:
    return "[{}]".format(port or "any")


def _priority(priority: int) -> str:
    if priority == 0:
        return ""
    name = "high" if priority < _HIGH_BELOW else "def" if priority < _DEFAULT_BELOW else "low"
    distance = PRIORITY_NAMES[name] - priority
    if distance == 0:
        return " prio {}".format(name)
    return " prio {} {} {}".format(name, "+" if distance > 0 else "-", abs(distance))


def _template(template: Template) -> str:
    level = template.level
    if template.reqid:
        # As Linux's PF_KEY reports a template that is bound to a reqid
        level = "unique" if level == "require" else level
        level += "{}{}".format("#" if template.reqid > MANUAL_REQID_MAXIMUM else ":", template.reqid)
    return "{}/{}/{}/{}".format(
        SECURITY_PROTOCOLS.get(template.protocol, template.protocol),
        template.mode,
        _endpoints(template.mode, template.source, template.destination),
        level,
    )


def _endpoints(mode: str, source: Address | None, destination: Address | None) -> str:
    return "{}-{}".format(source, destination) if mode == TUNNEL else ""


def format_time(seconds: float) -> str:
    """``Nov 23 14:11:09 2026``, or blanks for 0."""
    return time.asctime(time.localtime(seconds))[4:] if seconds else NO_TIME
