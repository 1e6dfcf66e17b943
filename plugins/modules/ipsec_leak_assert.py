#!/usr/bin/python
# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assert that nothing between the protected networks leaves a gateway in clear."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_leak_assert
short_description: Assert that nothing between the protected networks passes in clear
version_added: 0.1.0
description:
  - Watches the outside device for some time, while pings go through the tunnels and, where that's asked for, while the
    tunnels are rekeyed and the daemon restarts. Fails if a packet leaves for a network behind a peer that isn't ESP, or
    IKE between the gateways, whatever address NAT has given it.
  - What leaves is seen right before the device gets it, after IPsec. What arrives can't be told apart there, since the
    kernel shows what it has decrypted on the same device. It's watched where it leaves, by this module at the other
    end; and it fails here too if the kernel counts packets that it refused because they came without ESP.
  - Says how many ESP packets left meanwhile. Where there were none, silence proves nothing, and that's a warning, with
    O(strict) a failure.
author:
  - the tanuki.ipsec founders (@tanuki-ipsec)
extends_documentation_fragment:
  - tanuki.ipsec.attributes
  - tanuki.ipsec.daemon
  - tanuki.ipsec.tunnels
attributes:
  check_mode:
    support: full
    details: Watches and pings; rekeys and restarts nothing.
  diff_mode:
    support: none
  platform:
    support: full
    platforms: linux
requirements:
  - ping (iputils) and ip (iproute2)
