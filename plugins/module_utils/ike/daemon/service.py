# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon: engine, kernel, sockets and control socket on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from dataclasses import dataclass
from typing import Any

from .. import about
from ..config.checks.run import check
from ..config.checks.subject import Options as CheckOptions
from ..config.effective import effective
from ..config.grammar import NO_KE
from ..config.loader import load
from ..config.problem import ERROR, Problem
from ..config.settings import Effective, Remote
from ..crypto import groups
from ..exchange.effects import NamedAddress, SourceAddress
from ..exchange.engine import Engine
from ..exchange.errors import LocalError
from ..exchange.host import Host
from ..kernel.base import Acquire, Expire, Kernel, KernelError
from ..policy.spd import outer_version
from . import policies, sockets
from .addresses import Looks, watch_addresses
from .control import ControlServer, RequestError
from .keypool import KeyPool
from .monitor import Feed
from .rim import Rim

LOGGER = logging.getLogger("ike")

_MAX_WAIT = 3600
_MAX_WATCHERS = 8
_IDLE_SECONDS = 0.002  # without an event: time to make a key pair, while a peer makes its own


class ConfigurationError(Exception):
    """A configuration with errors; ``problems`` are all of them, each with file, line and column."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class Options:
    """What the command line decides. ``hold``: policies outlive the daemon, so that nothing passes in clear."""

    file: str
    control: str = about.CONTROL_SOCKET
    spd: bool = True
    hold: bool = False


def read_configuration(file: str, reqids: range) -> Effective:
    """The configuration, ready to run. Raises ConfigurationError with every problem; warnings go to the log."""
    loaded = load(file)
    lacking = groups.all_lacking()
    problems = check(loaded, CheckOptions(files=False, lacking=lacking))
    if loaded.configuration is None or any(problem.is_error for problem in problems):
        raise ConfigurationError([problem for problem in problems if problem.is_error])
    for problem in problems:
        LOGGER.warning("%s", problem)
    meaning = effective(loaded.configuration)
    for name in sorted({name for remote in meaning.remotes for name in _additional(remote)} & set(lacking)):
        LOGGER.info("%s: peers are met without it", lacking[name])
    try:
        return policies.numbered(meaning, reqids)
    except policies.TooManyTunnels as error:
        raise ConfigurationError([Problem(file, 0, 0, ERROR, str(error))]) from error


def _additional(remote: Remote) -> set[str]:
    """The additional key exchanges that a remote may do without."""
    levels = remote.ikev2.additional if remote.ikev2 is not None else ()
    return {name for level in levels if NO_KE in level for name in level}


class Daemon:
    """One running iked. ``run`` returns when a signal asks it to stop, or when another program is to take its place."""

    def __init__(self, options: Options, kernel: Kernel) -> None:
        self._options = options
        self._kernel = kernel
        self._configuration = read_configuration(options.file, kernel.reqids)
        self._policies = policies.PolicyTable(kernel, LOGGER.warning)
        self._rim = Rim(kernel, self._policies.learn)
        self._keys = KeyPool()
        self._engine = Engine(self._configuration, Host(self._rim.perform, LOGGER.log, key_pair=self._keys.take))
        self._listeners: list[sockets.Listener] = []
        self._control = ControlServer(options.control, self._request)
        self._addresses = watch_addresses()
        self._looks = Looks(self._look_at_addresses)
        self._timer: asyncio.TimerHandle | None = None
        self._refill: asyncio.Handle | None = None
        self._handing_over = False

    async def run(self) -> bool:
        """Start, serve, stop. Policies come first: from then on nothing that they cover leaves in clear.

        True where the program is to be started anew: everything in the kernel then waits for the next run.
        """
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        left = [state for state in self._kernel.list_sas() if state.reqid in self._kernel.reqids]
        self._ask_for_names()
        self._policies.adopt(self._configuration, left)
        self._apply_policies()
        self._listen()
        self._loop.add_reader(self._kernel.fileno(), self._on_kernel)
        if self._addresses is not None:
            self._loop.add_reader(self._addresses.fileno(), self._on_addresses)
            self._engine.addresses_changed(self._addresses.addresses, self._loop.time())
        self._engine.adopt(left, self._loop.time())
        self._engine.start(self._loop.time())
        await self._control.start()
        self._handle_signals()
        self._settle()
        LOGGER.info("ready: %d tunnels, kernel %s", len(self._configuration.tunnels), self._kernel.name)
        _notify_systemd("READY=1")
        await self._stopped.wait()
        self._stop()
        return self._handing_over

    # Events

    def _on_datagrams(self, listener: sockets.Listener) -> None:
        now = self._loop.time()
        for datagram in listener.receive():
            self._engine.receive(datagram.data, datagram.path, now)
        self._settle()

    def _on_kernel(self) -> None:
        now = self._loop.time()
        for event in self._kernel.read_events():
            if isinstance(event, Acquire):
                self._engine.acquire(event.reqid, now)
            elif isinstance(event, Expire):
                self._engine.expire(event.id, event.hard, now)
            else:
                LOGGER.warning("kernel events were lost: SAs are compared anew")
                self._engine.compare([state.id for state in self._kernel.list_sas()], now)
        self._settle()

    def _on_addresses(self) -> None:
        try:
            if not self._addresses.changed():
                return
        except KernelError as error:
            LOGGER.warning("this host's addresses: %s", error)
            return
        self._looks.changed(self._loop)

    def _look_at_addresses(self) -> None:
        self._engine.addresses_changed(self._addresses.addresses, self._loop.time())
        self._settle()

    def _on_timer(self) -> None:
        self._timer = None
        self._engine.run_timers(self._loop.time())
        self._settle()

    def _settle(self) -> None:
        """After every event: send what is to be sent, and be back for the next timer."""
        while self._engine.outbox:
            path, datagram = self._engine.outbox.popleft()
            self._send(path, datagram)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._engine.deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._on_timer)
        self._refill_when_idle()

    def _refill_when_idle(self) -> None:
        """Make key pairs once nothing has happened for a moment."""
        if self._refill is not None:
            self._refill.cancel()
        self._refill = self._loop.call_later(_IDLE_SECONDS, self._on_idle)

    def _on_idle(self) -> None:
        self._refill = self._loop.call_soon(self._on_idle) if self._keys.refill() else None

    def _send(self, path: Any, datagram: bytes) -> None:
        listener = sockets.find(self._listeners, path)
        if listener is None:
            LOGGER.warning("no socket for %s: interface { ike { … }; } doesn't name it", path)
            return
        try:
            listener.send(path, datagram)
        except OSError as error:
            LOGGER.warning("sending on %s: %s", path, error.strerror)

    # Configuration

    def _ask_for_names(self) -> None:
        """Have the peers' addresses at hand that only have a name: to ask for them takes a while."""
        versions = {tunnel.remote: outer_version(tunnel) for tunnel in self._configuration.tunnels}
        for remote in self._configuration.remotes:
            blocks = [remote.settings(protocol) for protocol in remote.acceptable]
            for endpoint in (one for block in blocks if block is not None for one in block.peers):
                if endpoint.is_name:
                    with contextlib.suppress(LocalError):
                        self._rim.perform(NamedAddress(endpoint.name, versions.get(remote.name, 4)))

    def _apply_policies(self) -> None:
        if self._options.spd:
            self._policies.apply(self._configuration, self._resolve)

    def _resolve(self, macro: str, family: int) -> Any:
        """This host's address for MY_IP and its kin: the one towards a peer of that family that has an address."""
        for tunnel in self._configuration.tunnels:
            peer = tunnel.peers_address
            if getattr(peer, "version", 0) == family:
                try:
                    return self._rim.perform(SourceAddress(peer))
                except LocalError:
                    return None
        return None

    def _listen(self) -> None:
        """Open the sockets that the configuration asks for, and close those that it no longer does."""
        pairs = sockets.wanted(self._configuration.listen)
        for listener in [one for one in self._listeners if (one.address, one.port) not in pairs]:
            self._loop.remove_reader(listener.fileno())
            self._listeners.remove(listener)
            listener.close()
        open_pairs = {(one.address, one.port) for one in self._listeners}
        for address, port in pairs:
            if (address, port) in open_pairs:
                continue
            listener = sockets.Listener(address, port, self._kernel, self._configuration.application_bypass)
            self._listeners.append(listener)
            self._loop.add_reader(listener.fileno(), self._on_datagrams, listener)

    def _reload(self, dry_run: bool = False) -> dict[str, list[str]]:
        """Apply the difference between the running configuration and the file's: the tunnels of each kind of change."""
        configuration = read_configuration(self._options.file, self._kernel.reqids)
        changes = self._engine.reconfigure(configuration, self._loop.time(), dry_run)
        if not dry_run:
            self._configuration = configuration
            self._ask_for_names()
            self._apply_policies()
            self._listen()
            self._settle()
            LOGGER.info("reloaded: %s", "; ".join("{} {}".format(len(names), kind) for kind, names in changes.items()))
        return changes

    # Control

    async def _request(self, request: dict) -> dict | Feed:
        commands = {
            "status": self._status,
            "monitor": self._monitor,
            "trace": self._trace,
            "up": self._up,
            "rekey": self._rekey,
            "reauth": self._reauthenticate,
            "down": self._down,
            "reload": self._reload_request,
            "debug": self._debug,
            "restart": self._restart,
        }
        handler = commands.get(request["command"])
        if handler is None:
            raise RequestError("no such command: {}".format(request["command"][:64]))
        return await handler(request)

    async def _status(self, request: dict) -> dict:
        document = self._engine.status(self._loop.time())
        return {"status": {"version": about.VERSION, "kernel": self._kernel.name, **document}}

    async def _monitor(self, request: dict) -> Feed:
        watchers = self._engine.host.watchers
        if len(watchers) >= _MAX_WATCHERS:
            raise RequestError("{} are watching already".format(len(watchers)))

        def tell(event: Any) -> None:
            feed.put(event.fields())

        def ended(feed: Feed) -> None:
            watchers.remove(tell)
            if feed.lost:
                LOGGER.warning("a watcher reads too slowly: it was cut off, %d events were lost to it", feed.lost)

        feed = Feed(ended)
        watchers.append(tell)
        return feed

    async def _trace(self, request: dict) -> dict:
        name = request.get("name")
        packets = self._engine.trace(name, self._loop.time()) if isinstance(name, str) else None
        if packets is None:
            raise RequestError("no remote has this name, and it is no address: {}".format(name))
        return {"packets": packets}

    async def _up(self, request: dict) -> dict:
        return await self._wait_for(self._engine.up, request)

    async def _rekey(self, request: dict) -> dict:
        return await self._wait_for(self._engine.rekey, request)

    async def _reauthenticate(self, request: dict) -> dict:
        return await self._wait_for(self._engine.reauthenticate, request)

    async def _wait_for(self, start: Any, request: dict) -> dict:
        """Start something for each tunnel of a name, and wait until the last one is up or one has failed."""
        name, wait = _name(request), _wait(request)
        outcomes: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
        count = start(name, self._loop.time(), lambda success, reason: outcomes.put_nowait((success, reason)))
        self._settle()
        if not count:
            raise RequestError("no tunnel has the selector or policy {}".format(name))
        try:
            for _outcome in range(count):
                success, reason = await asyncio.wait_for(outcomes.get(), wait)
                if not success:
                    raise RequestError("{}: {}".format(name, reason))
        except asyncio.TimeoutError:
            raise RequestError("{}: no answer within {} s".format(name, wait)) from None
        return {}

    async def _down(self, request: dict) -> dict:
        count = self._engine.down(_name(request), self._loop.time())
        self._settle()
        if not count:
            raise RequestError("no tunnel has the selector or policy {}".format(request["name"]))
        return {}

    async def _reload_request(self, request: dict) -> dict:
        try:
            return {"changes": self._reload(bool(request.get("dry_run")))}
        except ConfigurationError as error:
            raise RequestError(str(error)) from error
        except sockets.ListenError as error:
            raise RequestError(str(error)) from error

    async def _debug(self, request: dict) -> dict:
        level = request.get("level")
        if not isinstance(level, int) or not 0 <= level <= 255:
            raise RequestError("a debug level is a number from 0 to 255")
        LOGGER.setLevel(logging.DEBUG if level else logging.INFO)
        return {}

    async def _restart(self, request: dict) -> dict:
        """Start the program anew, without the peers' noticing: for when its file was replaced."""
        try:
            read_configuration(self._options.file, self._kernel.reqids)
        except ConfigurationError as error:
            raise RequestError(str(error)) from error
        self._handing_over = True
        self._loop.call_soon(self._stopped.set)
        return {}

    # Ends

    def _handle_signals(self) -> None:
        self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopped.set)

    def _on_hangup(self) -> None:
        try:
            self._reload()
        except ConfigurationError as error:
            for problem in error.problems:
                LOGGER.error("%s", problem)
            LOGGER.error("the running configuration stays")
        except sockets.ListenError as error:
            LOGGER.error("%s", error)

    def _stop(self) -> None:
        """In good order: deletes go out, SAs leave the kernel. A handover leaves them to the next run."""
        LOGGER.info("starting anew" if self._handing_over else "stopping")
        self._control.close()
        if not self._handing_over:
            self._engine.close(self._loop.time())
            self._settle()
        if self._options.spd and not self._options.hold and not self._handing_over:
            self._policies.remove()
        for listener in self._listeners:
            listener.close()
        if self._addresses is not None:
            self._addresses.close()
        self._kernel.close()


def _name(request: dict) -> str:
    name = request.get("name")
    if not isinstance(name, str) or not name:
        raise RequestError("which tunnel? a selector's or policy's index is wanted")
    return name


def _wait(request: dict) -> float:
    wait = request.get("wait", 40)
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not 0 <= wait <= _MAX_WAIT:
        raise RequestError("wait is a number of seconds up to {}".format(_MAX_WAIT))
    return wait


def _notify_systemd(state: str) -> None:
    """sd_notify(3): tell systemd that we are ready, where it asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.connect("\0" + address[1:] if address.startswith("@") else address)
        notifier.send(state.encode())
