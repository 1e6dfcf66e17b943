#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which computes on the controller and runs ipsec_apply."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_deploy
short_description: Deploy a site's IPsec tunnels in constant cost
version_added: 0.1.0
description:
  - Plans the tunnels from the inventory (see O(group)), renders this host's configuration, collects its pre-shared
    keys, and brings the host to that state. Everything is computed on the controller.
  - The host is asked once. Where nothing differs, that is all. Where something does, a second execution carries only
    what differs, whatever the number of tunnels. Between the two, the host's package manager is called if the daemon
    couldn't run for want of the library C(cryptography), or no packet filter is there for the rules that are wanted.
  - A new configuration is checked by the daemon's own code before anything is replaced. If it's refused, or the disk
    is full, everything stays as it was and the daemon keeps running with its old configuration.
  - Files that this collection wrote and that are no longer wanted are removed. A file that it didn't write is
    never replaced without a copy beside it and a warning.
  - Where a pair of sites has no pre-shared key yet, one is made with 256 random bits and kept in O(psk_directory). It
    is never made anew.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
attributes:
  check_mode:
    support: full
    details: Makes no keys either.
  diff_mode:
    support: full
    details: Pre-shared keys and the program are shown as fingerprints.
  platform:
    support: full
    platforms: linux, freebsd
requirements:
  - systemd, or FreeBSD's rc, and Python 3.9 or newer on the host
options:
  group:
    description: The inventory's group of sites.
    type: str
    default: ipsec_sites
  psk_directory:
    description: Where the controller keeps the keys; a relative path starts at the inventory's directory.
    type: str
    default: psk
  psks:
    description:
      - Keys that you bring yourself. The name of each is that of its pair of sites, joined by two hyphens in either
        order, as in C(tokyo--osaka).
      - Pairs that aren't named here use O(psk_directory).
    type: dict
    default: {}
  python:
    description: The interpreter that runs the daemon on the host.
    type: str
    default: /usr/bin/python3
  packages:
    description:
      - What to install where that interpreter lacks the library C(cryptography). Empty to install nothing, no packet
        filter either where O(packet_filter) finds none.
    type: list
    elements: str
    default: [python3-cryptography]
  commands:
    description: Commands that install what's missing, each a list of words, in order. On FreeBSD before O(packages).
    type: list
    elements: list
    default: []
  implementation:
    description:
      - What the host runs. V(xfrm_linux) is this collection's daemon on Linux, V(bundled) the same on FreeBSD,
        V(racoon2) upstream's C(spmd) and C(iked) on FreeBSD.
    type: str
    default: xfrm_linux
    choices: [xfrm_linux, bundled, racoon2]
  ikev2:
    description: Take profiles with IKEv2 for V(racoon2), whose daemon was seen to crash with it.
    type: bool
    default: false
  remove_routes:
    description:
      - Take static routes to the far networks away, from the kernel and from rc.conf. FreeBSD only, where such a route
        else stops the deployment. One by an address of the host's own stays.
    type: bool
    default: false
  nat_exemption:
    description:
      - Keep what goes through the tunnels from being translated by whatever masquerades on the host.
      - This and the following are for V(xfrm_linux) only.
    type: bool
    default: true
  mss_clamp:
    description: Reduce TCP's segments, in both directions, to what fits the tunnels.
    type: bool
    default: true
  ftp_helper:
    description: Follow FTP through the tunnels. A packet filter takes active FTP's data connections for related then.
    type: bool
    default: false
  packet_filter:
    description: What does these three. V(auto) takes nftables where C(nft) is there, else iptables.
    type: str
    default: auto
    choices: [auto, nftables, iptables]
  confirm:
    description:
      - Whether the host undoes the deployment by itself unless it's confirmed in time by M(tanuki.ipsec.ipsec_confirm).
      - V(auto) where a selector would capture the SSH connection that leads to the host, as the host sees it.
      - V(always) and V(never) whatever the selectors are. There is no such thing on FreeBSD.
    type: str
    default: auto
    choices: [auto, always, never]
  confirm_seconds:
    description: How long the host waits to be confirmed.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Deploy the tunnels of this site
  tanuki.ipsec.ipsec_deploy:
  become: true

- name: Show what would change, keys excepted
  tanuki.ipsec.ipsec_deploy:
  become: true
  check_mode: true
  diff: true
"""

RETURN = r"""
executions:
  description: How often something was executed on the host.
  returned: success
  type: int
  sample: 1
confirm_seconds:
  description: After how many seconds the host undoes this deployment, unless it's confirmed; V(0) for never.
  returned: success
  type: int
unanswered:
  description:
    - Why the host's answer didn't come, where the deployment cut it off and the host waits to be confirmed. What it did
      isn't known then. After M(tanuki.ipsec.ipsec_confirm) has reached the host, deploy again.
  returned: when there was no answer
  type: str
files:
  description: The files that changed, each with V(created), V(updated), V(permissions), V(directory) or V(removed).
  returned: success
  type: dict
  sample:
    /etc/racoon2/racoon2.conf: updated
settings:
  description: The kernel settings that changed, with their new values.
  returned: success
  type: dict
routes:
  description: The static routes to far networks that were removed.
  returned: success
  type: list
  elements: str
service:
  description: What the service was told.
  returned: success
  type: list
  elements: str
  sample: [gateway reload, reload]
tunnel_changes:
  description:
    - The tunnels of each kind of change, where the daemon was told to reload. All others went on with the security
      associations that they had; where one didn't, it's C(disturbed), and the module fails.
  returned: success
  type: dict
tunnels:
  description: The tunnels of this host.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The index of the tunnel's remote and policy in racoon2.conf; C(ctl up) takes it.
      type: str
    peer:
      description: The peer's inventory name.
      type: str
    profile:
      description: The profile that both ends use.
      type: str
"""
