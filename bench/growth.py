"""The cost of events against the size of a pool: CPU of the decisions, without the checks.

One service with its controller, log, reconciler and a table in memory; the benchmark makes the list, the addresses and the
reports. Reports arrive as a check interval of 10 s delivers them (SIZE / 10 per second), at the start within a second.
``python -m bench growth --beside TREE`` runs the same on another checkout in turn and prints the ratio; modules that were
renamed since are found by their old names.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import inspect
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from random import Random
from typing import Any

SIZES = (100, 1000, 5000, 10_000, 20_000)
BESIDE = (100, 1000)
"""Sizes at which another tree is measured; 5,000 servers took ten minutes when the cost was quadratic."""
TURN = 0.01
BOUND = 0.05
"""Longest turn of the loop, in seconds of CPU."""
TARGET = 0.5e-3
"""CPU of one report when all servers go down, in seconds."""
RENAMED = {
    "pybal.core.model": "pybal.model",
    "pybal.daemon.controller": "pybal.controller",
    "pybal.ipvs.reconciler": "pybal.ipvs.reconcile",
    "pybal.runtime.log": "pybal.journal",
}


def main(options: Sequence[str] = ()) -> None:
    """Print a table of CPU seconds and of the longest turns."""
    parser = argparse.ArgumentParser("bench growth")
    parser.add_argument("--beside", type=Path, help="another checkout with its own .venv")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--journal", action="store_true", help="measure with a journal as well")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--journaled", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(options)
    if chosen.measure:
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps(OnePool(chosen.measure, Path(directory) if chosen.journaled else None).measure()))
        return
    for size in map(int, chosen.sizes.split(",")):
        own = run(Path.cwd(), size)
        other = run(chosen.beside, size) if chosen.beside and size in BESIDE else {}
        journaled = run(Path.cwd(), size, "--journaled") if chosen.journal else {}
        for name, (cpu, longest, count) in own.items():
            ratio = (
                f", {other[name][0] / cpu:.0f} times less than there ({other[name][0]:.2f} s)" if name in other else ""
            )
            target = f" (target {TARGET * 1e6:.0f})" if name in {"all down", "all back"} else ""
            print(
                f"  {size:6} servers, {name:8}: {cpu:6.3f} s, {cpu / count * 1e6:5.0f} us each{target}, "
                f"longest turn {longest * 1e3:3.0f} ms (bound {BOUND * 1e3:.0f}){ratio}",
                flush=True,
            )
            if name in journaled:
                more, held, _ = journaled[name]
                print(f"{'with a journal':>28}: {more:6.3f} s, longest turn {held * 1e3:3.0f} ms", flush=True)


def run(tree: Path, size: int, *more: str) -> Mapping[str, tuple[float, float, int]]:
    """Measure in another process, with the packages of a tree: CPU, longest turn and count by scenario."""
    python = tree / ".venv/bin/python"
    command = [python if python.exists() else sys.executable, Path(__file__), "--measure", str(size), *more]
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, stdout=subprocess.PIPE, check=True, text=True
    )
    found: Mapping[str, tuple[float, float, int]] = json.loads(done.stdout)
    return found


def module(name: str) -> Any:  # noqa: ANN401  # a module of this tree or of another
    """Import a module by its present or its former name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return importlib.import_module(RENAMED[name])


def finish(result: object) -> None:
    """Run a coroutine that does not wait; in former trees the call has returned the result itself."""
    if inspect.iscoroutine(result):
        with contextlib.suppress(StopIteration):
            result.send(None)
            raise AssertionError(f"{result} waits")


def log_to_nothing() -> Any:  # noqa: ANN401  # an ILogObserver
    """Return an observer that formats the log of the daemon, with its default limit, and writes nothing."""
    log = module("pybal.runtime.log")
    if hasattr(log, "Log"):
        return log.Log(lambda _: None, burst=50)
    return log.observer(io.StringIO(), {}, debug=False)


def recorder(directory: Path, clock: Any) -> Any:  # noqa: ANN401  # of this tree only
    """Return a journal in a directory."""
    clocks, turns = module("pybal.runtime.clocks"), module("pybal.runtime.turns").Turns
    calendar = clocks.Calendar(clock.seconds, lambda: datetime.now(UTC))
    return module("pybal.journal.recorder").Recorder(
        directory / "journal",
        100_000_000,
        clock=clock,
        turns=turns(clock, now=time.process_time),
        threads=None,
        read=calendar.read,
        host="lvs1",
        version="2",
    )


class ListedSource:
    """A pool source that delivers what the benchmark lists."""

    problem = None
    last_success = 0.0
    differences = 0
    removal = None

    def start(self, listed: Callable[[tuple[Any, ...]], None], _failed: object, _pool: object = None) -> None:
        self.listed = listed

    def stop(self) -> None: ...


class ReportedMonitor:
    """A monitor that reports what the benchmark says."""

    name = "ProxyFetch"
    up: bool | None = None

    def __init__(self, report: Callable[[Any], None]) -> None:
        self.report = report

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def set_urgent(self, _urgent: object) -> None: ...

    def hurry(self, _urgent: object) -> None: ...


class ReportedMonitors:
    """The factory of the monitors; ``made`` has all of them."""

    name = "ProxyFetch"

    def __init__(self) -> None:
        self.made: list[ReportedMonitor] = []

    def monitor(self, _host: str, _address: object, report: Callable[[Any], None]) -> ReportedMonitor:
        self.made.append(ReportedMonitor(report))
        return self.made[-1]


