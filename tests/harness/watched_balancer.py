"""A balancer for monitoring systems: a daemon, a router (BIRD) and servers, in a network namespace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.harness.bird_session import GLOBAL, Bird, bird
from tests.harness.daemon_process import Daemon, WebServer, daemon, run_pybal
from tests.harness.guest import namespace

URL = "http://127.0.0.1:9090"
_PORT = 8080
_HOSTS = {"web": ("127.0.1.1", "127.0.1.2", "127.0.1.3"), "api": ("127.0.2.1", "127.0.2.2")}
_VIPS = {"web": "192.0.2.1", "api": "192.0.2.2"}
_NEXT_HOP = "10.9.0.1"
_CONF = f"""\
{GLOBAL}control-socket = {{directory}}/control.sock

[DEFAULT]
protocol = tcp
port = {_PORT}
scheduler = wrr
config = file://{{directory}}/%(__name__)s.pool
monitors = ['ProxyFetch']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.3

[web]
ip = {_VIPS["web"]}

[api]
ip = {_VIPS["api"]}
depool-threshold = 0
"""


class WatchedBalancer:
    """The running parts: the services ``web`` with three servers, and ``api``, which may lose both."""

    def __init__(self, directory: Path, router: Bird) -> None:
        self.directory = directory
        self.router = router
        self.conf = directory / "pybal.conf"
        self.conf.write_text(_CONF.format(directory=directory))
        self.servers = {host: WebServer(host, _PORT) for hosts in _HOSTS.values() for host in hosts}
        for name, hosts in _HOSTS.items():
            self.list_servers(name, *hosts)
        self.running: Daemon

    @contextmanager
    def started(self) -> Iterator[None]:
        """Run the daemon; returns when it has no alert."""
        prefix = ("env", *(f"{name}_DIRECTORY={self.directory}" for name in ("RUNTIME", "STATE")))
        with daemon(self.directory, prefix=prefix, endpoint=URL) as self.running:
            self.wait_until_healthy()
            yield

    def list_servers(self, service: str, *hosts: str) -> None:
        """Write the list of a service."""
        (self.directory / f"{service}.pool").write_text("".join(f"{{'host': '{host}'}}\n" for host in hosts))

    def wait_until_healthy(self) -> None:
        """Wait until all servers are pooled, both VIPs are announced and no alert is left."""
        get = self.running.get
        announced = tuple(f'pybal_bgp_vip_announced{{vip="{vip}"}} 1.0\n' for vip in _VIPS.values())
        self.running.wait(lambda: all(line in get("/metrics") for line in announced), "both VIPs announced")
        pooled = {name: len(hosts) for name, hosts in _HOSTS.items()}
        self.running.wait(
            lambda: {name: get(f"/pools/{name}").count("/up/pooled") for name in pooled} == pooled, "all servers pooled"
        )
        self.running.wait(lambda: get("/v1/alerts", "application/json") == "[]", "no alert")

    def wait_for_alert(self, text: str) -> None:
        """Wait until an alert has this text, such as ``web down``."""
        self.running.wait(lambda: text in self.running.get("/v1/alerts"), f"the alert {text!r}")

    def pybal(self, command: str) -> None:
        """Run a command of the operator."""
        done = run_pybal(command, "--socket", str(self.directory / "control.sock"), "--reason", "test")
        assert done.returncode == 0, done.stderr


@contextmanager
def watched_balancer(directory: Path) -> Iterator[WatchedBalancer]:
    """Run the balancer in a fresh namespace, in which the test stays; needs root and bird."""
    with ExitStack() as stack:
        stack.enter_context(namespace.fresh())
        for address in (*_VIPS.values(), _NEXT_HOP):
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
        balancer = WatchedBalancer(directory, stack.enter_context(bird(directory)))
        for server in balancer.servers.values():
            stack.callback(server.stop)
        stack.enter_context(balancer.started())
        yield balancer
