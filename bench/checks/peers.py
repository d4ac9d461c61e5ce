"""The peers: for each its kinds of check and its command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.checks.load import HOST, KINDS, NAME, Load

SOURCES = Path(__file__).resolve().parent.parent / "peers"

_HAPROXY = """
global
    nbthread 1
    maxconn 1000
    spread-checks 0
defaults
    timeout connect 5s
    timeout server 5s
    timeout client 5s
    timeout check 5s
listen bench
    bind unix@{directory}/haproxy.sock
    mode http
    {check}
"""
_HTTPCHK = f"""option httpchk
    http-check send meth GET uri /check ver HTTP/1.0 hdr Host {HOST} hdr User-Agent "Twisted PageGetter"
    http-check expect status 200"""

_KEEPALIVED_CHECKS = {
    "tcp": "TCP_CHECK { connect_timeout 5 }",
    "http": "HTTP_GET { connect_timeout 5\n url { path /check\n status_code 200 } }",
    "https": "SSL_GET { connect_timeout 5\n url { path /check\n status_code 200 } }",
    "dns": f"DNS_CHECK {{ connect_timeout 5\n type A\n name {NAME} }}",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A checker: ``program`` must be installed; ``command`` returns its command line."""

    title: str
    program: str
    kinds: Sequence[str]
    command: Callable[[Load], list[str]]

    @property
    def path(self) -> str:
        """Path of its program, empty if it is not installed."""
        return shutil.which(self.program, path="/usr/sbin:/usr/bin:/usr/local/bin") or ""


def engine(load: Load, tree: str = ".") -> list[str]:
    """Return the command of the engine of a checkout."""
    return ["env", f"--chdir={tree}", sys.executable, "-m", "bench.checks.engine", *load.arguments]


def _client(load: Load) -> list[str]:
    return [sys.executable, "-m", "bench.checks.clients", *load.arguments]


def _haproxy(load: Load) -> list[str]:
    options = {"https": f"check-ssl verify none no-ssl-reuse check-sni {HOST}"}.get(load.kind, "")
    inter = round(load.interval * 1000)
    config = load.directory / "haproxy.cfg"
    head = _HAPROXY.format(directory=load.directory, check="" if load.kind == "tcp" else _HTTPCHK)
    servers = (
        f"    server s{number} {address}:{load.port} check inter {inter}ms {options}\n"
        for number, address in enumerate(load.addresses)
    )
    config.write_text(head + "".join(servers))
    return ["/usr/sbin/haproxy", "-q", "-db", "-f", str(config)]


def _keepalived(load: Load) -> list[str]:
    config = load.directory / "keepalived.conf"
    check = _KEEPALIVED_CHECKS[load.kind]
    protocol = "UDP" if load.kind == "dns" else "TCP"
    servers = (f"real_server {address} {load.port} {{\n{check}\n}}\n" for address in load.addresses)
    config.write_text(
        f"virtual_server 192.0.2.1 {load.port} {{\ndelay_loop {load.interval:.2f}\nlvs_sched rr\nlvs_method DR\n"
        f"protocol {protocol}\n{''.join(servers)}}}\n"
    )
    pids = (f"--{name}={load.directory}/{name}" for name in ("pid", "checkers_pid"))
    return ["/usr/sbin/keepalived", "-n", "-C", "-f", str(config), *pids]


def _c(load: Load) -> list[str]:
    first, kind = str(load.addresses[0]), [] if load.kind == "dns" else [load.kind]
    program = compiled("dns" if load.kind == "dns" else "stream", load.directory)
    return [program, *kind, first, str(load.servers), str(load.port), str(load.interval)]


def compiled(name: str, directory: Path) -> str:
    """Return the program made of a C source, made now if it was not before."""
    program = directory / f"c-{name}"
    if not program.exists():
        source = SOURCES / f"{name}.c"
        subprocess.run(["cc", "-O2", "-Wall", "-o", str(program), str(source), "-lssl", "-lcrypto"], check=True)
    return str(program)


def of_commit(tree: str) -> Peer:
    """Return the engine of another commit, whose checkout is ``tree``."""
    return Peer(f"engine of {Path(tree).name}", "true", (*KINDS, "idle"), partial(engine, tree=tree))


PEERS = {
    "haproxy": Peer("HAProxy", "haproxy", ("tcp", "http", "https"), _haproxy),
    "keepalived": Peer("keepalived", "keepalived", ("tcp", "http", "https", "dns"), _keepalived),
    "c": Peer("C, an epoll loop", "cc", ("tcp", "http", "https", "dns"), _c),
    "treq": Peer("treq", "true", ("http", "https"), _client),
    "names": Peer("twisted.names", "true", ("dns",), _client),
}
