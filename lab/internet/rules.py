"""Faults of the internet as small values: a rule says which packets it takes and what happens to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from ipaddress import IPv4Network

from lab.internet.frames import Packet

ACTIONS = ("drop",)


class RuleError(Exception):
    """A rule that can't be understood; the text names the field."""


@dataclass(frozen=True)
class Rule:
    """What to do with matching packets. A field that is None matches everything.

    `port` is either port of TCP or UDP; `minimum_size` is in bytes of the IPv4 packet.
    """

    name: str
    action: str
    source: IPv4Network | None = None
    destination: IPv4Network | None = None
    protocol: int | None = None
    port: int | None = None
    minimum_size: int | None = None

    def matches(self, packet: Packet) -> bool:
        return (
            (self.source is None or packet.source in self.source)
            and (self.destination is None or packet.destination in self.destination)
            and (self.protocol is None or packet.protocol == self.protocol)
            and (self.port is None or self.port in (packet.ports or ()))
            and (self.minimum_size is None or len(packet.data) >= self.minimum_size)
        )

    def to_json(self) -> dict:
        return {key: str(value) if isinstance(value, IPv4Network) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, fields: dict) -> Rule:
        """The rule that `fields` describe; RuleError for an unknown field or action, or a bad value."""
        if not fields.get("name") or fields.get("action") not in ACTIONS:
            raise RuleError(f"a rule needs a name, and an action of {', '.join(ACTIONS)}: {fields}")
        networks = {key: IPv4Network(fields[key]) for key in ("source", "destination") if fields.get(key)}
        try:
            return cls(**{**fields, **networks})
        except TypeError as error:
            raise RuleError(str(error)) from error