options:
  tunnels:
    required: true
  devices:
    description: The devices to watch. By default those by which the peers are reached.
    type: list
    elements: str
  probes:
    description: Pings to send meanwhile; the filter P(tanuki.ipsec.ipsec_probes#filter) names them.
    type: list
    elements: dict
    default: []
    suboptions:
      tunnel:
        description: The tunnel that it's for.
        type: str
        required: true
      network:
        description: This end's network.
        type: str
        required: true
      far:
        description: The other end's.
        type: str
        required: true
      source:
        description: This host's address.
        type: str
        required: true
      target:
        description: The address that is pinged.
        type: str
        required: true
  seconds:
    description: How long to watch; rekeys and the restart come on top.
    type: float
    default: 5
  rekey:
    description: Rekey every tunnel meanwhile.
    type: bool
    default: false
  restart:
    description: Restart the daemon meanwhile. Its tunnels go down and come up again.
    type: bool
    default: false
  service:
    description: The systemd unit to restart.
    type: str
    default: tanuki-iked.service
  strict:
    description: Fail where no ESP packet left meanwhile, too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Assert that nothing passes in clear, not while the daemon restarts either
  tanuki.ipsec.ipsec_leak_assert:
    tunnels: "{{ hostvars | tanuki.ipsec.ipsec_tunnels(inventory_hostname, groups['ipsec_sites']) }}"
    rekey: true
    restart: true
  become: true
"""

RETURN = r"""
devices:
  description: The devices that were watched.
  returned: always
  type: list
  elements: str
esp:
  description: How many packets left in ESP meanwhile.
  returned: always
  type: int
leaks:
  description: What left in clear, by kind of packet.
  returned: always
  type: list
  elements: str
refused:
  description: How many packets the kernel refused because they arrived in clear.
  returned: always
  type: int
events:
  description: What was done meanwhile, and what became of it.
  returned: always
  type: list
  elements: str
  sample: ["rekey osaka: done", "restart tanuki-iked.service: done"]
"""

import socket
import sys
import threading
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tanuki.ipsec.plugins.module_utils.commands import run
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.canary import REFUSED_IN_CLEAR, Canary, Watched
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.daemon import CONTROL_SPEC, Daemon, DaemonError
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.looking import Look
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.options import (
    PROBE_SPEC,
    expectations,
    tunnels_spec,
)
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.snapshot import counters
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import Expectation
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.wiretap import outside_device

ARGUMENT_SPEC = {
    **CONTROL_SPEC,
    **tunnels_spec(required=True),
    "devices": {"type": "list", "elements": "str"},
    "probes": {"type": "list", "elements": "dict", "default": [], "options": PROBE_SPEC},
    "seconds": {"type": "float", "default": 5},
    "rekey": {"type": "bool", "default": False},
    "restart": {"type": "bool", "default": False},
    "service": {"type": "str", "default": "tanuki-iked.service"},
    "strict": {"type": "bool", "default": False},
}

_POLL_SECONDS = 0.1
_INTERVAL = 0.2  # between pings
_EVENT_SECONDS = 60.0


def outside_devices(look: Look, tunnels: list[Expectation]) -> list[str]:
    """The devices by which the peers are reached. Raises ValueError for a peer that isn't."""
    found = []
    for tunnel in tunnels:
        device, reason = outside_device(look, tunnel.local, tunnel.peer)
        if not device:
            raise ValueError("{}: no way to {} to be watched: {}".format(tunnel.name, tunnel.peer, reason))
        found.append(device)
    return list(dict.fromkeys(found))


def refused() -> int:
    return sum(one["packets"] for one in counters([]) if one["name"] == REFUSED_IN_CLEAR)


class Meanwhile:
    """What goes on while the canary watches; ``events`` says what became of it."""

    def __init__(self, module: AnsibleModule, look: Look, tunnels: list[Expectation]) -> None:
        self.parameters = module.params
        self.look = look
        self.names = [tunnel.name for tunnel in tunnels]
        self.disturbs = not module.check_mode
        self.over = False
        self.events: list[str] = []

    def run(self) -> None:
        until = time.monotonic() + self.parameters["seconds"]
        if self.disturbs and self.parameters["rekey"]:
            for name in self.names:
                self._event("rekey " + name, lambda name=name: self._daemon().rekey(name, _EVENT_SECONDS))
        if self.disturbs and self.parameters["restart"]:
            self._event("restart " + self.parameters["service"], self._restart)
        time.sleep(max(until - time.monotonic(), 0))
        self.over = True

    def ping(self, probe: dict) -> None:
        """Until it's over, a second's worth at a time. Unanswered ones say nothing: a tunnel may be down meanwhile."""
        words = ["ping", "-n", "-q", "-c", "5", "-i", str(_INTERVAL), "-W", "1"]
        while not self.over:
            started = time.monotonic()
            self.look.run([*words, "-I", probe["source"], probe["target"]])
            time.sleep(max(_INTERVAL - (time.monotonic() - started), 0))

    def _daemon(self) -> Daemon:
        return Daemon(self.parameters["control"])

    def _restart(self) -> None:
        code, output, error = self.look.run(["systemctl", "restart", self.parameters["service"]])
        if code != 0:
            raise DaemonError(error.strip() or output.strip() or "code {}".format(code))
        for name in self.names:
            self._event("up " + name, lambda name=name: self._daemon().bring_up(name, _EVENT_SECONDS))

    def _event(self, what: str, action) -> None:
        try:
            action()
            self.events.append(what + ": done")
        except DaemonError as error:
            self.events.append("{}: {}".format(what, error))


def watch(module: AnsibleModule) -> dict:
    """Raises ValueError for what can't be watched, OSError where the kernel doesn't let us."""
    look, tunnels = Look(run), expectations(module)
    devices = module.params["devices"] or outside_devices(look, tunnels)
    meanwhile, before = Meanwhile(module, look, tunnels), refused()
    with Canary(devices, Watched.of(tunnels)) as canary:
        work = [threading.Thread(target=meanwhile.run)]
        work += [threading.Thread(target=meanwhile.ping, args=(probe,)) for probe in module.params["probes"]]
        for thread in work:
            thread.start()
        while any(thread.is_alive() for thread in work):
            time.sleep(_POLL_SECONDS)
            canary.look()
        canary.look()
    return {
        "changed": bool(meanwhile.events),
        "devices": devices,
        "esp": canary.esp,
        "leaks": canary.leaked(),
        "refused": refused() - before,
        "events": meanwhile.events,
    }


def complaints(found: dict, strict: bool) -> list:
    """Why it fails, if it does."""
    lines = ["left in clear by {}: {}".format(", ".join(found["devices"]), text) for text in found["leaks"]]
    if found["refused"]:
        lines.append("{} packets arrived in clear and were refused".format(found["refused"]))
    lines += [text for text in found["events"] if not text.endswith(": done")]
    if strict and not found["esp"]:
        lines.append("nothing left in ESP meanwhile, so that silence proves nothing")
    return lines


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if not hasattr(socket, "AF_PACKET"):
        module.fail_json(msg="can't watch: {} has no packet sockets, only Linux does".format(sys.platform))
    try:
        found = watch(module)
    except (ValueError, OSError) as error:
        module.fail_json(msg="can't watch: {}".format(error))
    wrong = complaints(found, module.params["strict"])
    if wrong:
        module.fail_json(msg="\n".join(wrong), **found)
    if not found["esp"]:
        module.warn("nothing left in ESP meanwhile, so that silence proves nothing")
    module.exit_json(**found)


if __name__ == "__main__":
    main()
