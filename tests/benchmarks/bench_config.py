"""How long a configuration of many remotes takes to parse and check, and whether that grows with its size alone."""

from __future__ import annotations

import ipaddress
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "module_utils"))

from ike.config.build import LocalEnd, PeerEnd, Profile, site_configuration
from ike.config.checks.run import check
from ike.config.checks.subject import Options
from ike.config.loader import load_text
from ike.config.render import render

REMOTES = 1000
LIMIT_SECONDS = 1.0
LIMIT_GROWTH = 2.6  # of the time, for twice the remotes: linear, with room for a busy machine
RUNS = 5

PROFILE = Profile(
    version=2,
    ike_encryption=("aes256_cbc", "aes128_cbc"),
    ike_hash=("hmac_sha2_256",),
    ike_prf=("hmac_sha2_256",),
    groups=("modp2048",),
    esp_encryption=("aes256_cbc", "aes128_cbc"),
    esp_integrity=("hmac_sha2_256",),
)


def configuration_text(remotes: int) -> bytes:
    """A hub's configuration, as the collection itself writes it."""
    local = LocalEnd(ipaddress.ip_address("192.0.2.1"), "/etc/racoon2/psk")
    peers = [_peer(local, number) for number in range(remotes)]
    return render(site_configuration(local, peers, "racoon2")).encode()


def _peer(local: LocalEnd, number: int) -> PeerEnd:
    address = ipaddress.ip_address("198.18.0.0") + number
    network = ipaddress.ip_network((int(ipaddress.ip_address("10.0.0.0")) + (number << 8), 24))
    return PeerEnd(
        name="site{}".format(number),
        address=address,
        my_id=("ipaddr", str(local.address)),
        peers_id=("ipaddr", str(address)),
        local_networks=(ipaddress.ip_network("192.168.0.0/24"),),
        peer_networks=(network,),
        profile=PROFILE,
    )


def seconds(text: bytes) -> float:
    """Of the fastest of some runs: parse, types, references and every check but the key files."""
    return min(_run(text) for _ in range(RUNS))


def _run(text: bytes) -> float:
    start = time.process_time()  # one thread and no input: what an idle machine's clock would show
    loaded = load_text(text, "bench.conf", "racoon2")
    problems = check(loaded, Options(files=False))
    elapsed = time.process_time() - start
    if loaded.configuration is None or any(problem.is_error for problem in problems):
        raise RuntimeError("the configuration is not clean: {}".format(problems[:3]))
    return elapsed


def main() -> list[dict[str, object]]:
    """One row for the time, one for its growth: name, value, unit, limit, and whether it holds."""
    once = seconds(configuration_text(REMOTES))
    twice = seconds(configuration_text(2 * REMOTES))
    growth = twice / once
    return [
        {
            "name": "config: parse and check {} remotes".format(REMOTES),
            "value": round(once, 3),
            "unit": "s",
            "limit": LIMIT_SECONDS,
            "holds": once < LIMIT_SECONDS,
        },
        {
            "name": "config: {} remotes against {}".format(2 * REMOTES, REMOTES),
            "value": round(growth, 2),
            "unit": "times",
            "limit": LIMIT_GROWTH,
            "holds": growth < LIMIT_GROWTH,
        },
    ]


if __name__ == "__main__":
    for row in main():
        print(
            "{name}: {value} {unit} (limit {limit}): {verdict}".format(
                verdict="ok" if row["holds"] else "TOO SLOW", **row
            )
        )
