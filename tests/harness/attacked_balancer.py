"""A probed balancer under attack: limits on its loop and memory, and the route of another service."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tests.harness.daemon_process import wait_for
from tests.harness.loop_probe import KINDS
from tests.harness.probed_balancer import FIRST, ProbedBalancer

RESOLVER = "127.240.0.53"
"""The address of the daemon's DNS server, which no test needs to run."""
PORT = 8082
"""The port of the attackers' services."""
GROWTH = 48 * 1024
"""KiB by which the daemon may grow under one attack, while it lasts."""

LIMIT = float(os.environ.get("LIMIT", "90"))
"""Seconds of a wait, at most: for a busy machine."""

_OWN_RESOLVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


class AttackedBalancer(ProbedBalancer):
    """A daemon with the service ``unrelated``, whose servers and route no attack may touch.

    Attackers are reached at :data:`PORT`. Its DNS server is :data:`RESOLVER`. It saves no lists.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, services=0, servers=0)
        # Holds of the loop are measured. ExaBGP reads the floods of routers in one thread, on a busy machine for longer than 9 s.
        self.hold_time = 90
        resolv_conf = directory / "resolv.conf"
        resolv_conf.write_text(f"nameserver {RESOLVER}\noptions timeout:1\n")
        self.prefix = (
            *FIRST,
            "env",
            "PYTHONFAULTHANDLER=1",
            "unshare",
            "--mount",
            "sh",
            "-c",
            _OWN_RESOLVER,
            str(resolv_conf),
        )
        self.measured: Callable[[str, object], None] = lambda _name, _measure: None
        """Called with the name of each attack, and with its longest hold and its growth."""
        self.write()

    def write(self, services: Mapping[str, str] | None = None, general: str = "", access: str = "") -> None:
        """Write pybal.conf with services, whose options are lines, beside ``unrelated``.

        ``general`` are lines of [global], ``access`` are sections of sources.
        """
        self.general = f"max-blast-radius = 1\nipvs-remove-grace = 1\ncontrol-group = daemon\n{general}\n"
        sections = (
            f"\n[{name}]\nip = 192.0.3.{number + 1}\nport = {PORT}\n{options}\n"
            for number, (name, options) in enumerate((services or {}).items())
        )
        self.configure("wrr", 5, f"\n{access}\n" + "".join(sections))

    def reload(self, services: Mapping[str, str] | None = None, general: str = "", access: str = "") -> None:
        """Use these services, and no others beside ``unrelated``."""
        self.write(services, general, access)
        outcome = self.process.reload()
        assert outcome["accepted"], outcome["problems"]

    def pool_file(self, name: str, *hosts: str) -> str:
        """Write a list and return its URL."""
        file = self.directory / f"{name}.pool"
        new = file.with_suffix(".new")
        new.write_text("".join(f"{{'host': '{host}'}}\n" for host in hosts))
        new.rename(file)
        return f"file://{file}"

    def pool(self, name: str) -> dict[str, Any]:
        """Return the pool of a service, empty without a response."""
        return cast("dict[str, Any] | None", self.process.get_json(f"/v1/pools/{name}")) or {}

    def servers_of(self, name: str) -> dict[str, dict[str, Any]]:
        """Return the servers of a service by host, with their health and reports."""
        return cast("dict[str, dict[str, Any]]", self.pool(name).get("servers", {}))

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts, and one of a daemon that does not respond."""
        found = self.process.get_json("/v1/alerts")
        return [{"kind": "no response"}] if found is None else cast("list[dict[str, Any]]", found)

    def wait(self, done: Callable[[], object], what: str) -> None:
        """Wait until ``done()`` is true."""
        wait_for(done, lambda: f"{what}\n{self.process.get('/v1/alerts')}\n{self.process.log[-3000:]}", LIMIT)

    def wait_for_health(self, health: str, *names: str) -> None:
        """Wait until each server of these services is ``up`` or ``down``."""
        for name in names:
            self.wait(lambda name=name: self._all(name, health), f"{name} {health}")  # type: ignore[misc]

    def _all(self, name: str, health: str) -> bool:
        servers = self.servers_of(name).values()
        return bool(servers) and all(server["health"] == health for server in servers)

    def wait_for_no_alert(self) -> None:
        """Wait until every alert has cleared."""
        self.wait(lambda: not self.alerts(), "no alert")

    # -- the bounds

    @contextmanager
    def attack(self, name: str, *, growth: int = GROWTH, kinds: Collection[str] = KINDS) -> Iterator[None]:
        """Fail if an attack holds the loop, takes memory, or touches the service beside.

        ``growth`` is in KiB. ``kinds`` are the records of the probe that are examined.
        """
        self.wait(lambda: self.route() and self._is_beside_pooled(), "the service beside")
        route, lines = self.route(), self._lines_of_beside()
        (self.proc / "clear_refs").write_text("5")  # VmHWM begins again
        before, began = self.memory("VmRSS"), self.probe.now()
        yield
        grown = self.memory("VmHWM") - before
        hold = self.probe.longest(began)
        held = f"{hold.cpu * 1e3:.0f} ms in {hold.call}" if hold else "less than 10 ms"
        kept = self.memory("VmRSS") - before
        self.measured(name, f"{grown / 1024:+.1f} MiB, {kept / 1024:+.1f} afterwards, {held}")
        assert self.route() == route
        assert self._lines_of_beside() == lines
        assert self._is_beside_pooled()
        self.probe.check(name, began, kinds=kinds)
        assert grown < growth, f"{name}: grew by {grown} KiB, wanted less than {growth}"

    def _is_beside_pooled(self) -> bool:
        servers = self.servers_of("unrelated").values()
        return [(each["health"], each["placement"]) for each in servers] == [("up", "pooled")] * 2

    def _lines_of_beside(self) -> list[str]:
        return [line for line in self.process.log.splitlines() if line.startswith("[unrelated")]

    def memory(self, field: str) -> int:
        """Return a size of the daemon in KiB: ``VmRSS``, or ``VmHWM`` for its peak."""
        status = (self.proc / "status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0])
