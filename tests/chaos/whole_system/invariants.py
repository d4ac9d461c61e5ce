"""The invariants of the whole system, from kernels, routers, endpoints, clients and processes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.pool import check_floor, difference, wanted
from tests.chaos.whole_system.balancer import Usage
from tests.chaos.whole_system.clients import Clients
from tests.chaos.whole_system.fault import Consequences, Pair
from tests.chaos.whole_system.site import PREFERRED, VIPS, Site

PATIENCE = 60.0
"""Seconds within which an invariant must hold on an idle machine: twice the hold time of BGP."""
_DESCRIPTORS, _PROCESSES, _MEMORY = 16, 2, 40 << 20
"""The growth that is no leak: connections of checks and requests, a command, and caches."""
_MEMORIES = {"ipvs-writer": 300.0, "checker": 60.0, "flapping": 600.0}
"""Kinds of alert that last by design, and how many seconds after their cause."""
_ALWAYS = re.compile("event loop held|a frozen loop")
"""The texts of alerts that a slow machine raises at any time."""
_ENDPOINTS = ("/alerts", "/pools", "/metrics", "/v1/status")


class BrokenInvariantError(AssertionError):
    """An invariant that did not hold within its time."""


@dataclass(frozen=True, slots=True)
class View:
    """The documents of a balancer and its table at about the same time."""

    alerts: Sequence[Mapping[str, Any]]
    pools: Mapping[str, Mapping[str, Any]]
    table: Mapping[str, Mapping[str, int]]


class Invariants:
    """The checks of a site, with the alerts that may still last and the first usage of each process."""

    def __init__(self, site: Site, clients: Clients, patience: float) -> None:
        self._site = site
        self._clients = clients
        self._until: dict[tuple[str, str], float] = {}
        self._first: dict[int, Usage] = {}
        self._patience = patience

    def check(self, consequences: Consequences, what: str) -> None:
        """Wait until all invariants hold under the consequences of the present faults.

        Raises BrokenInvariantError.
        """
        began, seen = time.monotonic(), set[Pair]()
        while True:
            views = self._views(consequences)
            self._check_always(views, consequences)
            seen |= {(name, each["kind"]) for name, view in views.items() for each in view.alerts}
            problems = list(self._problems(views, consequences, began))
            problems += [f"alerts: {name} raised no alert {kind}" for name, kind in consequences.passing - seen]
            if not problems:
                break
            if time.monotonic() - began > self._patience:
                raise BrokenInvariantError(f"{what}, after {time.monotonic() - began:.0f} s: " + "\n  ".join(problems))
            time.sleep(0.5)
        self._remember(consequences)

    def check_usage(self) -> None:
        """Check that no daemon has more descriptors, processes or memory than soon after its start."""
        for balancer in self._site.balancers:
            usage = balancer.usage()
            first = self._first.setdefault(balancer.daemon.process.pid, usage)
            grown = (
                usage.descriptors > first.descriptors + _DESCRIPTORS
                or usage.processes > first.processes + _PROCESSES
                or usage.memory > first.memory + _MEMORY
            )
            if grown:
                raise BrokenInvariantError(f"leak: {balancer.name} has {usage}, after its start {first}")

    def _views(self, consequences: Consequences) -> dict[str, View]:
        """Return the views of the balancers that respond."""
        found = {}
        for balancer in self._site.balancers:
            if balancer.name in consequences.dead | consequences.silent:
                continue
            alerts = balancer.document("/v1/alerts")
            pools = {name: balancer.document(f"/v1/pools/{name}") for name in balancer.document("/pools") or ()}
            if alerts is not None and pools and all(pools.values()):
                found[balancer.name] = View(alerts, pools, balancer.table())
        return found

    def _check_always(self, views: Mapping[str, View], consequences: Consequences) -> None:
        """Check what must hold in every moment."""
        for balancer in self._site.balancers:
            if balancer.name not in consequences.dead and balancer.daemon.process.poll() is not None:
                raise BrokenInvariantError(f"ended: {balancer.name}\n{balancer.daemon.log[-3000:]}")
            log = balancer.daemon.log
            if "Traceback" in log:
                at = log.index("Traceback")
                raise BrokenInvariantError(f"traceback: {balancer.name}\n{log[max(0, at - 500) : at + 4000]}")
        for name, view in views.items():
            for pool in view.pools.values():
                try:
                    check_floor(pool)
                except AssertionError as broken:
                    raise BrokenInvariantError(f"{broken} ({name})") from None
        for router in consequences.unservable():
            self._clients.excuse(router)
        if gaps := list(self._clients.unanswered(time.monotonic() - self._patience)):
            raise BrokenInvariantError(f"clients: no response for {'; '.join(gaps)}")

    def _problems(self, views: Mapping[str, View], consequences: Consequences, began: float) -> Iterator[str]:
        """Yield what does not hold yet."""
        for balancer in self._site.balancers:
            responds = balancer.name in views and all(map(balancer.get, _ENDPOINTS))
            if not responds and balancer.name not in consequences.dead | consequences.silent:
                yield f"endpoints: {balancer.name} does not respond"
        for name, view in views.items():
            yield from self._kernel(name, view, consequences)
            yield from self._alerts(name, view, consequences)
        yield from self._announced(consequences)
        served = [line for line in self._clients.unanswered(began) if not _excused(line, consequences)]
        if served:
            yield f"clients: no response for {'; '.join(served)}"

    def _kernel(self, name: str, view: View, consequences: Consequences) -> Iterator[str]:
        """Yield the differences between the servers, the pools and the kernel."""
        if set(view.pools) != set(VIPS):
            yield f"servers: {name} has the pools {sorted(view.pools)}"
            return
        for pool in view.pools.values():
            if name not in consequences.unwritten and (different := difference(pool, view.table.get(pool["vip"], {}))):
                yield f"kernel: {name} {pool['service']}: {different}"
        if name in consequences.unchecked:
            return
        for pool in view.pools.values():
            placed, serving = wanted(pool), self._site.serving(pool["service"])
            if not serving.items() <= placed.items():
                yield f"servers: {name} {pool['service']} has {placed}, but {serving} serve"
            elif len(serving) >= pool["floor"] and placed != serving:
                yield f"servers: {name} {pool['service']} has {placed}, but only {serving} serve"

    def _alerts(self, name: str, view: View, consequences: Consequences) -> Iterator[str]:
        """Yield the alerts that are missing, and those without a cause."""
        present = {each["kind"] for each in view.alerts}
        expected = consequences.raised | consequences.passing | consequences.possible
        for balancer, kind in consequences.raised:
            if balancer == name and kind not in present:
                yield f"alerts: {name} has no alert {kind}"
        for each in view.alerts:
            pair = (name, each["kind"])
            if pair in expected or _ALWAYS.search(each["text"]):
                continue
            if self._until.get(pair, 0.0) < time.monotonic():
                yield f"alerts: {name} has {each['kind']} of {each['service']}: {each['text']}"

    def _announced(self, consequences: Consequences) -> Iterator[str]:
        """Yield the routes that are missing in a router, and those that should not be there."""
        for router_name, router in self._site.routers.items():
            if not router.program.responds:
                continue
            for number, balancer in enumerate(self._site.balancers, 1):
                pair = (balancer.name, router_name)
                if pair in consequences.undecided:
                    continue
                gone = pair in consequences.withdrawn or balancer.name in consequences.dead
                expected = {str(vip): 0 if PREFERRED[name] == number else 100 for name, vip in VIPS.items()}
                routes = router.routes(balancer.host)
                if routes != ({} if gone else expected):
                    yield f"announced: {router_name} has {routes} from {balancer.name}"

    def _remember(self, consequences: Consequences) -> None:
        """Keep how long alerts of the present faults may last by design."""
        for pair in consequences.raised | consequences.passing | consequences.possible:
            if memory := _MEMORIES.get(pair[1]):
                self._until[pair] = time.monotonic() + memory + self._patience


def _excused(line: str, consequences: Consequences) -> bool:
    return any(f" through {router} " in line for router in consequences.unservable())
