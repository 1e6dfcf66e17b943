"""How to reach the machines: the text of ssh_config, and commands run over it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.keys import Keys
from lab.machine import Machine

COMMON = """
Host *
    HostName 127.0.0.1
    User root
    IdentityFile "{key}"
    IdentitiesOnly yes
    UserKnownHostsFile "{known_hosts}"
    StrictHostKeyChecking yes
    LogLevel ERROR
"""

# One connection serves all that talk to a machine within a minute. Its socket lies in the lab's own folder: Ansible's
# default is a folder and a name that two labs would share.
SHARED = """\
    ControlMaster auto
    ControlPersist 60
    ControlPath "{folder}/%n"
"""
CONTROL_FOLDER_LIMIT = 75  # bytes: a unix socket's path has 107, and ssh adds up to 30

MACHINE = """
Host {name}
    Port {port}
    HostKeyAlias {name}

# The LAN client behind {name}.
Host {name}-client
    Port {port}
    User client
    HostKeyAlias {name}
"""


def ssh_config(machines: list[Machine], keys: Keys, sockets: Path) -> str:
    """The text of an ssh_config that reaches each machine by its site's name, and its LAN client by NAME-client.

    `sockets` is the folder for shared connections; where its path is too long, each command makes its own.
    ssh takes the first value that it finds for a keyword, so the common part stands last.
    """
    parts = [MACHINE.format(name=machine.site.name, port=machine.ssh_port) for machine in machines]
    parts.append(COMMON.format(key=keys.user_private_path, known_hosts=keys.known_hosts_path))
    if len(str(sockets).encode()) <= CONTROL_FOLDER_LIMIT:
        parts.append(SHARED.format(folder=sockets))
    return "".join(parts)


def run(config: Path, host: str, command: str, timeout: float = 60) -> subprocess.CompletedProcess:
    """Run a shell command on `host` ("tokyo", "tokyo-client"); text output, no exception on failure."""
    arguments = ["ssh", "-F", str(config), host, command]
    return subprocess.run(
        arguments, check=False, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )
