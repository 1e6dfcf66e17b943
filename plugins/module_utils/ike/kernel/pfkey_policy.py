# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies in PF_KEY's messages (KAME's SADB_X_SPD*), and the acquires that they raise."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ..policy.sa import OUT, TUNNEL, Network, Policy, PolicyState, Template, TrafficSelector
from .base import Acquire
from .cstruct import Malformed
from .pfkey_dialects import PfkeyDialect
from .pfkey_messages import (
    ADDRESS,
    IPSEC_MODES,
    IPSEC_ULPROTO_ANY,
    LIFETIME,
    MODE_NAMES,
    POLICY,
    PROTOCOLS,
    SADB_EXT_ADDRESS_DST,
    SADB_EXT_ADDRESS_SRC,
    SADB_EXT_LIFETIME_CURRENT,
    SADB_X_EXT_POLICY,
    PfkeyMessage,
    build_address,
    build_extension,
    build_sockaddr,
    parse_address,
    parse_sockaddr,
)
from .pfkey_sa import Unspeakable

ACTIONS = {"discard": 0, "bypass": 1, "ipsec": 2}
IPSEC_POLICY_BYPASS = 4  # a socket's own

LEVEL_USE = 1
LEVEL_REQUIRE = 2
LEVEL_UNIQUE = 3
# A larger reqid is replaced by one of the kernel's choice.
IPSEC_MANUAL_REQID_MAX = 0x3FFF

_ACTION_NAMES = {number: name for name, number in ACTIONS.items()}


def build_policy(dialect: PfkeyDialect, policy: Policy) -> bytes:
    """The extensions of SADB_X_SPDUPDATE. Raises :class:`Unspeakable`."""
    requests = b"".join(_request(dialect, template) for template in policy.templates)
    return _selector(dialect, policy.selector) + _policy(dialect, policy, requests)


def build_policy_id(dialect: PfkeyDialect, policy: Policy) -> bytes:
    """The extensions of SADB_X_SPDDELETE."""
    return _selector(dialect, policy.selector) + _policy(dialect, policy, b"")


def build_socket_policy(dialect: PfkeyDialect, direction: str) -> bytes:
    """The value of IP_IPSEC_POLICY and IPV6_IPSEC_POLICY that lets a socket's packets pass as they are."""
    body = POLICY.pack(sadb_x_policy_type=IPSEC_POLICY_BYPASS, sadb_x_policy_dir=dialect.directions[direction])
    return build_extension(SADB_X_EXT_POLICY, body)


def _selector(dialect: PfkeyDialect, selector: TrafficSelector) -> bytes:
    protocol = selector.protocol or IPSEC_ULPROTO_ANY
    ends = (
        (SADB_EXT_ADDRESS_SRC, selector.source, selector.source_port),
        (SADB_EXT_ADDRESS_DST, selector.destination, selector.destination_port),
    )
    return b"".join(
        build_address(dialect, kind, network.network_address, network.prefixlen, protocol, port)
        for kind, network, port in ends
    )


def _policy(dialect: PfkeyDialect, policy: Policy, requests: bytes) -> bytes:
    if policy.direction not in dialect.directions:
        raise Unspeakable("PF_KEY of {} has no policies of direction {}".format(dialect.name, policy.direction))
    body = POLICY.pack(
        sadb_x_policy_type=ACTIONS[policy.action],
        sadb_x_policy_dir=dialect.directions[policy.direction],
        sadb_x_policy_priority=policy.priority,
    )
    return build_extension(SADB_X_EXT_POLICY, body + requests)


def _request(dialect: PfkeyDialect, template: Template) -> bytes:
    ends = b""
    if template.mode == TUNNEL:
        ends = build_sockaddr(dialect, template.source) + build_sockaddr(dialect, template.destination)
    size = dialect.request.size + len(ends)
    size += -size % 8
    request = dialect.request.pack(
        sadb_x_ipsecrequest_len=size,
        sadb_x_ipsecrequest_proto=template.protocol,
        sadb_x_ipsecrequest_mode=IPSEC_MODES[template.mode],
        sadb_x_ipsecrequest_level=_level(template),
        sadb_x_ipsecrequest_reqid=template.reqid,
    )
    return (request + ends).ljust(size, b"\0")


def _level(template: Template) -> int:
    if template.reqid > IPSEC_MANUAL_REQID_MAX:
        raise Unspeakable("reqid {}: PF_KEY takes {} at most".format(template.reqid, IPSEC_MANUAL_REQID_MAX))
    if template.level == "use" and template.reqid:
        raise Unspeakable("PF_KEY binds no policy of level use to a reqid")
    if template.level == "use":
        return LEVEL_USE
    return LEVEL_UNIQUE if template.reqid else LEVEL_REQUIRE


