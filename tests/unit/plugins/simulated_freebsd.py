"""A FreeBSD host that ipsec_apply can work on: a simulated rc.conf, kernel, rc.d and pkg."""

from __future__ import annotations

IFCONFIG = """\
em0: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tinet 210.11.11.11 netmask 0xffffff00 broadcast 210.11.11.255
em1: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tinet 192.168.10.1 netmask 0xffffff00 broadcast 192.168.10.255
\tinet6 fe80::1%em1 prefixlen 64 scopeid 0x2
"""
NETSTAT = """\
Routing tables

Internet:
Destination        Gateway            Flags     Netif Expire
default            210.11.11.1        UGS         em0
192.168.10.0/24    link#2             U           em1
"""


class SimulatedKernel:
    """PF_KEY's answer to registering."""

    algorithms = ("aes_cbc", "hmac_sha1", "hmac_sha2_256")

    def supports(self, name):
        return name in self.algorithms

    def close(self):
        pass


class SimulatedFreebsd:
    """``run`` is what the module's run_command is; ``told`` has every command that changes something."""

    def __init__(self):
        self.rc_conf = {"gateway_enable": "NO"}
        self.sysctl = {"net.inet.ip.forwarding": "0", "net.inet6.ip6.forwarding": "0"}
        self.running = set()
        self.failing = ()
        self.ifconfig, self.netstat = IFCONFIG, NETSTAT
        self.answers = {
            ("pkg", "query"): (0, "202000908\n", ""),
            ("/usr/local/sbin/iked", "-V"): (1, "iked 0.7 (20100526a)\nsyntax error\n", ""),
            ("openssl", "version"): (0, "OpenSSL 1.1.1w-freebsd  11 Sep 2023\n", ""),
        }
        self.told = []

    def run(self, command):
        handlers = {"sysctl": self._set, "sysrc": self._set, "service": self._service, "route": self._route}
        if command[0] in handlers:
            return handlers[command[0]](command)
        if command[0] in ("ifconfig", "netstat"):
            return 0, getattr(self, command[0]), ""
        return self.answers.get(tuple(command[:2]), (0, "", ""))

    def _set(self, command):
        table = self.rc_conf if command[0] == "sysrc" else self.sysctl
        if command[1] == "-n":
            known = command[2] in table
            return (0, table[command[2]] + "\n", "") if known else (1, "", "unknown variable\n")
        self.told.append(" ".join(command))
        if command[1] == "-x":
            del table[command[2]]
            return 0, "", ""
        name, _, value = command[1].partition("=")
        if name.endswith("-"):  # sysrc takes a word out of a list
            name = name[:-1]
            value = " ".join(word for word in table[name].split() if word != value)
        table[name] = value
        return 0, "", ""

    def _route(self, command):
        self.told.append(" ".join(command))
        target = command[-2]
        self.netstat = "".join(line for line in self.netstat.splitlines(True) if not line.startswith(target + " "))
        return 0, "", ""

    def _service(self, command):
        _word, name, verb = command
        if verb == "onestatus":
            return (0 if name in self.running else 1), "", ""
        self.told.append(" ".join(command))
        if (name, verb) in self.failing:
            return 1, "", "no available spmd I/F\n"
        if verb == "start" and self.rc_conf.get(name + "_enable") != "YES":
            return 1, "", "Cannot 'start' {0}. Set {0}_enable to YES in /etc/rc.conf\n".format(name)
        (self.running.add if verb == "start" else self.running.discard)(name)
        return 0, "", ""
