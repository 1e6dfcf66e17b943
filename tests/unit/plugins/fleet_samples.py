"""Answers as ipsec_sa_info gives them, for the tests of the fleet's report."""

from __future__ import annotations

from ansible_collections.tanuki.ipsec.plugins.plugin_utils.plan import make_plan


def plan_of(spokes, topology=None):
    """A hub and spokes, or another topology of these sites."""
    names = ["hub", *(f"spoke{number:02}" for number in range(1, spokes + 1))]
    return make_plan(
        {
            name: {
                "ipsec_address": f"198.51.100.{number + 1}",
                "ipsec_networks": [f"10.{number}.0.0/24", f"10.{number}.1.0/24"]
                if number == 1
                else [f"10.{number}.0.0/24"],
                "ipsec_profile": "ikev1-aes",
                "ipsec_topology": topology or {"type": "hub", "hubs": ["hub"]},
            }
            for number, name in enumerate(names)
        }
    )


def answer(plan, name, down=(), reason="no answer from the peer", state="down"):
    """What a site says whose tunnels are up, but those with the peers in ``down``."""
    tunnels, ike_sas, sas = [], [], []
    for end in plan.ends[name]:
        is_down = end.peer.name in down
        if not is_down:
            ike_sas.append(_ike_sa(end))
        for number, (local, peer) in enumerate(end.networks, 1):
            spi_in, spi_out = spi(end.peer, end.local, number), spi(end.local, end.peer, number)
            tunnels.append(
                {
                    "name": f"{end.name}_{number}_out",
                    "remote": end.name,
                    "policy": end.name,
                    "state": state if is_down else "up",
                    "reason": reason if is_down else "",
                    "selector": {"local": str(local), "peer": str(peer), "protocol": 0},
                    "child_sas": [] if is_down else [_child(spi_in, spi_out)],
                }
            )
            if not is_down:
                ours, theirs = str(end.local.address), str(end.peer.address)
                sas.append({"spi": spi_in, "source": theirs, "destination": ours, "bytes": 1_234_567})
                sas.append({"spi": spi_out, "source": ours, "destination": theirs, "bytes": 42})
    return {"daemon": {"answers": True, "error": ""}, "ike_sas": ike_sas, "tunnels": tunnels, "sas": sas}


def spi(source, destination, number):
    return "0x{:08x}".format(int(source.address) % 256 << 16 | int(destination.address) % 256 << 8 | number)


def _ike_sa(end):
    return {
        "remote": end.name,
        "version": 1,
        "state": "established",
        "encryption": "aes256_cbc",
        "integrity": "",
        "prf": "sha2_256",
        "group": "modp3072",
        "nat": False,
        "age": 4800,
        "lifetime": 28800,
    }


def _child(spi_in, spi_out):
    return {
        "state": "up",
        "encryption": "aes256_cbc",
        "integrity": "hmac_sha2_256",
        "pfs": "modp3072",
        "spi_in": spi_in,
        "spi_out": spi_out,
        "age": 61,
        "lifetime": 3600,
    }
