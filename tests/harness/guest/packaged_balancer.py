"""The installed package under systemd, with servers, a router and a client in namespaces.

The session with the router has MD5 signatures. Two services share the VIP: ``web`` is checked by HTTP, idle connections, pings and a command, ``tls`` by verified HTTPS and TLS.
"""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.harness.certificates import Authority
from tests.harness.daemon_process import wait_for
from tests.harness.guest.network import VIP, LVSNetwork, lab
from tests.harness.guest.router import ASN, BALANCER_ASN, BirdRouter

ETC = Path("/etc/pybal")
UNIT = "pybal.service"
DROP_INS = Path("/etc/systemd/system/pybal.service.d")
PASSWORD = "s3cret-Word"
ENDPOINT = "http://127.0.0.1:9090"
SEEN = Path("/run/pybal/command")
"""The file in which the command of RunCommand reports its own state."""
CONF = f"""\
[DEFAULT]
protocol = tcp
ip = {VIP}
scheduler = {{scheduler}}
config = file:///etc/pybal/pools/web

[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
control-group = adm
bgp = yes
bgp-local-asn = {BALANCER_ASN}
bgp-peer-asn = {ASN}
bgp-peer-address = 10.0.0.9
bgp-local-address = 10.0.0.1
bgp-nexthop-ipv4 = 10.0.0.1
bgp-md5-password-file = {{password}}
bgp-hold-time = 30
{{general}}

[web]
port = 80
monitors = ['ProxyFetch', 'IdleConnection', 'ICMP', 'RunCommand']
proxyfetch.url = ['http://www.example.org/']
icmp.interval = 3
runcommand.command = {{command}}
runcommand.arguments = [ server.host ]
runcommand.interval = 5

[tls]
port = 443
monitors = ['ProxyFetch', 'TLS']
proxyfetch.url = ['https://www.example.org/']
proxyfetch.verify = yes
proxyfetch.ca = /etc/pybal/ca.pem
tls.verify = yes
tls.ca = /etc/pybal/ca.pem
tls.name = www.example.org
"""
_COMMAND = f"""\
#!/bin/sh
{{{{
    cat /proc/self/status
    echo "Score: $(cat /proc/self/oom_score_adj)"
    for place in /etc /root /usr /var/lib/pybal /tmp; do touch $place/written 2>/dev/null && echo "Writable: $place"; done
    ping -c 1 -W 5 "$1" >/dev/null 2>&1 && echo "Ping: ok"
}}}} >{SEEN}.$$ && mv {SEEN}.$$ {SEEN}
{{more}}
"""