class OnePool:
    """One service with ``size`` servers."""

    def __init__(self, size: int, journal: Path | None = None) -> None:
        from twisted.internet.task import Clock  # noqa: PLC0415  # only in the process that measures
        from twisted.logger import globalLogPublisher  # noqa: PLC0415

        class BusyClock(Clock):
            """A clock that CPU time advances as well."""

            def seconds(self) -> float:
                return self.rightNow + time.process_time()

        self.size = size
        self.clock = BusyClock()
        self.model = module("pybal.core.model")
        self.source, self.monitors = ListedSource(), ReportedMonitors()
        globalLogPublisher.addObserver(log_to_nothing())
        ip = IPv4Address("10.2.1.1")
        service = self.model.Service("text", self.model.IPProtocol.TCP, ip, 80, "wrr", monitors=("ProxyFetch",))
        self.backend = module("pybal.ipvs.backend").MemoryBackend()
        reconciler = module("pybal.ipvs.reconciler").Reconciler(self.backend, self.clock)
        finish(reconciler.adopt([service]))
        with contextlib.suppress(KeyError):  # a tree without it
            module("pybal.runtime.heap").Heap(self.clock).start()
        more: dict[str, Any] = {}
        if hasattr(reconciler, "amend"):
            turns = module("pybal.runtime.turns").Turns(self.clock, 0.01, time.process_time)
            more = {"amend": reconciler.amend, "turns": turns}
        if hasattr(reconciler, "amending"):
            more |= {"amend": reconciler.amending, "want": reconciler.wanting}
        resolver = module("pybal.resolve").Resolver(self._lookup, self.clock, Random(1))
        controller = module("pybal.daemon.controller").Controller
        more.setdefault("want", reconciler.want)
        if journal is not None:
            more["tape"] = recorder(journal, self.clock).tape()
        self.controller = controller(service, self.source, resolver, [self.monitors], clock=self.clock, **more)
        self.controller.start({})

    def measure(self) -> Mapping[str, tuple[float, float, int]]:
        """Return CPU seconds, the longest turn and the number of servers or reports of each scenario."""
        chosen = self.size // 20
        scenarios: Sequence[tuple[str, int, Callable[[], float]]] = (
            ("list", self.size, self._list),
            ("start", self.size, lambda: self._report(self.monitors.made, self.size, up=True)),
            ("flap", 40, lambda: self._flap(self.monitors.made[:: max(1, chosen)][:20])),
            ("all down", self.size, lambda: self._report(self.monitors.made, self.size / 10, up=False)),
            ("all back", self.size, lambda: self._report(self.monitors.made, self.size / 10, up=True)),
            ("weights", self.size, lambda: self._deliver(0, self.size, 20)),
            ("new list", self.size, self._replace),
            ("all new", self.size, lambda: self._deliver(self.size, self.size, 10)),
            ("moves", self.size, self._move),
        )
        found = {}
        for name, count, scenario in scenarios:
            gc.collect()
            began = time.process_time()
            longest = scenario()
            found[name] = (time.process_time() - began, longest, count)
        return found

    async def _lookup(self, host: str, version: int) -> Any:  # noqa: ANN401
        raise AssertionError(host, version)

    def _host(self, number: int) -> str:
        return str(IPv4Address("10.64.0.0") + number)

    def _list(self) -> float:
        return self._deliver(0, self.size, 10)

    def _deliver(self, first: int, count: int, weight: int) -> float:
        members = tuple(self.model.Member(self._host(first + number), weight) for number in range(count))
        return max(timed(lambda: self.source.listed(members)), self._quiet())

    def _replace(self) -> float:
        """Deliver a list without the last tenth of the servers, and with other weights for another tenth."""
        tenth = self.size // 10
        members = tuple(
            self.model.Member(self._host(number), 20 if number < tenth else 10) for number in range(self.size - tenth)
        )
        longest = max(timed(lambda: self.source.listed(members)), self._quiet())
        (entry,) = self.backend.table().values()
        assert len(entry.destinations) == self.size - tenth
        return longest

    def _move(self) -> float:
        """Report the servers of the new list up: each replaces one of the held addresses."""
        longest = self._report(self.monitors.made[-self.size :], self.size, up=True)
        assert all(server.pooled for server in self.controller.pool.servers.values())
        return longest

    def _flap(self, chosen: Sequence[ReportedMonitor]) -> float:
        return max(self._report([monitor], 1, up=up) for monitor in chosen for up in (False, True))

    def _report(self, monitors: Sequence[ReportedMonitor], rate: float, *, up: bool) -> float:
        """Report each server, ``rate`` per second; return the longest turn."""
        left = list(reversed(monitors))
        longest = due = done = 0.0
        while left:
            due += rate * TURN

            def check() -> None:
                nonlocal done
                while left and done < due:  # noqa: B023  # called within this pass
                    reason = "" if up else "connect: refused"
                    left.pop().report(self.model.Report(up, reason, self.clock.seconds(), reason))
                    done += 1

            longest = max(longest, timed(check), self._turn(TURN))
        return max(longest, self._quiet())

    def _quiet(self) -> float:
        """Run the loop until nothing is due; return the longest turn."""
        longest = 0.0
        for _ in range(200):
            longest = max(longest, self._turn(TURN if not self._due() else 0.0))
        return longest

    def _due(self) -> bool:
        return any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls())

    def _turn(self, seconds: float) -> float:
        """Run the calls that are due, each as a turn; return the longest."""
        self.clock.rightNow += seconds
        longest = 0.0
        for call in [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]:
            if call in self.clock.calls:
                self.clock.calls.remove(call)
                call.called = 1
                longest = max(longest, timed(lambda: call.func(*call.args, **call.kw)))  # noqa: B023
        return longest


def timed(call: Callable[[], object]) -> float:
    """Return the CPU time of a call, in seconds."""
    began = time.process_time()
    call()
    return time.process_time() - began


if __name__ == "__main__":
    main(sys.argv[1:])
