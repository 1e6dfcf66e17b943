"""A host that ipsec_apply can work on: a temporary root with a simulated systemd and a simulated daemon."""

from __future__ import annotations

import json
import socketserver
import threading
from pathlib import Path

from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.deployment import Deployment, Target
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.files import WantedFile
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.gateway_rules import GatewayRules
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.linux import Linux
from ansible_collections.tanuki.ipsec.plugins.module_utils.deploy.manifest import keyed_digest

KEY = "00" * 32
SERVICE = "tanuki-iked.service"
GATEWAY_SERVICE = "tanuki-ipsec-gateway.service"
CONTENTS = {
    "application": b"program 1",
    "unit": b"[Service]\n",
    "sysctl": b"net.ipv4.ip_forward = 1\n",
    "configuration": b"interface { };\n",
    "psk": b"a secret key",
    "gateway": b"#!/bin/sh\n",
    "gateway_unit": b"[Unit]\n",
}


class SimulatedControl(socketserver.StreamRequestHandler):
    """Answers requests on the control socket with what the server was told to answer."""

    def handle(self):
        command = json.loads(self.rfile.readline())["command"]
        self.server.requests.append(command)
        tunnels = self.server.tunnels.pop(0) if command == "status" and self.server.tunnels else []
        self.wfile.write(json.dumps({"status": {"tunnels": tunnels}, **self.server.answer}).encode() + b"\n")


class SimulatedHost:
    """A temporary root with a simulated systemd, and a daemon's check that refuses what holds the word `wrong`."""

    def __init__(self, root):
        self.root = root
        self.active = self.enabled = self.starting = False
        self.gateway_active = self.gateway_enabled = False
        self.rules_loaded = True  # what the packet filter says
        self.programs = {"nft"}
        self.commands = []
        self.failing = ""
        self.mute = False  # systemctl says nothing, and that all went well
        self.paths = {
            "application": root / "lib/ike.pyz",
            "unit": root / SERVICE,
            "sysctl": root / "90-tanuki-ipsec.conf",
            "configuration": root / "etc/racoon2.conf",
            "psk": root / "etc/psk/osaka.psk",
            "gateway": root / "lib/gateway",
            "gateway_unit": root / GATEWAY_SERVICE,
        }
        for setting in ("ip_forward",):
            (root / "proc/net/ipv4").mkdir(parents=True)
            (root / "proc/net/ipv4" / setting).write_text("0\n")
        self.control = socketserver.ThreadingUnixStreamServer(str(root / "control.sock"), SimulatedControl)
        self.control.requests = self.commands
        self.control.answer = {"ok": True, "changes": {"changed": ["osaka"]}}
        self.control.tunnels = []  # what each request for the status is answered with, one after the other
        threading.Thread(target=self.control.serve_forever, args=(0.01,), daemon=True).start()
        self.target = Target(
            run=self.run,
            system=Linux(self.run, SERVICE, root / "control.sock", "python3", self.gateway(), root / "proc"),
            state_directory=root / "state",
            directories={root / "etc": 0o700, root / "etc/psk": 0o700, root / "lib": 0o755},
            python="python3",
            settings={"net.ipv4.ip_forward": "1"},
        )

    def gateway(self):
        return GatewayRules(
            self.run,
            GATEWAY_SERVICE,
            self.paths["gateway"],
            ("nftables", "iptables"),
            lambda name: name in self.programs,
        )

    def run(self, command):
        verb = command[1]
        if command[0] == "/bin/sh":
            return self.script(*command[1:])
        if command[-1] == GATEWAY_SERVICE:
            return self.run_gateway(verb)
        if command[0] == "python3":
            return self.check(command)
        if command[0] == "journalctl":
            return 0, "the daemon's last words\n", ""
        if verb == "show" and self.mute:
            return 0, "", ""
        if verb == "show":
            state = "active" if self.active else "activating" if self.starting else "inactive"
            enabled = "enabled" if self.enabled else "disabled"
            return 0, f"ActiveState={state}\nUnitFileState={enabled}\nNeedDaemonReload=no\n", ""
        self.commands.append(verb)
        self.enabled = self.enabled or verb == "enable"
        self.active = self.active or verb in ("start", "restart")
        return 1 if verb == self.failing else 0, "", "Job failed.\n"

    def script(self, path, verb):
        if verb == "check" and b"wrong" in Path(path).read_bytes():
            return 1, "", "syntax error, unexpected wrong\n"
        if verb == "check" and b"useless" in Path(path).read_bytes():
            return 0, "", "neither nftables nor iptables works on this host\n"
        return 0 if verb == "check" or self.rules_loaded else 1, "", ""

    def run_gateway(self, verb):
        if verb == "show":
            active, enabled = self.gateway_active, self.gateway_enabled
            return (
                0,
                f"ActiveState={'' if active else 'in'}active\nUnitFileState={'en' if enabled else 'dis'}abled\n",
                "",
            )
        self.commands.append("gateway " + verb)
        self.gateway_enabled = verb == "enable" or (self.gateway_enabled and verb != "disable")
        self.gateway_active = verb == "start" or (self.gateway_active and verb != "stop")
        return 0, "", ""

    def check(self, command):
        if command[1] == "-c":
            return 0, "", ""
        path = command[-1]
        if b"wrong" in Path(path).read_bytes():
            return 1, "", f"{path}:1:13: syntax error\n"
        return 0, "", ""

    def wanted(self, **contents):
        return [
            WantedFile(self.paths[role], role, 0o600, keyed_digest(KEY, content), content)
            for role, content in {**CONTENTS, **contents}.items()
        ]

    def deployment(self, wanted=None):
        return Deployment(self.target, self.wanted() if wanted is None else wanted, KEY)

    def deploy(self, wanted=None, dry=False):
        self.commands.clear()
        return self.deployment(wanted).apply(dry=dry)

    def close(self):
        self.control.shutdown()
        self.control.server_close()

    def files(self):
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())