class PackagedBalancer:
    """``pybal.service``; tests that change the configuration restore it by :meth:`configure`."""

    def __init__(self, network: LVSNetwork, router: BirdRouter) -> None:
        self.network = network
        self.router = router

    def configure(
        self,
        *,
        scheduler: str = "wrr",
        password: str = "/etc/pybal/bgp.md5",
        command: str = "/etc/pybal/check",
        general: str = "",
        more: str = "",
    ) -> None:
        """Write pybal.conf, with ``general`` in its first section and ``more`` after its last."""
        text = CONF.format(scheduler=scheduler, password=password, command=command, general=general)
        (ETC / "pybal.conf").write_text(text + more)

    def command(self, more: str = "", path: Path = ETC / "check") -> None:
        """Write the command of RunCommand; ``more`` are lines of shell at its end."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(_COMMAND.format(more=more))
        new.chmod(0o755)
        new.replace(path)  # a shell that runs the old command goes on reading it

    def seen(self) -> dict[str, str]:
        """Return what a command that starts from now on sees: the fields of its /proc/self/status, and more."""
        SEEN.unlink(missing_ok=True)
        wait_for(SEEN.exists, self.log)
        lines = SEEN.read_text().splitlines()
        return {name: ", ".join(v for k, v in map(_field, lines) if k == name) for name, _ in map(_field, lines)}

    def systemctl(self, *words: str) -> str:
        """Run systemctl for the unit and return its output. Raises AssertionError with it if it fails."""
        done = attempt("systemctl", *words, UNIT)
        assert done.returncode == 0, done.stdout + self.log()
        return done.stdout

    def show(self, name: str) -> str:
        """Return a property of the unit."""
        return show(name)

    def log(self) -> str:
        """Return the last lines of the journal of the unit."""
        return run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager", "-n", "60")

    def get(self, path: str) -> str:
        """Return the body at ``path``, or an empty text."""
        try:
            with urllib.request.urlopen(ENDPOINT + path, timeout=10) as answer:
                return str(answer.read(), "utf-8")
        except OSError:
            return ""

    def healthy(self) -> bool:
        """Return whether all servers are pooled and the router has the route."""
        pooled = all(self.get(f"/pools/{name}").count("enabled/up/pooled") == 2 for name in ("web", "tls"))
        return pooled and self.routed()

    def routed(self) -> bool:
        """Return whether the router has a route to the VIP."""
        return self.router.next_hop() == "10.0.0.1"

    def wait(self, done: Callable[[], object], what: str) -> None:
        wait_for(
            done,
            lambda: f"{what}\n{self.get('/v1/alerts')}\n{self.get('/pools/web')}{self.get('/pools/tls')}{self.log()}",
        )

    def start(self) -> None:
        """Start the unit if it does not run, and wait until it is healthy."""
        self.systemctl("start")
        self.wait(self.healthy, "healthy")

    def become_user(self) -> None:
        """Enable the shipped drop-in ``user.conf`` for the next start."""
        DROP_INS.mkdir(parents=True, exist_ok=True)
        (DROP_INS / "user.conf").symlink_to("/usr/share/pybal/user.conf")
        run("systemctl", "daemon-reload")
        run("chgrp", "pybal", "/etc/pybal/bgp.md5")
        run("chmod", "640", "/etc/pybal/bgp.md5")
        run("sysctl", "--quiet", "net.ipv4.ping_group_range=0 2147483647")

    def become_root(self) -> None:
        """Disable the drop-in for the next start."""
        (DROP_INS / "user.conf").unlink()
        run("chgrp", "root", "/etc/pybal/bgp.md5")
        run("systemctl", "daemon-reload")

    def main_pid(self) -> int:
        return int(self.show("MainPID"))

    def processes(self) -> dict[int, str]:
        """Return the command lines of all processes of the unit by process ID."""
        group = self.show("ControlGroup")
        if not group:
            return {}
        numbers = Path(f"/sys/fs/cgroup{group}/cgroup.procs").read_text().split()
        found = {}
        for number in numbers:
            with suppress(OSError):  # it has ended
                found[int(number)] = Path(f"/proc/{number}/cmdline").read_text().replace("\0", " ")
        return found

    def exabgp(self) -> int:
        """Return the process ID of ExaBGP."""
        (number,) = (n for n, command in self.processes().items() if "exabgp" in command and "relay" not in command)
        return number


def show(name: str) -> str:
    """Return a property of the unit, which may be absent."""
    return run("systemctl", "show", "--value", "-p", name, UNIT).strip()


def table() -> str:
    """Return the IPVS table as commands of ipvsadm."""
    return run("ipvsadm", "--save", "--numeric")


def status(process: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    return dict(map(_field, Path(f"/proc/{process}/status").read_text().splitlines()))


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()


def attempt(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command; its output, with the errors in it, is ``stdout``."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def run(*command: str) -> str:
    """Return the output of a command. Raises AssertionError with it if the command fails."""
    done = attempt(*command)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@contextmanager
def packaged_balancer(directory: Path) -> Iterator[PackagedBalancer]:
    """Provide servers, router, client and configuration for the unit, which is not started."""
    with lab(here=True) as network:
        authority = Authority(directory)
        certificate = authority.issue("www", host="www.example.org")
        for server in network.servers:
            server.serve()
            server.popen(
                [
                    "openssl",
                    "s_server",
                    "-quiet",
                    "-www",
                    "-accept",
                    "443",
                    "-cert",
                    str(certificate),
                    "-key",
                    str(certificate),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        router = BirdRouter(network.add("router", 9), directory, [network.director], password=PASSWORD, hold_time=30)
        balancer = PackagedBalancer(network, router)
        (ETC / "pools").mkdir(parents=True, exist_ok=True)
        (ETC / "pools/web").write_text("".join(f"{{'host': '{server.address}'}}\n" for server in network.servers))
        (ETC / "ca.pem").write_bytes(authority.file.read_bytes())
        (ETC / "bgp.md5").write_text(PASSWORD + "\n")
        (ETC / "bgp.md5").chmod(0o600)
        balancer.command()
        balancer.configure()
        yield balancer
        attempt("systemctl", "stop", UNIT)
