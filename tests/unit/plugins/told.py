"""What two healthy ends would have told, for tests to spoil."""

from __future__ import annotations

import copy

from ansible_collections.tanuki.ipsec.plugins.filter.ipsec_tunnels import ipsec_tunnels
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.ends import End, Pair
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.gather import SUBJECTS
from ansible_collections.tanuki.ipsec.plugins.module_utils.evidence.verdict import expectation
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.configuration import configuration_text
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.paths import Paths
from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan

INVENTORY = {
    "tokyo": {"ipsec_address": "210.11.11.11", "ipsec_networks": ["192.168.10.0/24"], "ipsec_profile": "2007"},
    "osaka": {"ipsec_address": "210.22.22.22", "ipsec_networks": ["192.168.20.0/24"], "ipsec_profile": "2007"},
}
SPIS = {"tokyo": "0x00001001", "osaka": "0x00002002"}  # by sender
NOW = 1_800_000_000.0
SPAN = 20  # seconds between the first look and the last
INNER = {"tokyo": "192.168.10.1", "osaka": "192.168.20.1"}


def peer_of(name):
    return "osaka" if name == "tokyo" else "tokyo"


def address(name):
    return INVENTORY[name]["ipsec_address"]


def network(name):
    return INVENTORY[name]["ipsec_networks"][0]


def sa(sender, packets):
    receiver = peer_of(sender)
    return {
        "spi": SPIS[sender], "source": address(sender), "destination": address(receiver), "protocol": "esp",
        "mode": "tunnel", "state": "mature", "reqid": 7, "encryption": "3des_cbc", "encryption_bits": 192,
        "integrity": "hmac_sha1", "integrity_bits": 160, "icv_bits": 96, "encapsulation": None, "esn": False,
        "lifetime": {"soft_seconds": 23000, "hard_seconds": 28800}, "packets": packets, "age": 30,
        "errors": {"replay": 0, "replay_window": 0, "integrity": 0},
    }  # fmt: skip


def policy(direction, source, destination, ends):
    template = {"protocol": "esp", "mode": "tunnel", "source": ends[0], "destination": ends[1], "reqid": 7}
    selector = {"source": source, "destination": destination, "protocol": 0}
    return {
        "direction": direction, "action": "ipsec", "priority": 1000, "selector": selector, "templates": [template],
    }  # fmt: skip


def policies(name):
    peer = peer_of(name)
    inward = (network(peer), network(name), (address(peer), address(name)))
    return [
        policy("out", network(name), network(peer), (address(name), address(peer))),
        policy("in", *inward),
        policy("fwd", *inward),
    ]


def evidence(name, packets=10):
    plan = make_plan(INVENTORY)
    peer = peer_of(name)
    return {
        "looked_at": list(SUBJECTS),
        "time": NOW,
        "sas": [sa(name, packets), sa(peer, packets)],
        "policies": policies(name),
        "directions": ["out", "in", "fwd"],
        "counters": [],
        "daemon": {"answers": True, "error": ""},
        "ike_sas": [ike_sa(name)],
        "tunnels": [{"name": peer + "_1_out", "remote": peer, "reason": ""}],
        "configuration": configuration_text(plan.sites[name], plan.ends[name], Paths()),
        "keys": {peer: {"path": "psk", "fingerprint": "abcd", "accepted": ["abcd"], "problems": []}},
        "inner": {network(name): INNER[name]},
        "checks": {peer: []},
        "unseen": [],
    }


def ike_sa(name, state="established", role="initiator"):
    return {"state": state, "role": role, "peer": {"address": address(peer_of(name)), "port": 500}}


def capture(**packets):
    """What passed: by kind of packet, with an underscore for the space, how many went out and came in."""
    counts = {"udp_500": (0, 0), "udp_4500": (0, 0), "esp": (0, 0), **packets}
    shown = {kind.replace("_", " "): dict(zip(("out", "in"), count)) for kind, count in counts.items()}
    return {"tunnel": "", "device": "wan", "packets": shown, "errors": []}


def probe(name, **changes):
    peer = peer_of(name)
    return {
        "tunnel": peer, "network": network(name), "far": network(peer), "source": INNER[name], "target": INNER[peer],
        "spis": [SPIS[name]], "sent": 3, "received": 3, "big": True, "path_mtu": 1438, "largest": 1438, **changes,
    }  # fmt: skip


class Told:
    """Both ends' evidence, healthy at first. Change ``after``, ``before`` and ``probes`` by name; take ``pair``."""

    def __init__(self):
        self.after = {name: copy.deepcopy(evidence(name)) for name in INVENTORY}
        self.before = {name: {**copy.deepcopy(evidence(name, packets=1)), "time": NOW - SPAN} for name in INVENTORY}
        self.probes = {name: [probe(name)] for name in INVENTORY}
        self.captures = {name: {} for name in INVENTORY}

    def pair(self):
        return Pair(self._end("tokyo"), self._end("osaka"))

    def _end(self, name):
        (tunnel,) = ipsec_tunnels(INVENTORY, name, list(INVENTORY))
        moments = self.after[name], self.before[name]
        return End(name, expectation(tunnel), *moments, self.probes[name], self.captures[name])

    def no_sas(self):
        for name in INVENTORY:
            self.before[name]["sas"] = self.after[name]["sas"] = []
            self.probes[name] = [probe(name, spis=[], received=0, big=None)]

    def no_ike(self):
        self.no_sas()
        for name in INVENTORY:
            self.after[name]["ike_sas"] = []

    def stopped(self, left, came, returned=0, came_back=0):
        """Pings from tokyo: the packets that each SA carried, along the way and back."""
        self.probes["tokyo"] = [probe("tokyo", received=0, big=None)]
        self.probes["osaka"] = []
        for name, outbound, inbound in (("tokyo", left, came_back), ("osaka", returned, came)):
            own = self.after[name]["sas"]
            own[0]["packets"], own[1]["packets"] = 1 + outbound, 1 + inbound

    def fails(self, name, check, text="what was seen"):
        self.after[name]["checks"][peer_of(name)].append({"name": check, "state": "fails", "text": text})

    def edit(self, name, old, new):
        text = self.after[name]["configuration"]
        assert old in text
        self.after[name]["configuration"] = text.replace(old, new)


def esp_is_lost(told):
    told.stopped(left=3, came=0)
