"""The process that plays the internet: QEMU's unix sockets on one side, the router in the middle, a capture of it all.

QEMU's stream netdev carries each Ethernet frame after its length (4 bytes, big-endian). The process sleeps until a
frame or a control request comes; only while a machine is missing does it wake up to look for its socket.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab import unix
from lab.internet.capture import CaptureWriter
from lab.internet.router import Router, Sent
from lab.internet.rules import Rule, RuleError

RECONNECT_INTERVAL = 0.5  # seconds
QUEUE_LIMIT = 4 * 1024 * 1024  # bytes that wait for one machine before frames are dropped, as a router's queue would
REQUEST_LIMIT = 64 * 1024  # bytes of a control request
CONTROL_TIMEOUT = 1.0  # seconds that a control client may take

_LENGTH = struct.Struct("!I")


@dataclass
class Wire:
    """The stream to one machine's outside card."""

    name: str
    path: Path
    connection: socket.socket | None = None
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: bytearray = field(default_factory=bytearray)

    def connect(self) -> bool:
        """Try to reach QEMU; True when that works."""
        try:
            self.connection = unix.connect(self.path)
        except OSError:
            return False
        self.connection.setblocking(False)
        return True

    def close(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None
        self.incoming.clear()
        self.outgoing.clear()

    def read_frames(self) -> list[bytes]:
        """The whole frames that have come in; ConnectionError when the machine is gone."""
        data = self.connection.recv(65536)
        if not data:
            raise ConnectionResetError
        self.incoming += data
        found = []
        while len(self.incoming) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self.incoming)[0]
            if len(self.incoming) < end:
                break
            found.append(bytes(self.incoming[_LENGTH.size : end]))
            del self.incoming[:end]
        return found

    def queue(self, frame: bytes) -> bool:
        """Put a frame in line; False when the machine is gone or doesn't keep up."""
        if self.connection is None or len(self.outgoing) + len(frame) > QUEUE_LIMIT:
            return False
        self.outgoing += _LENGTH.pack(len(frame)) + frame
        return True

    def flush(self) -> None:
        """Write as much as the socket takes now."""
        try:
            while self.outgoing:
                del self.outgoing[: self.connection.send(self.outgoing)]
        except BlockingIOError:
            return


class Service:
    """Moves frames between wires by the router's word, and obeys the control socket."""

    def __init__(self, router: Router, wires: list[Wire], capture: CaptureWriter, control: socket.socket) -> None:
        self._router = router
        self._wires = {wire.name: wire for wire in wires}
        self._capture = capture
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the process is ended."""
        while True:
            missing = [wire for wire in self._wires.values() if wire.connection is None]
            for wire in missing:
                self._connect(wire)
            for key, events in self._selector.select(RECONNECT_INTERVAL if missing else None):
                if key.fileobj is self._control:
                    self._serve_control()
                else:
                    self._serve_wire(key.data, events)

    def _connect(self, wire: Wire) -> None:
        if wire.connect():
            self._selector.register(wire.connection, selectors.EVENT_READ, wire)

    def _serve_wire(self, wire: Wire, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._flush(wire)
            if events & selectors.EVENT_READ:
                for frame in wire.read_frames():
                    self._capture.write(frame)
                    self._send(self._router.receive(wire.name, frame))
        except ConnectionError:
            self._disconnect(wire)

    def _send(self, frames: list[Sent]) -> None:
        """The capture shows each packet once: as it came in, or as the router made it."""
        for sent in frames:
            if sent.own:
                self._capture.write(sent.frame)
            wire = self._wires[sent.link]
            if not wire.queue(sent.frame):
                self._router.counters["queue_full"] += 1
                continue
            try:
                self._flush(wire)
            except ConnectionError:
                self._disconnect(wire)

    def _flush(self, wire: Wire) -> None:
        wire.flush()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wire.outgoing else 0)
        self._selector.modify(wire.connection, events, wire)

    def _disconnect(self, wire: Wire) -> None:
        if wire.connection:
            self._selector.unregister(wire.connection)
        wire.close()

    def _serve_control(self) -> None:
        """One request, one answer, each a line of JSON."""
        connection, _ = self._control.accept()
        with connection:
            connection.settimeout(CONTROL_TIMEOUT)
            try:
                request = connection.makefile("rb").readline(REQUEST_LIMIT)
                connection.sendall(json.dumps(self._obey(request)).encode() + b"\n")
            except OSError:
                return

    def _obey(self, line: bytes) -> dict:
        commands: dict[str, Callable[[dict], dict]] = {
            "status": lambda request: self._status(),
            "add-rule": self._add_rule,
            "remove-rule": self._remove_rule,
        }
        try:
            request = json.loads(line)
            return commands[request["command"]](request)
        except (ValueError, KeyError, TypeError, RuleError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _status(self) -> dict:
        return {
            "links": {wire.name: wire.connection is not None for wire in self._wires.values()},
            "counters": dict(self._router.counters),
            "rules": [{**rule.to_json(), "hits": self._router.rule_hits[rule.name]} for rule in self._router.rules],
        }

    def _add_rule(self, request: dict) -> dict:
        """Add a rule, in place of one of the same name."""
        rule = Rule.from_json(request["rule"])
        self._router.rules = [other for other in self._router.rules if other.name != rule.name] + [rule]
        return self._status()

    def _remove_rule(self, request: dict) -> dict:
        self._router.rules = [rule for rule in self._router.rules if rule.name != request["name"]]
        return self._status()
