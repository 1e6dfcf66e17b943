"""Two engines on a wire that tests can look at and harm: everything real but sockets, clock and kernel."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from ike.config.settings import (
    Effective,
    Endpoint,
    Identity,
    IkeSettings,
    Listen,
    Remote,
    SaProposal,
    Traffic,
    Tunnel,
)
from ike.daemon.rim import Rim
from ike.exchange.engine import Engine
from ike.exchange.host import Host
from ike.exchange.path import Path
from ike.kernel.none import NoneKernel

TOKYO = ipaddress.ip_address("210.11.11.11")
OSAKA = ipaddress.ip_address("210.22.22.22")
TOKYO_NET = ipaddress.ip_network("192.168.10.0/24")
OSAKA_NET = ipaddress.ip_network("192.168.20.0/24")
ESP_3DES = SaProposal("esp", (("3des_cbc", 192),), ("hmac_sha1",))
ESP_GCM = SaProposal("esp", (("aes_gcm", 256),))

PROFILES = {
    # The 2007 profile, with the quickest group: what a group costs is not what these tests are about.
    1: {
        "protocol": "ikev1",
        "encryption": (("3des_cbc", 192),),
        "hashes": ("sha1",),
        "groups": ("modp1024",),
        "nonce_size": 16,
    },
    2: {
        "protocol": "ikev2",
        "encryption": (("aes_gcm", 256),),
        "prfs": ("hmac_sha2_256",),
        "groups": ("curve25519", "ecp256"),
    },
}


def settings(local, peer, psk: str, version: int = 1, **changes) -> IkeSettings:
    """A profile's IKE SA: of 2007 for IKEv1, today's for IKEv2."""
    base = IkeSettings(
        peers=(Endpoint(peer, port=500),),
        my_ids=(Identity("ipaddr", local),),
        peers_ids=(Identity("ipaddr", peer),),
        verify_id=True,
        auth_methods=("psk",),
        pre_shared_key=psk,
        **PROFILES[version],
    )
    return replace(base, **changes)


def tunnel(local, peer, local_net, peer_net, **changes) -> Tunnel:
    """The how-to's tunnel, seen from one end."""
    base = Tunnel(
        name="net_out",
        inbound="net_in",
        policy="net",
        remote="peer",
        action="ipsec",
        install=True,
        mode="tunnel",
        level="require",
        selector=Traffic(local_net, peer_net),
        my_address=local,
        peers_address=peer,
        reqid=7,
        lifetime_seconds=28800,
        proposals=(ESP_3DES,),
    )
    return replace(base, **changes)


@dataclass
class Gateway:
    """One end: its engine, its simulated kernel, and what it said."""

    name: str
    address: ipaddress.IPv4Address
    engine: Engine
    kernel: NoneKernel
    lines: list[str] = field(default_factory=list)

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    @property
    def state(self):
        return next(iter(self.engine.tunnels))

    def installed(self):
        return sorted(self.kernel.installed.values(), key=lambda association: association.spi)


@dataclass
class World:
    """Both ends, the time, and the link. ``mangle(datagram) -> [datagram, …]`` decides what arrives.

    ``nat`` holds the addresses that the other end sees, by name, for those who sit behind one. ``under_way`` and
    ``traffic`` hold what a slow line has yet to deliver, each with when it arrives.
    """

    tokyo: Gateway
    osaka: Gateway
    now: float = 1000.0
    mangle: Callable[[bytes], list[bytes]] = field(default=lambda datagram: [datagram])
    wire: list[tuple[str, bytes]] = field(default_factory=list)
    nat: dict[str, ipaddress.IPv4Address] = field(default_factory=dict)
    under_way: list[tuple] = field(default_factory=list)
    traffic: list[tuple] = field(default_factory=list)

    def gateways(self):
        return (self.tokyo, self.osaka)

    def exchange(self) -> None:
        """Deliver datagrams until nobody has any left."""
        while self.deliver_once():
            pass

    def deliver_once(self) -> bool:
        """One datagram of each outbox."""
        moved = False
        for sender, receiver in (self.gateways(), self.gateways()[::-1]):
            if sender.engine.outbox:
                path, datagram = sender.engine.outbox.popleft()
                self.wire.append((sender.name, datagram))
                for arriving in self.mangle(datagram):
                    seen = self.nat.get(sender.name, sender.address)
                    back = Path(receiver.address, seen, path.peer_port, path.local_port)
                    receiver.engine.receive(arriving, back, self.now)
                moved = True
        return moved

    def run(self, seconds: float) -> None:
        """Let time pass: timers run when they are due, and what they send is delivered."""
        end = self.now + seconds
        self.exchange()
        while True:
            deadlines = [one.engine.deadline() for one in self.gateways() if one.engine.deadline() is not None]
            if not deadlines or min(deadlines) > end:
                break
            self.now = max(self.now, min(deadlines))
            for gateway in self.gateways():
                gateway.engine.run_timers(self.now)
            self.exchange()
        self.now = end

    def established(self) -> bool:
        return self.tokyo.state.up and self.osaka.state.up


