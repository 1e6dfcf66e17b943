"""Which apt sources build the image: the host's own, so that it works behind a mirror or a proxy."""

from __future__ import annotations

import subprocess
from pathlib import Path

SUITE = "bookworm"
SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")


def host_sources(directory: Path = Path("/etc/apt")) -> list[str]:
    """The host's apt sources for this Debian release's main component, as one-line entries ("deb … bookworm main").

    Empty when the host is no Debian of that release: then mmdebstrap's own default serves.
    """
    files = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]
    found = []
    for file in files:
        if file.suffix == ".sources":
            found += _from_stanzas(file.read_text())
        elif file.suffix == ".list" and file.exists():
            found += _from_entries(file.read_text())
    return found


def host_proxies() -> list[str]:
    """The host's apt proxy settings, as lines of apt.conf."""
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    return [line for line in dump.splitlines() if line.startswith("Acquire::") and "::Proxy" in line]


def _from_entries(text: str) -> list[str]:
    """The wanted lines of a one-line style file."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line.startswith("deb ") and _serves(line.split())]


def _serves(words: list[str]) -> bool:
    return "main" in words and any(suite in words for suite in SUITES)


def _from_stanzas(text: str) -> list[str]:
    """The wanted stanzas of a deb822 style file, rewritten in one-line style."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [entry for stanza in lines.split("\n\n") for entry in _from_stanza(stanza)]


def _from_stanza(stanza: str) -> list[str]:
    pairs = (line.partition(":") for line in stanza.splitlines())
    fields = {name.strip().lower(): value.split() for name, _, value in pairs}
    if "deb" not in fields.get("types", []) or "main" not in fields.get("components", []):
        return []
    key = fields.get("signed-by", [])
    option = f"[signed-by={key[0]}] " if key else ""
    suites = [suite for suite in fields.get("suites", []) if suite in SUITES]
    return [f"deb {option}{uri} {suite} main" for uri in fields.get("uris", []) for suite in suites]
