"""Read back what `setkey -D` and `setkey -DP` print: the SAD and the SPD of a gateway's kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address


@dataclass(frozen=True)
class Association:
    """One SA of the SAD."""

    source: IPv4Address
    destination: IPv4Address
    spi: int
    mode: str
    state: str
    encryption: str
    integrity: str


def read_associations(text: str) -> list[Association]:
    """The SAs in the output of `setkey -D`: each begins with a line of two addresses that isn't indented."""
    return [_association(block) for block in re.split(r"\n(?=\S)", text) if "spi=" in block]


def read_directions(text: str) -> list[str]:
    """The direction (in, out, fwd) of each IPsec policy in the output of `setkey -DP`, in alphabetical order."""
    return sorted(re.findall(r"^\s+(in|out|fwd)\b.*\bipsec\b", text, re.MULTILINE))


def _association(block: str) -> Association:
    source, destination = block.split("\n", 1)[0].split()[:2]
    algorithms = dict(re.findall(r"^\s+([EA]): (\S+)", block, re.MULTILINE))
    return Association(
        source=IPv4Address(source.partition("[")[0]),
        destination=IPv4Address(destination.partition("[")[0]),
        spi=int(_word(r"spi=\d+\(0x([0-9a-f]+)\)", block), 16),
        mode=_word(r"mode=(\w+)", block),
        state=_word(r"state=(\w+)", block),
        encryption=algorithms.get("E", ""),
        integrity=algorithms.get("A", ""),
    )


def _word(pattern: str, block: str) -> str:
    found = re.search(pattern, block)
    return found[1] if found else ""