def unreceivable(pair: World) -> list[str]:
    """The ends that have no outbound SA, or whose youngest, which the kernel sends on, the other end can't receive."""
    found = []
    for sender, receiver in (pair.gateways(), pair.gateways()[::-1]):
        sending = [sa.spi for sa in sender.kernel.installed.values() if sa.source == sender.address]
        receiving = {sa.spi for sa in receiver.kernel.installed.values() if sa.destination == receiver.address}
        if not sending or sending[-1] not in receiving:
            found.append(sender.name)
    return found


def watch_gaps(pair: World) -> list[str]:
    """From now on, at each datagram: what :func:`unreceivable` finds goes into this list."""
    gaps: list[str] = []

    def look(datagram: bytes) -> list[bytes]:
        gaps.extend(unreceivable(pair))
        return [datagram]

    pair.mangle = look
    return gaps


def gateway(name, address, remote, tunnels, seed=None) -> Gateway:
    lines: list[str] = []
    kernel = NoneKernel(clock=lambda: 0.0)
    source = random.Random(seed)
    host = Host(
        Rim(kernel).perform,
        lambda level, text: lines.append(text),
        random=source.randbytes if seed is not None else random.SystemRandom().randbytes,
    )
    configuration = Effective(listen=(Listen(str(address), 500),), remotes=(remote,), tunnels=tunnels)
    return Gateway(name, address, Engine(configuration, host), kernel, lines)


def key_file(directory: FilePath, name: str, key: bytes) -> str:
    path = directory / name
    path.write_bytes(key)
    path.chmod(0o600)
    return str(path)


def world(
    directory: FilePath, seed=None, tokyo=None, osaka=None, tokyo_tunnel=None, osaka_tunnel=None, psk=None, version=1
) -> World:
    """The how-to's pair. ``tokyo``/``osaka`` change an end's settings, ``*_tunnel`` its tunnel, ``psk`` osaka's key."""
    keys = [key_file(directory, "tokyo.psk", b"test"), key_file(directory, "osaka.psk", psk or b"test")]
    ends = []
    for index, (name, local, peer, nets, changes, tunnel_changes) in enumerate(
        (
            ("tokyo", TOKYO, OSAKA, (TOKYO_NET, OSAKA_NET), tokyo, tokyo_tunnel),
            ("osaka", OSAKA, TOKYO, (OSAKA_NET, TOKYO_NET), osaka, osaka_tunnel),
        )
    ):
        ike = settings(local, peer, keys[index], version, **(changes or {}))
        remote = Remote("peer", (ike.protocol,), **{ike.protocol: ike})
        proposals = {"proposals": (ESP_3DES if version == 1 else ESP_GCM,)}
        tunnels = (tunnel(local, peer, *nets, **{**proposals, **(tunnel_changes or {})}),)
        ends.append(gateway(name, local, remote, tunnels, None if seed is None else seed + index))
    return World(*ends)


def bring_up(pair: World, gateway: Gateway | None = None) -> list[tuple[bool, str]]:
    """Ask one end for its tunnel; the list gets (success, reason) once it is known."""
    outcome: list[tuple[bool, str]] = []
    end = gateway or pair.tokyo
    end.engine.up("net", pair.now, lambda success, reason: outcome.append((success, reason)))
    return outcome
