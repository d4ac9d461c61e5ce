"""The invariants of a running daemon, from its endpoints and from the real state of its servers."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, cast

from tests.chaos.faulty_servers import Mode
from tests.chaos.one_daemon.site import Site
from tests.chaos.pool import awaiting, check_floor, difference, pooled, wanted
from tests.harness.daemon_process import Daemon, wait_for

SETTLED = 25.0
"""Seconds after which a server must be up or down as it behaves: a back-off, a check, a busy machine."""
AGREEMENT = 15.0
"""Seconds within which pools, table and monitors must agree."""
HEALED = 90.0
"""Seconds within which everything must serve after the last fault: isolation is over after 60 s."""

_TABLE = re.compile(r"^-a -t (\S+):\d+ -r (\S+):\d+ -g -w (\d+)$", re.MULTILINE)
Document = dict[str, Any]


class Invariants:
    """The checks, with the time since when each server of each pool has been the same."""

    def __init__(self, site: Site, running: Daemon) -> None:
        self._site = site
        self._running = running
        self._since: dict[tuple[str, str], tuple[object, float]] = {}

    def check(self) -> None:
        """Check all invariants that hold in every moment."""
        assert self._running.process.poll() is None, "ended: the daemon"
        assert "Traceback" not in self._running.log, "traceback: in the log"
        assert not [each for each in self.alerts() if each["kind"] == "internal"], f"internal: {self.alerts()}"
        names = cast("list[str]", self._running.get_json("/pools"))
        # A service that returns after a reload checks its servers again.
        self._since = {key: facts for key, facts in self._since.items() if key[0] in names}
        for name in names:
            pool = self._pool(name)
            check_floor(pool)
            self._check_servers(pool)
            self._check_agreement(name)

    def check_healed(self) -> None:
        """Check that every server of the present lists is pooled, that no other is, and that no alert is left."""
        expected = {}
        for service in map(self._site.services.__getitem__, self._site.present):
            found = {self._site.dns.addresses.get(host, host): line.weight for host, line in service.lines.items()}
            expected[service.vip] = found
        wait_for(lambda: self._table() == expected, lambda: f"healed: {self._table()}, expected {expected}", HEALED)
        usual = {"too-small", "host"}
        wait_for(
            lambda: not [each for each in self.alerts() if each["kind"] not in usual],
            lambda: f"healed: {self.alerts()}",
            HEALED,
        )

    def alerts(self) -> list[Document]:
        return cast("list[Document]", self._running.get_json("/v1/alerts"))

    def _without_servers(self) -> set[str]:
        """Return the services with an alert that no server takes new connections."""
        return {each["service"] for each in self.alerts() if each["kind"] == "no-servers"}

    def _pool(self, name: str) -> Document:
        return cast("Document", self._running.get_json(f"/v1/pools/{name}"))

    def _table(self) -> Mapping[str, Mapping[str, int]]:
        """Return the weights in the table by VIP and address."""
        table: dict[str, dict[str, int]] = {}
        for vip, address, weight in _TABLE.findall(self._running.get("/v1/ipvs")):
            table.setdefault(vip, {})[address] = int(weight)
        return table

    def _check_servers(self, pool: Document) -> None:
        """Check that each server whose facts are old enough has the health that follows from them."""
        now = time.monotonic()
        service = next(each for each in self._site.services.values() if each.name == pool["service"])
        for host, server in pool["servers"].items():
            real = self._site.servers.get(server["address"] or "")
            kinds = [report["monitor"] for report in server["reports"]]
            facts = (
                server["address"],
                server["enabled"],
                real and real.mode,
                real and real.since,
                str(service.options),
            )
            if self._since.get((service.name, host), ((), 0.0))[0] != facts:
                self._since[service.name, host] = (facts, now)
            if real is None or not kinds or now - self._since[service.name, host][1] < SETTLED:
                continue
            if real.mode is Mode.SERVING:
                assert server["health"] == "up", f"servers: {host} serves and is not up: {server}"
            elif real.mode is Mode.STOPPED or (real.mode is not Mode.HUNG and "ProxyFetch" in kinds):
                assert server["health"] == "down", f"servers: {host} is {real.mode} and not down: {server}"

    def _check_agreement(self, name: str) -> None:
        """Check that ``/pools``, ``/v1/pools``, the alerts and the table agree, except during a change."""

        def disagreement() -> str:
            pool, table, words = self._pool(name), self._table(), self._running.get(f"/pools/{name}")
            expected = wanted(pool)
            shown = {
                host for host, status in re.findall(r"^(.+):\t(.+)$", words, re.MULTILINE) if status.endswith("/pooled")
            }
            if different := difference(pool, table.get(pool["vip"], {})):
                return different
            awaits = any(awaiting(pool["servers"].values()))
            if any(expected.values()) == (name in self._without_servers()) and not awaits:
                return f"pool {expected}, alerts {self.alerts()}"
            return "" if shown == set(pooled(pool)) else f"/pools {words}, pooled {set(pooled(pool))}"

        wait_for(lambda: not disagreement(), lambda: f"agreement: {name}: {disagreement()}", AGREEMENT)
