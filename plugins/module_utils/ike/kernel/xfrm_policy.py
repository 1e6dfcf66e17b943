# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies in NETLINK_XFRM's messages, and the acquires that they raise."""

from __future__ import annotations

from ..policy.sa import FWD, IN, OUT, TUNNEL, Policy, PolicyState, Template
from .base import Acquire
from .cstruct import Malformed
from .netlink import build_attribute, parse_attributes
from .xfrm_messages import (
    ID,
    LIFETIME_CUR,
    MODE_NAMES,
    SELECTOR,
    UNLIMITED,
    USER_ACQUIRE,
    USER_TMPL,
    USERPOLICY_ID,
    USERPOLICY_INFO,
    XFRM_MODES,
    XFRMA_TMPL,
    build_selector,
    family_of,
    parse_address,
    parse_selector,
)

XFRM_POLICY_ALLOW = 0
XFRM_POLICY_BLOCK = 1

DIRECTIONS = {IN: 0, OUT: 1, FWD: 2}

_DIRECTION_NAMES = {number: name for name, number in DIRECTIONS.items()}
_ALL_ALGORITHMS = 0xFFFFFFFF


def build_policy(policy: Policy) -> bytes:
    """The body of XFRM_MSG_UPDPOLICY."""
    info = USERPOLICY_INFO.pack(
        sel=build_selector(policy.selector),
        lft=UNLIMITED,
        priority=policy.priority,
        dir=DIRECTIONS[policy.direction],
        action=XFRM_POLICY_BLOCK if policy.action == "discard" else XFRM_POLICY_ALLOW,
    )
    if not policy.templates:
        return info
    family = family_of(policy.selector.source)
    templates = b"".join(_build_template(template, family) for template in policy.templates)
    return info + build_attribute(XFRMA_TMPL, templates)


def _build_template(template: Template, family: int) -> bytes:
    """``family`` is the policy's: a transport mode SA has the addresses of the packet itself."""
    source = destination = b""
    if template.mode == TUNNEL:
        source, destination = template.source.packed, template.destination.packed
        family = family_of(template.source)
    return USER_TMPL.pack(
        id=ID.pack(daddr=destination, proto=template.protocol),
        saddr=source,
        family=family,
        reqid=template.reqid,
        mode=XFRM_MODES[template.mode],
        optional=int(template.level == "use"),
        aalgos=_ALL_ALGORITHMS,
        ealgos=_ALL_ALGORITHMS,
        calgos=_ALL_ALGORITHMS,
    )


def build_policy_id(policy: Policy) -> bytes:
    """The body of XFRM_MSG_DELPOLICY."""
    return USERPOLICY_ID.pack(sel=build_selector(policy.selector), dir=DIRECTIONS[policy.direction])


def build_socket_policy(family: int, direction: str) -> bytes:
    """The value of IP_XFRM_POLICY or IPV6_XFRM_POLICY that lets a socket's packets pass as they are."""
    return USERPOLICY_INFO.pack(
        sel=SELECTOR.pack(family=family), lft=UNLIMITED, dir=DIRECTIONS[direction], action=XFRM_POLICY_ALLOW
    )


def parse_policy(body: bytes) -> PolicyState | None:
    """XFRM_MSG_NEWPOLICY as the kernel reports it; None for a socket's own. Raises :class:`Malformed`."""
    info = USERPOLICY_INFO.unpack(body)
    if info["dir"] not in _DIRECTION_NAMES:
        return None
    selector = parse_selector(info["sel"])
    if selector is None:
        raise Malformed("a policy without a selector")
    templates = _parse_templates(parse_attributes(body[USERPOLICY_INFO.size :]))
    current = LIFETIME_CUR.unpack(info["curlft"])
    policy = Policy(
        selector=selector,
        direction=_DIRECTION_NAMES[info["dir"]],
        action=_action(info["action"], templates),
        templates=templates,
        priority=info["priority"],
    )
    return PolicyState(policy, info["index"], current["add_time"], current["use_time"])


def _action(number: int, templates: tuple[Template, ...]) -> str:
    if number == XFRM_POLICY_BLOCK:
        return "discard"
    return "ipsec" if templates else "bypass"


def _parse_templates(attributes: dict[int, bytes]) -> tuple[Template, ...]:
    data = attributes.get(XFRMA_TMPL, b"")
    return tuple(
        _parse_template(data[offset : offset + USER_TMPL.size]) for offset in range(0, len(data), USER_TMPL.size)
    )


def _parse_template(data: bytes) -> Template:
    fields = USER_TMPL.unpack(data)
    sa_id = ID.unpack(fields["id"])
    mode = MODE_NAMES.get(fields["mode"], str(fields["mode"]))
    tunnel = mode == TUNNEL
    return Template(
        protocol=sa_id["proto"],
        mode=mode,
        source=parse_address(fields["saddr"], fields["family"]) if tunnel else None,
        destination=parse_address(sa_id["daddr"], fields["family"]) if tunnel else None,
        reqid=fields["reqid"],
        level="use" if fields["optional"] else "require",
    )


def parse_acquire(body: bytes) -> Acquire:
    """XFRM_MSG_ACQUIRE. Raises :class:`Malformed`."""
    fields = USER_ACQUIRE.unpack(body)
    info = USERPOLICY_INFO.unpack(fields["policy"])
    sa_id = ID.unpack(fields["id"])
    templates = _parse_templates(parse_attributes(body[USER_ACQUIRE.size :]))
    template = next((one for one in templates if one.protocol == sa_id["proto"]), None)
    packet, selector = parse_selector(fields["sel"]), parse_selector(info["sel"])
    if template is None or packet is None or selector is None:
        raise Malformed("an acquire without its template or selectors")
    family = family_of(template.source or packet.source)
    return Acquire(
        policy=selector,
        packet=packet,
        source=parse_address(fields["saddr"], family),
        destination=parse_address(sa_id["daddr"], family),
        protocol=sa_id["proto"],
        mode=template.mode,
        reqid=template.reqid,
        policy_index=info["index"],
        sequence=fields["seq"],
    )
