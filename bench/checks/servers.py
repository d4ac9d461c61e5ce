"""The checked servers: one nginx and one unbound on all loopback addresses, with counters.

The kernel counts connections in its own network namespace, because a connection that is reset before it is accepted never
reaches nginx. nginx counts HTTP responses, the kernel counts DNS responses.
"""

from __future__ import annotations

import contextlib
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.checks.load import HOST, NAME
from tests.harness.servers.process import Server, accepts

PORTS = {"tcp": 18080, "http": 18080, "idle": 18080, "https": 18443, "dns": 15353}

_NGINX = """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 15000; }}
http {{
    access_log off; client_header_timeout 1h; client_body_temp_path {directory}; proxy_temp_path {directory};
    fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};
    ssl_certificate {directory}/own.crt; ssl_certificate_key {directory}/own.key; ssl_session_cache off;
    ssl_session_tickets off; lingering_close off;
    server {{
        listen {http} backlog=16384; listen {https} ssl backlog=16384;
        location / {{ return 200 "ok\\n"; }} location /stub {{ stub_status; }}
    }}
}}
"""
_UNBOUND = """
server:
    interface: 0.0.0.0
    interface-automatic: yes
    port: {port}
    chroot: ""
    username: ""
    pidfile: ""
    directory: "{directory}"
    use-syslog: no
    logfile: "{directory}/log"
    num-threads: 1
    so-rcvbuf: 0
    local-zone: "test." static
    local-data: "{name}. A 192.0.2.7"
remote-control:
    control-enable: no
"""

Count = Callable[[], int]


@contextlib.contextmanager
def running(directory: Path) -> Iterator[None]:
    """Run all servers."""
    # With an elliptic curve the server's part of a handshake costs less than the client's.
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "9",
            ),
            *("-keyout", "own.key", "-out", "own.crt", "-subj", f"/CN={HOST}"),
        ],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    with _nginx(directory), _unbound(directory):
        yield


def _nginx(directory: Path) -> Server:
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, http=PORTS["http"], https=PORTS["https"]))
    command = ("/usr/sbin/nginx", "-p", str(directory), "-c", str(config), "-g", "user root;")
    return Server(command, directory, partial(accepts, PORTS["http"]))


def _unbound(directory: Path) -> Server:
    config = directory / "unbound.conf"
    config.write_text(_UNBOUND.format(port=PORTS["dns"], directory=directory, name=NAME))
    return Server(("/usr/sbin/unbound", "-d", "-c", str(config)), directory, partial(accepts, PORTS["dns"]))


def counter(kind: str) -> Count:
    """Return a function that counts the checks of a kind so far."""
    return {"tcp": _connections, "idle": _connections, "http": _requests, "https": _requests, "dns": _answers}[kind]


def _connections() -> int:
    return _snmp("Tcp:", "ActiveOpens")


def _answers() -> int:
    return _snmp("Udp:", "InDatagrams") // 2  # query and response


def _requests() -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS['http']}/stub") as answer:
        return int(answer.read().split()[9])


def _snmp(protocol: str, name: str) -> int:
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith(protocol))
    return int(values[names.index(name)])
