"""A balancer for users' tools: a daemon with pools in etcd, its web servers and their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Self

from tests.harness.daemon_process import Daemon, WebServer, daemon, free_port, run_pybal, wait_for
from tests.harness.servers.etcd import Etcd
from tests.harness.tools.check_pybal import check_pybal
from tests.harness.tools.check_pybal_ipvs_diff import check_pybal_ipvs_diff
from tests.harness.tools.nagios import Verdict
from tests.harness.tools.safe_service_restart import SafeServiceRestart

DIRECTORY = "/conftool/v1/pools/dc/cluster"
GLOBAL = """
[DEFAULT]
protocol = tcp
port = {port}
scheduler = wrr
config = etcd://localhost:{etcd}{directory}/%(__name__)s/
monitors = ['ProxyFetch']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.2

[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status}
ipvs-backend = memory
control-socket = {control}
"""


class Balancer:
    """The daemon, its etcd and its web servers; ``hosts`` has the addresses of each host."""

    def __init__(self, directory: Path, source: Etcd, hosts: Mapping[str, Sequence[str]]) -> None:
        self.directory = directory
        self.source = source
        self.address = {host: found[0] for host, found in hosts.items()}
        addresses = [address for found in hosts.values() for address in found]
        self.port = free_port(*addresses)
        self.status = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{self.status}"
        self.conf = directory / "pybal.conf"
        self.control = directory / "control.sock"
        self.servers = {host: [WebServer(address, self.port) for address in found] for host, found in hosts.items()}
        self.names = {address: host for host, found in hosts.items() for address in found}
        entries = ["127.0.0.1 localhost", *(f"{address} {host}" for address, host in self.names.items())]
        (directory / "hosts").write_text("".join(f"{entry}\n" for entry in entries))
        self.running: Daemon
        self._vips: dict[str, str] = {}

    def twin(self, directory: Path) -> Self:
        """Return a further balancer with the same pools and web servers; it does not stop them."""
        twin = copy(self)
        twin.directory, twin.conf, twin.control = directory, directory / "pybal.conf", directory / "control.sock"
        twin.status = free_port("127.0.0.1")
        twin.url = f"http://127.0.0.1:{twin.status}"
        (directory / "hosts").write_text((self.directory / "hosts").read_text())
        return twin

    def configure(self, sections: str) -> None:
        """Write pybal.conf; ``{port}`` and ``{directory}`` are filled in."""
        self._vips |= dict(re.findall(r"^\[(.+)\]\nip = (.+)$", sections, re.MULTILINE))
        text = GLOBAL.replace("{directory}", DIRECTORY).replace("{control}", str(self.control)) + sections
        if self.source.authority is None:
            text += "[etcd localhost:{etcd}]\ntls = no\n"
        self.conf.write_text(
            text.format(port=self.port, etcd=self.source.port, status=self.status, directory=self.directory)
        )

    @contextmanager
    def started(self) -> Iterator[Daemon]:
        trust = [f"SSL_CERT_FILE={self.source.authority.file}"] if self.source.authority else []
        own_hosts = f'mount --bind {self.directory}/hosts /etc/hosts && exec "$@"'
        prefix = ("env", *trust, "unshare", "--mount", "sh", "-c", own_hosts, "sh")
        with daemon(self.directory, prefix=prefix, endpoint=self.url) as self.running:
            yield self.running

    def stop(self) -> None:
        for server in (each for found in self.servers.values() for each in found):
            server.stop()

    def put(self, pool: str, host: str, pooled: str, weight: int = 10) -> None:
        self.source.put(f"{DIRECTORY}/{pool}/{host}", f'{{"weight": {weight}, "pooled": "{pooled}"}}')

    def fail(self, *hosts: str, status: int = 503) -> None:
        for server in (each for host in hosts for each in self.servers[host]):
            server.status = status

    def pybal(self, *arguments: str) -> None:
        command, *rest = arguments
        done = run_pybal(command, "--socket", str(self.control), *rest)
        assert done.returncode == 0, done.stderr

    def shows(self, pool: str, states: Mapping[str, str]) -> None:
        """Wait until ``/pools/POOL`` has exactly these servers and states."""
        wanted = "".join(f"{host}:\t{state}\n" for host, state in states.items())
        self.running.wait(
            lambda: sorted(self.running.get(f"/pools/{pool}").splitlines()) == sorted(wanted.splitlines()),
            f"{pool} with {states}, not {self.running.get(f'/pools/{pool}')!r}",
        )

    def serving(self, pool: str) -> frozenset[str]:
        """Return the hosts of a pool to which IPVS sends new connections and that are up."""
        states = self.running.get(f"/pools/{pool}")
        return frozenset(
            host for host, weight in self.in_table(pool).items() if weight and f"{host}:\tenabled/up/" in states
        )

    def in_table(self, pool: str) -> Mapping[str, int]:
        """Return the hosts of a pool that IPVS has, with their weights."""
        own = self._vips[pool]
        vip = re.escape(f"[{own}]" if ":" in own else own)
        destination = rf"^-a -t {vip}:\d+ -r \[?([^\]\s]+?)\]?:\d+ -\w -w (\d+)"
        found = re.findall(destination, self.running.get("/v1/ipvs"), re.MULTILINE)
        return {self.names[address]: int(weight) for address, weight in found}

    def check_pybal(self) -> Verdict:
        return check_pybal(self.url)

    def check_ipvs_diff(self) -> Verdict:
        return check_pybal_ipvs_diff(self.url, self.conf, self.running.get("/v1/ipvs"), self.names.__getitem__)

    def restart(self, pool: str, host: str, *, pooled: bool = True, applies: bool = True) -> Restart:
        """Run safe-service-restart for a server; ``pooled`` if the pool source has it with ``yes``.

        If the pool ``applies`` the values of the source, the tool looks when it has applied them.
        """
        return Restart(self, pool, host, pooled=pooled, applies=applies)


class Restart:
    """One run of safe-service-restart: its exit code, its log, and the facts at the restart.

    ``served_by`` are the other servers that served then, in order, ``None`` if it did not restart the service;
    ``checked`` is the result of check_pybal then.
    """

    def __init__(self, balancer: Balancer, pool: str, host: str, *, pooled: bool, applies: bool) -> None:
        self.served_by: list[str] | None = None
        self.still_in_table = False
        self.checked: Verdict | None = None
        self._balancer, self._pool, self._host = balancer, pool, host
        self.source = "yes" if pooled else "no"
        self._applies = applies
        url = f"{balancer.url}/pools/{pool}/{host}"
        tool = SafeServiceRestart([url], lambda: pooled, self._write, self._restart, wait=0.1)
        self.code = tool.run()
        self.log = tool.log

    def _write(self, value: str) -> None:
        self.source = value
        self._balancer.put(self._pool, self._host, value)
        if self._applies:
            wait_for(lambda: self._is_applied(value), lambda: f"{self._host} with {value} in {self._pool}")

    def _is_applied(self, value: str) -> bool:
        shown = self._balancer.running.get(f"/pools/{self._pool}")
        word = "enabled" if value == "yes" else "disabled"
        return f"{self._host}:\t" not in shown or f"{self._host}:\t{word}/" in shown

    def _restart(self) -> int:
        self.served_by = sorted(self._balancer.serving(self._pool) - {self._host})
        self.still_in_table = self._host in self._balancer.in_table(self._pool)
        self.checked = self._balancer.check_pybal()
        return 0