def parse_policy(dialect: PfkeyDialect, message: PfkeyMessage) -> PolicyState | None:
    """A policy of SADB_X_SPDDUMP; None for a socket's own. Raises :class:`Malformed`."""
    extension = message.extension(SADB_X_EXT_POLICY)
    fields = POLICY.unpack(extension)
    directions = {number: name for name, number in dialect.directions.items()}
    if fields["sadb_x_policy_dir"] not in directions or SADB_EXT_ADDRESS_SRC not in message.extensions:
        return None
    current = LIFETIME.unpack(message.extensions.get(SADB_EXT_LIFETIME_CURRENT, bytes(LIFETIME.size)))
    policy = Policy(
        selector=_parse_selector(dialect, message),
        direction=directions[fields["sadb_x_policy_dir"]],
        action=_ACTION_NAMES.get(fields["sadb_x_policy_type"], str(fields["sadb_x_policy_type"])),
        templates=tuple(_parse_requests(dialect, extension[POLICY.size :])),
        priority=fields["sadb_x_policy_priority"],
    )
    return PolicyState(
        policy, fields["sadb_x_policy_id"], current["sadb_lifetime_addtime"], current["sadb_lifetime_usetime"]
    )


def _parse_selector(dialect: PfkeyDialect, message: PfkeyMessage) -> TrafficSelector:
    source, source_port, protocol = _parse_end(dialect, message.extension(SADB_EXT_ADDRESS_SRC))
    destination, destination_port, _protocol = _parse_end(dialect, message.extension(SADB_EXT_ADDRESS_DST))
    return TrafficSelector(
        source,
        destination,
        0 if protocol == IPSEC_ULPROTO_ANY else protocol,
        source_port,
        destination_port,
    )


def _parse_end(dialect: PfkeyDialect, extension: bytes) -> tuple[Network, int, int]:
    """(network, port, protocol)"""
    fields = ADDRESS.unpack(extension)
    address, port, _size = parse_sockaddr(dialect, extension[ADDRESS.size :])
    prefix = fields["sadb_address_prefixlen"]
    if prefix > address.max_prefixlen:
        raise Malformed("a prefix of {} bits".format(prefix))
    return ipaddress.ip_network((address, prefix), strict=False), port, fields["sadb_address_proto"]


def _parse_requests(dialect: PfkeyDialect, data: bytes) -> Iterator[Template]:
    while data:
        fields = dialect.request.unpack(data)
        size = fields["sadb_x_ipsecrequest_len"]
        if not dialect.request.size <= size <= len(data):
            raise Malformed("an IPsec request of {} bytes in {}".format(size, len(data)))
        yield _parse_request(dialect, fields, data[dialect.request.size : size])
        data = data[size:]


def _parse_request(dialect: PfkeyDialect, fields: dict, ends: bytes) -> Template:
    source = destination = None
    mode = MODE_NAMES.get(fields["sadb_x_ipsecrequest_mode"], str(fields["sadb_x_ipsecrequest_mode"]))
    if mode == TUNNEL:
        source, _port, size = parse_sockaddr(dialect, ends)
        destination, _port, _size = parse_sockaddr(dialect, ends[size:])
    return Template(
        protocol=fields["sadb_x_ipsecrequest_proto"],
        mode=mode,
        source=source,
        destination=destination,
        reqid=fields["sadb_x_ipsecrequest_reqid"],
        level="use" if fields["sadb_x_ipsecrequest_level"] == LEVEL_USE else "require",
    )


def parse_acquire(dialect: PfkeyDialect, message: PfkeyMessage, spd: list[PolicyState]) -> Acquire:
    """SADB_ACQUIRE. It says neither selector nor reqid, but the policy's id: ``spd`` tells the rest.

    The packet's own selector is unknown; the policy's stands for it. Raises :class:`Malformed`.
    """
    index = POLICY.unpack(message.extension(SADB_X_EXT_POLICY))["sadb_x_policy_id"]
    protocol = PROTOCOLS.get(message.satype, 0)
    policy = next((state.policy for state in spd if state.index == index and state.policy.direction == OUT), None)
    template = next((one for one in policy.templates if one.protocol == protocol), None) if policy else None
    if policy is None or template is None:
        raise Malformed("an acquire for a policy that is gone")
    return Acquire(
        policy=policy.selector,
        packet=policy.selector,
        source=parse_address(dialect, message.extension(SADB_EXT_ADDRESS_SRC)),
        destination=parse_address(dialect, message.extension(SADB_EXT_ADDRESS_DST)),
        protocol=protocol,
        mode=template.mode,
        reqid=template.reqid,
        policy_index=index,
        sequence=message.sequence,
    )
